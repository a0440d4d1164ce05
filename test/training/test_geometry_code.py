# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Binary networks that start with bits of the keypoint's geometry."""

import dataclasses
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from training_runs import small_settings, write_photos

from feature_booster_ros.booster import Booster, FeatureBooster, load_checkpoint, load_models
from feature_booster_ros.booster.descriptors import unpack_bits
from feature_booster_ros.features import create_extractor
from feature_booster_ros.photos import find_photos
from feature_booster_ros.training import geometry_code as code
from feature_booster_ros.training.datasets.batches import PairBatch, collate, keypoint_geometry
from feature_booster_ros.training.datasets.photo_views import PhotoViews, ViewSettings
from feature_booster_ros.training.initialization import start_from_trained, start_near_identity

PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def quick_fit(monkeypatch):
    monkeypatch.setattr(code, "FIT_STEPS", 400)
    monkeypatch.setattr(code, "FIT_BATCH", 512)


def pair_batches(photos: Path, cache: Path, detector: str) -> list:
    store = PhotoViews.open(
        find_photos(photos), ViewSettings(detector, views=2, features=150), cache
    )
    rng = np.random.default_rng(0)
    pairs = [store.draw(rng) for _ in range(12)]
    return [collate(pairs, 4, torch.device("cpu"))]


def test_the_code_of_an_angle_differs_as_angles_do():
    turned = torch.tensor([0.0, 10.0, 45.0, 90.0, 180.0, 270.0])
    keypoints = torch.zeros(6, 4)
    keypoints[:, 2], keypoints[:, 3] = 1.5, torch.deg2rad(turned + 3)
    bits = code.geometry_code(keypoints) > 0
    differing = (bits != bits[0]).sum(1) * 180 / code.ANGLE_BITS
    expected = torch.tensor([0.0, 10.0, 45.0, 90.0, 180.0, 90.0])
    assert (differing - expected).abs().max() < 180 / code.ANGLE_BITS


def test_bits_that_tell_nothing_come_first():
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(600, 256, generator=generator).sign()
    flips = torch.full((256,), 0.38)
    flips[[3, 77, 200]] = 0.5
    second = torch.where(torch.rand(600, 256, generator=generator) < flips, -first, first)
    right = torch.eye(600, dtype=torch.bool)[None]
    descriptors = torch.stack([first, second])
    padding = torch.zeros(2, 600, dtype=torch.bool)
    numbers = torch.tensor([[0], [1]])
    batch = PairBatch(descriptors, torch.zeros(2, 600, 4), padding, numbers, right, ~right)
    assert {3, 77, 200} <= set(code.least_informative_bits([batch])[:30].tolist())


def test_orb_trades_bits_for_geometry(photos, tmp_path, quick_fit):
    torch.manual_seed(0)
    network = FeatureBooster(load_models()["ORB+Boost-B"])
    start_near_identity(network)
    batches = pair_batches(photos, tmp_path, "orb")
    code.trade_bits_for_geometry(network, batches)
    features = create_extractor("orb", 200)(PHOTO)
    before, after = (
        unpack_bits(f.descriptors)
        for f in (features, Booster(network, "cpu")(features, (512, 512)))
    )
    traded = code.least_informative_bits(batches)[: code.CODE_BITS].numpy()
    kept = np.setdiff1d(np.arange(256), traded)
    assert (before[:, kept] == after[:, kept]).mean() > 0.98
    geometry = torch.from_numpy(keypoint_geometry(features, PHOTO.shape, 4))
    expected = np.where(code.geometry_code(geometry).numpy() >= 0, 1, -1)
    # Where a number of the code is near 0, ORB's own bit is stronger.
    assert (after[:, traded] == expected).mean() > 0.8


def test_bits_of_float_descriptors_and_angles(photos, tmp_path, quick_fit):
    torch.manual_seed(0)
    source = load_checkpoint("SIFT+Boost-F")
    transform = source.config.descriptor_transform
    network = FeatureBooster(
        dataclasses.replace(load_models()["SIFT+Boost-B"], descriptor_transform=transform)
    )
    batches = pair_batches(photos, tmp_path, "sift")
    start_from_trained(network, source, iter(batches * 6))
    code.project_with_angle(network, source, batches)
    features = create_extractor("sift", 300)(PHOTO)
    bits, floats = (Booster(n, "cpu")(features, PHOTO.shape) for n in (network, source))
    similarity = unpack_bits(bits.descriptors) @ unpack_bits(bits.descriptors).T
    cosine = floats.descriptors @ floats.descriptors.T
    assert np.corrcoef(similarity.ravel(), cosine.ravel())[0, 1] > 0.6
    turned = [
        Booster(network, "cpu")(
            dataclasses.replace(features, angles=(features.angles + turn) % (2 * math.pi)),
            PHOTO.shape,
        )
        for turn in np.deg2rad([30, 180]).astype(np.float32)
    ]
    less, more = (np.unpackbits(bits.descriptors ^ t.descriptors, axis=1).sum(1) for t in turned)
    assert less.mean() < 0.6 * more.mean()


def test_a_code_that_has_no_place_is_refused(tmp_path):
    models = load_models()
    sift = models["SIFT+Boost-F"]
    with pytest.raises(ValueError, match="SIFT.Boost-F cannot start with a geometry code"):
        code.check_geometry_code(sift, None)
    with pytest.raises(ValueError, match="cannot start from SIFT.Boost-F with a geometry code"):
        code.check_geometry_code(sift, sift)
    with pytest.raises(ValueError, match="SIFT.Boost-B cannot start with a geometry code"):
        code.check_geometry_code(models["SIFT+Boost-B"], None)
    with pytest.raises(ValueError, match="start must be other for a geometry code, not 'random'"):
        small_settings(tmp_path, geometry_code=True, start="random")
