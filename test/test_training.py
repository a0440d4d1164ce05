# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training: losses against their definitions, pairs against their geometry, and a short run."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from skimage import data

from feature_booster_ros.booster import Booster, FeatureBooster, load_checkpoint, load_models
from feature_booster_ros.booster.descriptors import pack_signs
from feature_booster_ros.features import create_extractor
from feature_booster_ros.photos import (
    ViewDistribution,
    change_light,
    find_photos,
    random_homography,
    split_photos,
    warp_image,
    warp_points,
)
from feature_booster_ros.training.datasets.batches import label_pairs
from feature_booster_ros.training.datasets.mixture import pair_batches
from feature_booster_ros.training.datasets.photo_views import PhotoViews, ViewSettings
from feature_booster_ros.training.initialization import (
    sign_projection,
    start_from_checkpoint,
    start_near_identity,
)
from feature_booster_ros.training.losses import (
    booster_loss,
    descriptor_distances,
    fast_ap,
    straight_through_signs,
)
from feature_booster_ros.training.settings import TrainingSettings
from feature_booster_ros.training.trainer import learning_rate_factor, train

PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    images = [
        data.astronaut(),
        data.chelsea(),
        data.coffee(),
        data.rocket(),
        data.immunohistochemistry(),
    ]
    for number, image in enumerate(
        [*images, data.camera(), data.brick(), data.grass(), data.gravel()]
    ):
        bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{number}.jpg"), bgr)
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


# Losses


def fast_ap_by_definition(distances, positive, negative, largest, bins=10):
    """Equation 8 of FastAP with every histogram bin written out."""
    units = distances * bins / largest
    pulse = (1 - (units[..., None] - torch.arange(bins + 1)).abs()).clamp_min(0)
    of_positive = (pulse * positive[..., None]).sum(-2)
    of_all = (pulse * (positive | negative)[..., None]).sum(-2)
    summed_positive, summed = of_positive.cumsum(-1), of_all.cumsum(-1)
    terms = torch.where(summed > 0, of_positive * summed_positive / summed.clamp_min(1e-12), 0.0)
    return (terms.sum(-1) / positive.sum(-1).clamp_min(1)).clamp(max=1)


def test_fast_ap_and_its_gradient_are_the_definitions():
    generator = torch.Generator().manual_seed(0)
    distances = 4 * torch.rand(2, 6, 50, generator=generator, dtype=torch.float64)
    distances.requires_grad_(True)
    positive = torch.rand(2, 6, 50, generator=generator) < 0.1
    negative = ~positive & (torch.rand(2, 6, 50, generator=generator) < 0.9)
    ours = fast_ap(distances, positive, negative, 4.0)
    definition = fast_ap_by_definition(distances, positive, negative, 4.0)
    torch.testing.assert_close(ours, definition)
    gradients = [torch.autograd.grad(ap.sum(), distances)[0] for ap in (ours, definition)]
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)


def test_fast_ap_of_a_perfect_and_of_a_hopeless_ranking():
    positive = torch.tensor([[True, False, False, False]])
    first = fast_ap(torch.tensor([[0.0, 3.0, 3.0, 3.0]]), positive, ~positive, 4.0)
    last = fast_ap(torch.tensor([[4.0, 0.0, 0.0, 0.0]]), positive, ~positive, 4.0)
    assert first.item() == pytest.approx(1.0)
    assert last.item() == pytest.approx(0.25)


def test_distances_are_squared_l2_and_hamming():
    a, b = (torch.nn.functional.normalize(torch.randn(5, 16), dim=-1) for _ in range(2))
    distances, largest = descriptor_distances(a, b, binary=False)
    torch.testing.assert_close(distances, torch.cdist(a, b).square(), atol=1e-5, rtol=1e-5)
    assert largest == 4
    distances, largest = descriptor_distances(a.sign(), b.sign(), binary=True)
    packed = [pack_signs(rows.numpy()) for rows in (a, b)]
    expected = np.unpackbits(packed[0][:, None] ^ packed[1][None], axis=2).sum(2)
    np.testing.assert_array_equal(distances.numpy(), expected)
    assert largest == 16


def test_binarisation_passes_the_gradient_straight_through():
    x = torch.tensor([-0.3, 0.0, 0.7], requires_grad=True)
    signs = straight_through_signs(x)
    assert signs.tolist() == [-1, 1, 1]
    (signs * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [1, 2, 3]


def test_the_boost_loss_punishes_only_what_got_worse():
    valid = torch.tensor([True, True, False])
    better = booster_loss(torch.tensor([0.5, 1.0, 0.0]), torch.tensor([0.4, 0.9, 1.0]), valid, 10.0)
    assert better.item() == pytest.approx(0.25)
    worse = booster_loss(torch.tensor([0.5, 1.0, 0.0]), torch.tensor([1.0, 0.9, 1.0]), valid, 10.0)
    assert worse.item() == pytest.approx(0.25 + 10 * 0.5)


# Views and pairs


def test_points_are_warped_as_the_image_is():
    rng = np.random.default_rng(3)
    image = np.zeros((300, 400), np.uint8)
    points = np.array([[100.0, 80], [300, 90], [200, 220]])
    for x, y in points.astype(int):
        cv2.circle(image, (x, y), 4, 255, -1)
    for _ in range(10):
        homography = random_homography(rng, image.shape, ViewDistribution())
        view, mask = warp_image(image, homography)
        for x, y in warp_points(points, homography):
            if 12 < x < 388 and 12 < y < 288 and mask[int(y), int(x)]:
                window = view[int(y) - 10 : int(y) + 11, int(x) - 10 : int(x) + 11].astype(float)
                if window.max() < 60:
                    continue
                dy, dx = np.mgrid[-10:11, -10:11]
                centre = np.array([(dx * window).sum(), (dy * window).sum()]) / window.sum()
                np.testing.assert_allclose(centre + [int(x), int(y)], [x, y], atol=0.8)


def test_a_point_behind_the_camera_has_no_image():
    homography = np.array([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1.0]])
    warped = warp_points(np.array([[50.0, 0], [150, 0]]), homography)
    assert np.isfinite(warped[0]).all() and np.isnan(warped[1]).all()


def test_light_changes_but_the_picture_stays():
    changed = change_light(np.random.default_rng(1), PHOTO)
    assert changed.shape == PHOTO.shape and changed.dtype == np.uint8
    assert np.abs(changed.astype(int) - PHOTO).mean() > 2
    assert np.corrcoef(changed.ravel(), PHOTO.ravel())[0, 1] > 0.8


def test_labels():
    nan = float("nan")
    positions = torch.tensor(
        [[[[10.0, 10], [50, 50], [nan, nan]]], [[[12.0, 10], [60, 50], [nan, nan]]]]
    )
    positive, negative = label_pairs(positions, positions)  # the two views are the same
    assert positive[0].int().tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    # (50, 50) and (60, 50) are neither; what is padding is neither.
    assert negative[0].int().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("detector", ["sift", "orb"])
def test_positives_have_similar_descriptors(photos, tmp_path, detector):
    settings = ViewSettings(detector, views=3, features=200)
    paths = find_photos(photos)
    store = PhotoViews.open(paths, settings, tmp_path)
    assert len(store) == len(paths) - 1  # without the broken one
    batch = next(pair_batches(store, 8, 128, 4, 0, torch.device("cpu")))
    assert batch.descriptors.shape == (2, 8, 128, 128 if detector == "sift" else 256)
    distances, _ = descriptor_distances(*batch.descriptors, detector == "orb")
    assert batch.positive.sum() > 50
    assert not (batch.positive & batch.negative).any()
    # Not by more: ORB finds a corner on several levels, and one place may have two orientations.
    assert distances[batch.positive].mean() < 0.8 * distances[batch.negative].mean()


def test_a_store_is_opened_and_not_made_again(photos, tmp_path):
    settings = ViewSettings("orb", views=2, features=50)
    first = PhotoViews.open(find_photos(photos), settings, tmp_path)
    made = (next(tmp_path.iterdir()) / "complete").stat().st_mtime_ns
    again = PhotoViews.open(find_photos(photos), settings, tmp_path)
    assert (next(tmp_path.iterdir()) / "complete").stat().st_mtime_ns == made
    np.testing.assert_array_equal(first.descriptors, again.descriptors)
    PhotoViews.open(find_photos(photos), dataclasses.replace(settings, views=3), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_stored_sift_descriptors_are_the_extractors(photos, tmp_path):
    paths = find_photos(photos)[:2]
    store = PhotoViews.open(paths, ViewSettings("sift", views=2, features=100), tmp_path)
    image = cv2.imread(str(paths[0]), cv2.IMREAD_GRAYSCALE)
    scale = 480 / max(image.shape)
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    features = create_extractor("sift", 100)(image)
    stored = store.descriptors[0, 0].astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    np.testing.assert_allclose(stored, features.descriptors, atol=2e-3)


def test_held_out_photos_are_not_trained_on():
    photos = [Path(str(number)) for number in range(25)]
    training, held_out = split_photos(photos, 10)
    assert [path.name for path in held_out] == ["0", "10", "20"]
    assert not set(training) & set(held_out) and len(training) == 22


# The start and the run


@pytest.mark.parametrize("name", ["SIFT+Boost-F", "ORB+Boost-B"])
def test_near_identity_keeps_the_neighbours(name):
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
    batches = pair_batches(store, 4, 128, 4, 0, torch.device("cpu"))
    fresh = start_from_checkpoint(network, "SIFT+Boost-F", batches)
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
    settings = TrainingSettings(
        "ORB+Boost-B", str(photos), str(tmp_path), steps=0, batch=4, features=64, views=2, threads=1
    )
    features = create_extractor("orb", 100)(PHOTO)
    boosted = Booster.from_pretrained(train(settings), "cpu")(features, PHOTO.shape)
    assert np.unpackbits(boosted.descriptors ^ features.descriptors).mean() < 0.02


def test_a_start_that_does_not_fit_is_refused(photos, tmp_path):
    settings = TrainingSettings(
        "ORB+Boost-B", str(photos), str(tmp_path), start="SIFT+Boost-F", views=2, threads=1
    )
    with pytest.raises(ValueError, match="cannot start from SIFT.Boost-F, a sift network of 128"):
        train(settings)


def test_the_learning_rate_warms_up_and_decays():
    settings = TrainingSettings("m", "p", "o", steps=1000, warmup=100)
    factors = [learning_rate_factor(step, settings) for step in range(1001)]
    assert factors[0] == pytest.approx(0.01) and factors[99] == pytest.approx(1)
    assert factors[550] == pytest.approx(0.5, abs=0.01) and factors[1000] == pytest.approx(0)
    assert np.all(np.diff(factors[100:]) <= 0)


@pytest.mark.parametrize("name", ["SIFT+Boost-F", "SIFT+Boost-B", "ORB+Boost-B"])
def test_a_short_run_learns_and_leaves_usable_weights(photos, tmp_path, name, capsys):
    settings = TrainingSettings(
        name, str(photos), str(tmp_path / "run"), steps=30, batch=4, features=128, views=3,
        view_features=150,
        warmup=5, validate_every=15, holdout=5, device="cpu", threads=1,
    )  # fmt: skip
    path = train(settings)
    booster = Booster.from_pretrained(path, "cpu")
    assert booster.name == name
    features = create_extractor(booster.detector, 50)(PHOTO)
    assert len(booster(features, PHOTO.shape)) == 50
    entries = [
        json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    ]
    assert [entry["step"] for entry in entries] == [0, 15, 30]
    assert all(np.isfinite(entry["loss"]) for entry in entries[1:])
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["pairs"] == "120" and "--steps 30 --batch 4" in metadata["training"]
    assert {"raw", "boosted"} == set(json.loads(metadata["validation"]))
    assert str(photos) not in str(metadata)
    # The weights have moved, and the descriptors with them.
    torch.manual_seed(settings.seed)
    start = FeatureBooster(booster.config)
    start_near_identity(start)
    moved = (start.final_proj.weight - booster.network.final_proj.weight).abs().max()
    assert moved > 1e-3


def test_the_loss_falls_on_a_batch_seen_again(photos, tmp_path):
    from feature_booster_ros.training.trainer import training_step

    torch.manual_seed(0)
    settings = TrainingSettings("SIFT+Boost-F", str(photos), str(tmp_path))
    store = PhotoViews.open(
        find_photos(photos), ViewSettings("sift", views=3, features=150), tmp_path
    )
    batch = next(pair_batches(store, 4, 128, 4, 0, torch.device("cpu")))
    network = FeatureBooster(load_models()["SIFT+Boost-F"])
    start_near_identity(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        loss, ap, raw_ap = training_step(network, batch, settings)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert ap > raw_ap


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"steps": -1}, "steps"),
        ({"views": 1}, "views"),
        ({"lr": 0.0}, "lr"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_a_wrong_setting_is_named(change, text):
    with pytest.raises(ValueError, match=text):
        TrainingSettings("SIFT+Boost-F", "p", "o", **change)


def test_a_model_that_is_not_in_the_table_is_named(tmp_path, photos):
    with pytest.raises(ValueError, match="no model is called 'SURF\\+Boost'"):
        train(TrainingSettings("SURF+Boost", str(photos), str(tmp_path)))
    with pytest.raises(ValueError, match="no extractor is called 'superpoint'"):
        train(TrainingSettings("SuperPoint+Boost-F", str(photos), str(tmp_path), threads=1))


def test_photos_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of photographs at"):
        find_photos(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no image in"):
        find_photos(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 1 photographs"):
        PhotoViews.open(find_photos(tmp_path), ViewSettings("orb"), tmp_path / "cache")
