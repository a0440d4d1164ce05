# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The evaluation's metrics against values worked out by hand."""

import math

import cv2
import numpy as np
import pytest

from feature_booster_ros.evaluation.homography import (
    corner_error,
    estimate_homography,
    transfer_errors,
)
from feature_booster_ros.evaluation.metrics import (
    bootstrap_error,
    error_auc,
    score_estimates,
    score_matches,
)
from feature_booster_ros.evaluation.relative_pose import (
    estimate_relative_pose,
    pose_error,
    resized_matrix,
    turn_about_axis,
    turned_matrix,
)
from feature_booster_ros.photos import warp_points

MATRIX = np.array([[300.0, 0, 150], [0, 320, 130], [0, 0, 1]])


def motion(degrees, axis=(0, 1, 0), translation=(1.0, 0, 0)):
    transform = np.eye(4)
    direction = np.array(axis, float) / np.linalg.norm(axis)
    transform[:3, :3] = cv2.Rodrigues(np.deg2rad(degrees) * direction)[0]
    transform[:3, 3] = translation
    return transform


def test_matching_accuracy_by_hand():
    first, second = np.array([0.5, 2.9, 3.1, np.nan]), np.array([])
    # The two right matches are of one corner; those that are wrong do not count.
    points = np.array([[9.5, 3.1], [11.0, 5.9], [50, 50], [70, 70]])
    score = score_matches([100, 200], [first, second], [points, np.zeros((0, 2))])
    assert score.distinct == 0.5
    assert (score.features, score.matches, score.correct, score.accuracy) == (150, 2, 1, 0.25)
    # The first pair's share, halved as the second has no match: 1 of 4 to 2 px, 2 at 3, then 3.
    assert score.curve == (0.125, 0.125, 0.25, *[0.375] * 7)
    assert score.pair_correct == (2, 0) and score.pair_accuracy == (0.5, 0)
    with pytest.raises(ValueError, match="no image pair"):
        score_matches([], [], [])


def test_bootstrap_errors_are_those_of_statistics():
    rng = np.random.default_rng(3)
    raw = rng.uniform(100, 900, 400)
    # Of a mean, the standard deviation over the root of the count.
    assert bootstrap_error(raw) == pytest.approx(raw.std() / 20, rel=0.1)
    # What differs between photographs is the same above and below the line of a ratio.
    boosted = 1.06 * raw + rng.normal(0, 10, 400)
    assert bootstrap_error(boosted, raw) == pytest.approx(10 / raw.mean() / 20, rel=0.1)
    assert bootstrap_error(raw, raw) == 0 == bootstrap_error([5])
    assert math.isnan(bootstrap_error([1, 2], [0, 3]))
    with pytest.raises(ValueError, match="as many"):
        bootstrap_error([1, 2], [1])


def test_auc_by_hand():
    # Recall over error: (0, 0), (1, 1/3), (3, 2/3), level to 5: 1/6 + 1 + 4/3, over 5.
    assert error_auc([3, math.inf, 1], 5) == pytest.approx(0.5)
    # What is exactly at the threshold comes too late; to 3: 1/6 + 2/3, over 3.
    assert error_auc([3, math.inf, 1], 3) == pytest.approx(5 / 18)
    assert error_auc([0, 0], 5) == 1
    assert error_auc([math.inf, 7], 5) == 0
    with pytest.raises(ValueError, match="no error"):
        error_auc([], 5)
    with pytest.raises(ValueError, match="NaN"):
        error_auc([1, math.nan], 5)


def test_pairs_without_an_estimate_are_counted():
    score = score_estimates([0.5, 4, math.inf, math.inf], (1, 5))
    assert (score.pairs, score.failures, score.median_error) == (4, 2, math.inf)
    assert score.accuracy == {1: 0.25, 5: 0.5}
    assert score_estimates([1, 2, math.inf], (5,)).median_error == 2


def test_corner_error_by_hand():
    truth = np.diag([2.0, 2.0, 1.0])
    shifted = np.array([[2.0, 0, 3], [0, 2, 4], [0, 0, 1]])
    assert corner_error(shifted, truth, (50, 80)) == pytest.approx(5)
    assert corner_error(-7 * shifted, truth, (50, 80)) == pytest.approx(5)  # the same homography
    # Three corners are right; that at x = 100 comes to 100 / 1.25 instead, as does its lower mate.
    bent = np.array([[1.0, 0, 0], [0, 1, 0], [0.0025, 0, 1]])
    far = np.hypot(20, 0), np.hypot(20, 40 - 40 / 1.25)
    assert corner_error(bent, np.eye(3), (41, 101)) == pytest.approx(sum(far) / 4)
    assert corner_error(None, truth, (50, 80)) == math.inf
    through_the_horizon = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0.02, -0.1]])
    assert corner_error(through_the_horizon, truth, (50, 80)) == math.inf


def test_a_homography_is_found_among_wrong_matches():
    rng = np.random.default_rng(0)
    truth = np.array([[1.1, 0.1, 5], [-0.1, 0.9, 8], [2e-4, 1e-4, 1]])
    points = rng.uniform(0, 300, (80, 2))
    matched = warp_points(points, truth)
    matched[:30] = rng.uniform(0, 300, (30, 2))
    assert np.sum(transfer_errors(points, matched, truth) < 1e-9) == 50
    assert corner_error(estimate_homography(points, matched), truth, (300, 300)) < 0.1
    assert estimate_homography(points[:3], matched[:3]) is None
    assert estimate_homography(np.ones((8, 2)), np.ones((8, 2))) is None


@pytest.mark.parametrize(
    ("estimate", "degrees"),
    [
        (motion(7), 7),
        (motion(-7, axis=(1, 2, 3)), 7),
        (motion(0, translation=(5, 0, 0)), 0),
        (motion(0, translation=(-1, 0, 0)), 0),  # the sign is left open
        (motion(0, translation=(-math.sqrt(3), 1, 0)), 30),
        (motion(2, translation=(0, 0, 1)), 90),
        (motion(180), 180),
        (motion(1e-4), 1e-4),
        (None, math.inf),
    ],
)
def test_pose_error_by_hand(estimate, degrees):
    assert pose_error(estimate, motion(0)) == pytest.approx(degrees, abs=1e-9)


def test_without_a_baseline_there_is_no_direction():
    assert math.isnan(pose_error(motion(0), motion(0, translation=(0, 0, 0))))
    assert math.isnan(pose_error(None, motion(0, translation=(0, 0, 0))))


def test_the_pose_comes_back_from_exact_points():
    rng = np.random.default_rng(1)
    truth = motion(12, axis=(1, 3, -1), translation=(0.6, -0.2, 0.3))
    points = rng.uniform([-2, -2, 4], [2, 2, 9], (60, 3))
    there = points @ truth[:3, :3].T + truth[:3, 3]
    other = np.array([[400.0, 0, 90], [0, 380, 200], [0, 0, 1]])
    pixels_a, pixels_b = (
        (seen @ matrix.T)[:, :2] / seen[:, 2:]
        for seen, matrix in ((points, MATRIX), (there, other))
    )
    geometry, estimate = estimate_relative_pose(pixels_a, pixels_b, MATRIX, other)
    assert geometry.inliers.all() and pose_error(estimate, truth) < 0.01
    assert estimate[:3, 3] @ truth[:3, 3] > 0  # before both cameras, so the sign is known, too
    geometry, estimate = estimate_relative_pose(pixels_a[:4], pixels_b[:4], MATRIX, other)
    assert geometry.model == "none" and estimate is None


@pytest.mark.parametrize("turns", range(5))
def test_a_turned_camera_sees_the_turned_image(turns):
    image = np.zeros((260, 310), np.uint8)
    x, y = 40, 200
    image[y, x] = 255
    point = np.linalg.inv(MATRIX) @ [x, y, 1] * 5
    turned = turn_about_axis(turns)[:3, :3] @ point
    seen = turned_matrix(MATRIX, image.shape, turns) @ turned
    row, column = np.argwhere(np.rot90(image, turns))[0]
    np.testing.assert_allclose(seen[:2] / seen[2], [column, row], atol=1e-9)


def test_a_shrunk_camera_keeps_the_image_corner():
    corner = [-0.5, -0.5, 1]  # of the first pixel, whose center is at (0, 0)
    ray = np.linalg.inv(MATRIX) @ corner
    np.testing.assert_allclose(resized_matrix(MATRIX, 0.25) @ ray, corner, atol=1e-12)
    assert resized_matrix(MATRIX, 0.25)[0, 0] == 75
