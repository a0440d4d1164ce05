# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbors against OpenCV's brute force, and two-view geometry against a known motion."""

import resource

import cv2
import numpy as np
import pytest

from feature_booster_ros.features import Features
from feature_booster_ros.matching import match, verify


def features_of(descriptors: np.ndarray) -> Features:
    count = len(descriptors)
    zeros = np.zeros(count, np.float32)
    return Features(np.zeros((count, 2), np.float32), zeros, zeros, zeros, descriptors)


def random_features(count: int, binary: bool, seed: int) -> Features:
    rng = np.random.default_rng(seed)
    if binary:
        return features_of(rng.integers(0, 256, (count, 32), dtype=np.uint8))
    rows = rng.standard_normal((count, 128)).astype(np.float32)
    return features_of(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.mark.parametrize("binary", [False, True])
def test_mutual_matches_are_opencvs(binary):
    a, b = random_features(700, binary, 0), random_features(900, binary, 1)
    if binary:  # Hamming distances tie, and who wins a tie is nobody's business: make them differ.
        a = features_of(np.concatenate([b.descriptors[:300] ^ np.uint8(1), a.descriptors]))
    reference = cv2.BFMatcher(cv2.NORM_HAMMING if binary else cv2.NORM_L2, crossCheck=True)
    expected = {
        (m.queryIdx, m.trainIdx): m.distance for m in reference.match(a.descriptors, b.descriptors)
    }
    matches = match(a, b)
    found = {
        tuple(pair): distance
        for pair, distance in zip(matches.indices.tolist(), matches.distances, strict=True)
    }
    if binary:
        expected = {pair: distance for pair, distance in expected.items() if distance < 40}
        found = {pair: distance for pair, distance in found.items() if distance < 40}
        assert len(expected) == 300
    assert found.keys() == expected.keys()
    assert all(abs(found[pair] - expected[pair]) < 1e-4 for pair in found)
    assert (np.diff(matches.distances) >= 0).all()


@pytest.mark.parametrize("binary", [False, True])
def test_one_way_matches_have_the_true_distances(binary):
    a, b = random_features(50, binary, 2), random_features(60, binary, 3)
    matches = match(a, b, mutual=False)
    assert sorted(matches.indices[:, 0]) == list(range(50))
    x, y = a.descriptors[matches.indices[:, 0]], b.descriptors[matches.indices[:, 1]]
    if binary:
        expected = np.unpackbits(x ^ y, axis=1).sum(1)
    else:
        expected = np.linalg.norm(x - y, axis=1)
    np.testing.assert_allclose(matches.distances, expected, atol=1e-5)


def test_equal_descriptors_are_at_distance_zero():
    a = random_features(20, False, 4)
    matches = match(a, a)
    np.testing.assert_array_equal(matches.distances, 0)
    np.testing.assert_array_equal(matches.indices[:, 0], matches.indices[:, 1])


def test_the_ratio_test_drops_what_is_ambiguous():
    b = random_features(40, False, 5)
    twin = b.descriptors[:1] + 1e-3
    ambiguous = features_of(
        np.concatenate([b.descriptors, twin / np.linalg.norm(twin)]).astype(np.float32)
    )
    noisy = b.descriptors + np.random.default_rng(0).normal(0, 0.005, b.descriptors.shape).astype(
        np.float32
    )
    kept = match(features_of(noisy), ambiguous, mutual=False, ratio=0.8).indices[:, 0]
    assert set(kept) == set(range(1, 40))


def test_distance_and_count_limits():
    a, b = random_features(100, True, 6), random_features(100, True, 7)
    everything = match(a, b)
    limit = float(np.median(everything.distances))
    near = match(a, b, max_distance=limit)
    assert len(near) == (everything.distances <= limit).sum()
    best = match(a, b, top_k=5)
    np.testing.assert_array_equal(best.distances, everything.distances[:5])


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 5), (5, 0), (1, 1), (3, 1)])
def test_few_features(n, m):
    matches = match(random_features(n, False, 0), random_features(m, False, 1), ratio=0.99)
    assert len(matches) == min(n, m, 1)
    assert matches.indices.shape == (len(matches), 2)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"ratio": 0.0}, "ratio"), ({"max_distance": -1}, "max_distance"), ({"top_k": 0}, "top_k")],
)
def test_a_wrong_option_is_named(options, text):
    a = random_features(3, False, 0)
    with pytest.raises(ValueError, match=text):
        match(a, a, **options)


def test_descriptors_of_two_kinds_are_refused():
    with pytest.raises(ValueError, match="binary of 256 and float of 128"):
        match(random_features(3, True, 0), random_features(3, False, 0))


CAMERA = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])


def two_views(count: int, wrong: int, distortion: np.ndarray | None = None):
    """Pixels of random points in two views, the last ones ``wrong``, and the essential matrix."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-3, -2, 4], [3, 2, 12], (count, 3))
    rotation, shift = np.array([0.02, -0.1, 0.03]), np.array([0.5, 0.1, 0.2])
    first = cv2.projectPoints(points, np.zeros(3), np.zeros(3), CAMERA, distortion)[0][:, 0]
    second = cv2.projectPoints(points, rotation, shift, CAMERA, distortion)[0][:, 0]
    first, second = (pixels + rng.normal(0, 0.2, pixels.shape) for pixels in (first, second))
    second[count - wrong :] += rng.uniform(30, 80, (wrong, 2)) * [1, -1]
    x, y, z = shift
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ cv2.Rodrigues(rotation)[0]
    return first, second, essential


@pytest.mark.parametrize("distortion", [None, np.array([-0.2, 0.05, 0.001, -0.001])])
def test_the_essential_matrix_and_its_inliers(distortion):
    first, second, essential = two_views(200, 60, distortion)
    geometry = verify(first, second, CAMERA, CAMERA, distortion, distortion)
    assert geometry.model == "essential"
    assert geometry.inliers[:140].mean() > 0.9 and geometry.inliers[140:].mean() < 0.2
    found = geometry.matrix / np.linalg.norm(geometry.matrix)
    cosine = abs((found * essential / np.linalg.norm(essential)).sum())
    assert cosine > 0.999


def test_the_fundamental_matrix_without_intrinsics():
    first, second, essential = two_views(200, 60)
    geometry = verify(first, second)
    assert geometry.model == "fundamental"
    assert geometry.inliers[:140].mean() > 0.9 and geometry.inliers[140:].mean() < 0.2
    inverse = np.linalg.inv(CAMERA)
    truth = inverse.T @ essential @ inverse
    assert (
        abs((geometry.matrix * truth).sum())
        / np.linalg.norm(truth)
        / np.linalg.norm(geometry.matrix)
        > 0.99
    )


@pytest.mark.parametrize("count", [0, 1, 4, 5, 7, 8])
@pytest.mark.parametrize("camera", [None, CAMERA])
def test_too_few_matches_give_no_model(count, camera):
    points = np.random.default_rng(0).uniform(0, 400, (count, 2))
    geometry = verify(points, points + 3, camera, camera)
    assert geometry.inliers.shape == (count,)
    if geometry.model == "none":
        assert geometry.matrix is None and not geometry.inliers.any()


def test_coincident_points_do_not_break_it():
    points = np.full((50, 2), 7.0)
    for camera in (None, CAMERA):
        assert verify(points, points, camera, camera).inliers.shape == (50,)


def test_wrong_input_is_refused():
    points = np.zeros((10, 2))
    with pytest.raises(ValueError, match="one length"):
        verify(points, points[:5])
    with pytest.raises(ValueError, match="both be given"):
        verify(points, points, CAMERA)
    with pytest.raises(ValueError, match="focal lengths above 0"):
        verify(points, points, np.zeros((3, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="threshold must be above 0"):
        verify(points, points, threshold=0)


def test_large_sets_are_matched_in_bounded_memory():
    a, b = random_features(20_000, True, 0), random_features(20_000, True, 1)
    match(random_features(64, True, 2), b)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    match(a, b)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 400  # MiB; all similarities at once would be 1526
