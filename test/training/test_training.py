# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where training starts, and what settings are refused."""

import argparse
import dataclasses
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from training_runs import small_settings, write_photos

from feature_booster_ros.booster import (
    Booster,
    FeatureBooster,
    load_checkpoint,
    load_models,
    read_metadata,
)
from feature_booster_ros.features import create_extractor
from feature_booster_ros.photos import find_photos
from feature_booster_ros.training.command_line import add_training_options, read_training_options
from feature_booster_ros.training.components import make_config
from feature_booster_ros.training.datasets.batches import collate
from feature_booster_ros.training.datasets.photo_views import PhotoViews, ViewSettings
from feature_booster_ros.training.datasets.sources import PhotosSpecification
from feature_booster_ros.training.initialization import (
    sign_projection,
    start_from_trained,
    start_near_identity,
)
from feature_booster_ros.training.settings import TrainingSettings, read_settings
from feature_booster_ros.training.trainer import train

PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)
RECIPES = Path(__file__).resolve().parents[2] / "config" / "training"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.mark.parametrize("name", ["SIFT+Boost-F", "ORB+Boost-B"])
def test_near_identity_keeps_the_neighbors(name):
    torch.manual_seed(0)
    network = FeatureBooster(load_models()[name])
    start_near_identity(network)
    booster = Booster(network, "cpu")
    features = create_extractor(booster.detector, 200)(PHOTO)
    boosted = booster(features, PHOTO.shape)
    if boosted.is_binary:
        assert np.unpackbits(boosted.descriptors ^ features.descriptors).mean() < 0.02
    else:
        similarity, before = (f.descriptors @ f.descriptors.T for f in (boosted, features))
        assert np.corrcoef(similarity.ravel(), before.ravel())[0, 1] > 0.9


def test_a_binary_network_starts_from_the_float_one(photos, tmp_path):
    torch.manual_seed(0)
    source = load_checkpoint("SIFT+Boost-F")
    network = FeatureBooster(
        dataclasses.replace(
            load_models()["SIFT+Boost-B"], descriptor_transform=source.config.descriptor_transform
        )
    )
    settings = ViewSettings("sift", views=2, features=150)
    store = PhotoViews.open(find_photos(photos), settings, tmp_path)
    rng = np.random.default_rng(0)
    batches = iter([collate([store.draw(rng) for _ in range(4)], 4, torch.device("cpu"))] * 6)
    fresh = start_from_trained(network, source, batches)
    assert fresh == ["final_proj.weight", "final_proj.bias"]
    assert torch.equal(network.kenc.encoder[0].weight, source.kenc.encoder[0].weight)
    # A tight frame of the float projection: it keeps all angles but for the signs.
    weight, projection = network.final_proj.weight, source.final_proj.weight
    gram, expected = weight.T @ weight, projection.T @ projection
    torch.testing.assert_close(gram / gram.norm(), expected / expected.norm(), atol=1e-4, rtol=1e-3)
    features = create_extractor("sift", 300)(PHOTO)
    bits, floats = (Booster(n, "cpu")(features, PHOTO.shape) for n in (network, source))
    hamming = np.unpackbits(bits.descriptors[:, None] ^ bits.descriptors[None], axis=2).sum(2)
    cosine = floats.descriptors @ floats.descriptors.T
    assert np.corrcoef(hamming.ravel(), cosine.ravel())[0, 1] < -0.85


def test_a_learnt_projection_quantises_better_than_a_random_one():
    generator = torch.Generator().manual_seed(0)
    # Unit vectors that leave half their dimensions almost unused.
    spread = torch.cat([torch.ones(16), torch.full((16,), 0.05)])
    vectors = torch.randn(2000, 32, generator=generator) * spread
    vectors = torch.nn.functional.normalize(vectors, dim=-1)
    torch.manual_seed(0)
    frame = sign_projection(vectors, 64)
    torch.testing.assert_close(frame @ frame.T, torch.eye(32), atol=1e-4, rtol=0)
    random = torch.linalg.qr(torch.randn(64, 32))[0].T

    def agreement(frame):
        return (vectors @ frame).abs().sum(1).mean()

    assert agreement(frame) > 1.02 * agreement(random)


def test_training_for_no_step_writes_the_start(photos, tmp_path):
    data = (PhotosSpecification(str(photos), views=2, features=60, longest_side=200, holdout=5),)
    settings = small_settings(tmp_path, model="ORB+Boost-B", data=data, steps=0)
    features = create_extractor("orb", 100)(PHOTO)
    boosted = Booster.from_pretrained(train(settings), "cpu")(features, PHOTO.shape)
    assert np.unpackbits(boosted.descriptors ^ features.descriptors).mean() < 0.02


def test_a_start_that_does_not_fit_is_refused_before_the_data_are_opened(tmp_path):
    data = (PhotosSpecification(str(tmp_path / "none")),)
    settings = small_settings(tmp_path, model="ORB+Boost-B", data=data, start="SIFT+Boost-F")
    with pytest.raises(
        ValueError, match="cannot start from SIFT.Boost-F, .*have 128 elements and not 256"
    ):
        train(settings)


def test_a_run_starts_from_weights(tmp_path):
    path = train(small_settings(tmp_path / "a", steps=2))
    again = train(small_settings(tmp_path / "b", steps=0, start=str(path)))
    a, b = (load_checkpoint(p).state_dict() for p in (path, again))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"steps": -1}, "steps must be at least 0, not -1"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"precision": "fp8"}, "precision must be fp32 or bf16 or fp16, not 'fp8'"),
        ({"loss": "triplet"}, "loss must be fastap or reward or gce"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"data": ()}, "data must be at least one source"),
        ({"soft_signs": -1.0}, "soft_signs must be at least 0, not -1.0"),
        ({"fastap_weight": 0.0, "boost_weight": 0.0}, "are all 0"),
        ({"loss": "gce", "reward_weight": 1.0}, "reward_weight must be 0 for the loss gce"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, change, text):
    with pytest.raises(ValueError, match=text):
        small_settings(tmp_path, **change)


def test_a_model_that_is_not_in_the_table_is_named(tmp_path, photos):
    with pytest.raises(ValueError, match="no model is called 'SURF\\+Boost'"):
        train(small_settings(tmp_path, model="SURF+Boost"))
    table = tmp_path / "models.yaml"
    table.write_text("mine:\n  detector: sift\n")
    with pytest.raises(ValueError, match="'mine': key 'keypoint_dim' is missing"):
        train(small_settings(tmp_path, model="mine", models=str(table)))
    data = (PhotosSpecification(str(photos)),)
    with pytest.raises(ValueError, match="no extractor is called 'superpoint'"):
        train(small_settings(tmp_path, model="SuperPoint+Boost-F", data=data))


def test_soft_signs_are_for_binary_models(tmp_path):
    with pytest.raises(ValueError, match="soft_signs is for binary models; SIFT\\+Boost-F"):
        train(small_settings(tmp_path, soft_signs=2.0))


def test_photos_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of photographs at"):
        find_photos(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no image in"):
        find_photos(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 1 photographs"):
        PhotoViews.open(find_photos(tmp_path), ViewSettings("orb"), tmp_path / "cache")


def test_the_only_photograph_is_not_trained_on(photos, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(find_photos(photos)[0], tmp_path / "one")
    data = (PhotosSpecification(str(tmp_path / "one")),)
    with pytest.raises(ValueError, match="photos:one: the only photograph is kept to validate on"):
        train(small_settings(tmp_path / "run", data=data))


# Settings from a file and from the command line


def test_the_default_run_file_says_the_defaults():
    path = RECIPES / "all_settings.yaml"
    settings = read_settings(path)
    expected = TrainingSettings(settings.model, settings.data, settings.output)
    assert settings == expected
    text = path.read_text()
    assert all(f"\n{field.name}: " in text for field in dataclasses.fields(settings)[3:])


@pytest.mark.parametrize("name", ["ORB+Boost-B", "SIFT+Boost-B", "SIFT+Boost-F"])
def test_a_recipe_is_of_the_model_that_it_is_called_after(name):
    settings = read_settings(RECIPES / f"{name}.yaml")
    config = make_config(settings)
    assert config.name == name


def test_the_shipped_orb_model_is_of_its_recipe():
    settings = read_settings(RECIPES / "ORB+Boost-B.yaml")
    settings = dataclasses.replace(settings, device="cpu", threads=1)
    assert read_metadata("ORB+Boost-B")["training"] == settings.command()


def test_a_field_that_no_model_has_is_named(tmp_path):
    with pytest.raises(ValueError, match="'SIFT.Boost-F': unknown key 'widths'"):
        make_config(small_settings(tmp_path, network={"widths": [3]}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("warmpu: 3", "no option is called 'warmpu'; did you mean 'warmup'"),
        ("lr: fast", "lr must be of type float, not 'fast'"),
        ("steps: 1.5", "steps must be of type int | None, not 1.5"),
        ("network: 3", "network must map fields of the model to values, not 3"),
        ("data: 3", "data must be a list of sources"),
        ("[1, 2]", "must map settings to their values"),
        ("lr: [", "not valid YAML"),
    ],
)
def test_a_run_file_that_is_wrong_is_named(tmp_path, text, expected):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    given = {"model": "m", "output": "o"}
    if "data" not in text:
        given["data"] = "photos:p"
    with pytest.raises(ValueError, match=f"run.yaml: {re.escape(expected)}"):
        read_settings(path, given)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="data is missing"):
        read_settings(None, {"model": "m", "output": "o"})
    with pytest.raises(FileNotFoundError, match="no configuration file at"):
        read_settings(tmp_path / "none.yaml")


def test_the_command_line_overrides_the_file(tmp_path):
    parser = argparse.ArgumentParser()
    add_training_options(parser)
    path = tmp_path / "run.yaml"
    path.write_text(
        "model: SIFT+Boost-F\noutput: runs\nlr: 1e-2\nwarmup: 7\nnetwork: {use_cross: false}\n"
        "data:\n  - {kind: photos, path: a}\n  - {kind: posed, path: b.h5, weight: 2}\n"
    )
    given = read_training_options(parser.parse_args(["--config", str(path)]))
    assert (given.lr, given.warmup, given.network) == (0.01, 7, {"use_cross": False})
    assert [str(source) for source in given.data] == ["photos:a", "posed:b.h5,weight=2.0"]
    words = ["--config", str(path), "--lr", "1e-4", "--data", "photos:PHOTOS"]
    words += ["--network", "{use_kenc: false, descriptor_encoder: [64]}", "--steps", "5"]
    changed = read_training_options(parser.parse_args(words))
    assert (changed.lr, changed.warmup, changed.steps) == (1e-4, 7, 5)
    assert changed.network == {"use_kenc": False, "descriptor_encoder": [64]}
    assert [str(source) for source in changed.data] == ["photos:PHOTOS"]
    assert "--network '{use_kenc: false, descriptor_encoder: [64]}'" in changed.command()
    assert "--lr 0.0001" in changed.command()


def test_resume_takes_the_settings_of_the_run(tmp_path):
    parser = argparse.ArgumentParser()
    add_training_options(parser)
    small = read_settings(None, {"model": "m", "data": "photos:p", "output": str(tmp_path)})
    small.save(tmp_path / "settings.yaml")
    words = ["--resume", "--output", str(tmp_path), "--steps", "9"]
    resumed = read_training_options(parser.parse_args(words))
    assert resumed == dataclasses.replace(small, resume=True, steps=9)
