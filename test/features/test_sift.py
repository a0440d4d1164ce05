# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIFT by sift.cpp against OpenCV's."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from feature_booster_ros.features import Features, create_extractor, sift_native
from feature_booster_ros.features.sift_native import NativeSift
from feature_booster_ros.features.sift_opencv import OpencvSift

SOURCE = Path(__file__).resolve().parents[2] / "feature_booster_ros" / "features" / "sift.cpp"
PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)
# Layers of an octave, contrast threshold, edge threshold, sigma.
DEFAULT = 3, 0.04, 10.0, 1.6

try:
    NativeSift(*DEFAULT)
except OSError as reason:
    pytestmark = pytest.mark.skip(reason=f"needs `make build`: {reason}")


def shared(a: Features, b: Features) -> float:
    """Return the share of the features of ``a`` that ``b`` has, too."""
    distances = np.linalg.norm(a.keypoints[:, None] - b.keypoints[None], axis=2)
    return float(((distances < 0.05) & (a.descriptors @ b.descriptors.T > 0.99)).any(1).mean())


def assert_same(a: Features, b: Features) -> None:
    for name in ("keypoints", "scales", "angles", "scores", "descriptors"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("limit", [300, 10**6])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "options",
    [DEFAULT, (3, 0.02, 10.0, 1.6), (5, 0.04, 5.0, 1.6), (1, 0.04, 20.0, 2.4)],
)
def test_the_features_are_opencvs(options, masked, limit):
    mask = None
    if masked:
        mask = np.zeros_like(PHOTO)
        mask[100:300, 50:450] = 255
    ours = NativeSift(*options)(PHOTO, mask, limit)
    opencv = OpencvSift(*options)(PHOTO, mask, limit)
    assert len(ours) > 20
    assert shared(opencv, ours) > 0.98 and shared(ours, opencv) > 0.98


def test_scales_angles_and_scores_are_opencvs():
    ours, opencv = (sift(*DEFAULT)(PHOTO, None, 10**6) for sift in (NativeSift, OpencvSift))
    turns = np.abs(ours.angles[:, None] - opencv.angles[None])
    turns = np.minimum(turns, 2 * np.pi - turns)
    distances = np.linalg.norm(ours.keypoints[:, None] - opencv.keypoints[None], axis=2)
    nearest = (distances + turns).argmin(1)
    same = distances[np.arange(len(ours)), nearest] < 0.05
    assert same.mean() > 0.98
    ours, opencv = ours.select(same), opencv.select(nearest[same])
    np.testing.assert_allclose(ours.scales, opencv.scales, rtol=1e-3)
    np.testing.assert_allclose(ours.scores, opencv.scores, atol=1e-5)
    # OpenCV's arctangent is within 0.3 degrees.
    assert np.median(np.abs(np.sin(ours.angles - opencv.angles))) < np.deg2rad(0.1)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 90), (2, 3), (5, 7), (8, 8), (31, 33), (64, 128), (200, 12), (13, 700)]
)
def test_small_images(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for image in (noise, cv2.GaussianBlur(noise, (0, 0), 1.5)):
        ours, opencv = (sift(*DEFAULT)(image, None, 1000) for sift in (NativeSift, OpencvSift))
        assert abs(len(ours) - len(opencv)) <= 0.02 * len(opencv)
        if len(opencv):
            assert shared(opencv, ours) > 0.98


def test_threads_change_nothing():
    before = cv2.getNumThreads()
    try:
        by_threads = []
        for count in (1, 2, 5):
            cv2.setNumThreads(count)
            by_threads.append(NativeSift(*DEFAULT)(PHOTO, None, 500))
    finally:
        cv2.setNumThreads(before)
    assert_same(by_threads[0], by_threads[1])
    assert_same(by_threads[0], by_threads[2])


def test_one_extractor_serves_several_threads_and_sizes_of_images():
    extractor = create_extractor("sift", 300)
    images = [PHOTO, PHOTO[:200, :300], PHOTO[100:140], PHOTO[::-1]] * 3
    images = [np.ascontiguousarray(image) for image in images]
    alone = [create_extractor("sift", 300)(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(extractor, images))
    for a, b in zip(alone, together, strict=True):
        assert_same(a, b)


def test_opencv_serves_without_the_library(monkeypatch, tmp_path):
    native = create_extractor("sift", 500)
    expected = native(PHOTO)
    assert native.implementation == "sift.cpp"
    sift_native._library.cache_clear()
    monkeypatch.setattr(sift_native, "_LIBRARY", tmp_path / "libsift.so")
    try:
        opencv = create_extractor("sift", 500)
    finally:
        sift_native._library.cache_clear()
    assert opencv.implementation.startswith("OpenCV") and "libsift.so" in opencv.implementation
    assert shared(opencv(PHOTO), expected) > 0.98
    assert opencv.bytes_per_pixel > native.bytes_per_pixel


@pytest.mark.slow
def test_processors_without_avx2_find_the_same(monkeypatch, tmp_path):
    if shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler as c++")
    library = tmp_path / "libsift.so"
    flags = "-std=c++17 -O2 -fPIC -shared -pthread -DSIMD=".split()
    subprocess.run(["c++", *flags, SOURCE, "-o", library], check=True)
    here = NativeSift(*DEFAULT)(PHOTO, None, 10**6)
    sift_native._library.cache_clear()
    monkeypatch.setattr(sift_native, "_LIBRARY", library)
    try:
        plain = NativeSift(*DEFAULT)(PHOTO, None, 10**6)
    finally:
        sift_native._library.cache_clear()
    assert shared(here, plain) > 0.995 and shared(plain, here) > 0.995
