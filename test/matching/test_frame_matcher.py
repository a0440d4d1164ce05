# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which frame each frame of a stream is matched with, on points of a known motion."""

import dataclasses

import numpy as np
import pytest

from feature_booster_ros.camera import Camera
from feature_booster_ros.features import FeatureFrame, Features
from feature_booster_ros.matching import FrameMatcher, FrameMatcherSettings, match, verify

WIDTH, HEIGHT, COUNT = 640, 480, 120
RNG = np.random.default_rng(0)
POINTS = RNG.uniform((0, 0), (WIDTH, HEIGHT), (COUNT, 2)).astype(np.float32)
DEPTHS = RNG.uniform(0.5, 1.0, COUNT).astype(np.float32)
DESCRIPTORS = RNG.normal(size=(COUNT, 128)).astype(np.float32)
DESCRIPTORS /= np.linalg.norm(DESCRIPTORS, axis=1, keepdims=True)
CAMERA = Camera(WIDTH, HEIGHT, np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]))
KEYFRAMES = FrameMatcherSettings(use_keyframes=True, keyframe_min_inliers=30, device="cpu")


def frame(number, displacement=0.0, count=COUNT, camera=None, scale=1.0, first=0):
    """A frame whose points have moved right by displacement / depth pixels."""
    points = POINTS.copy()
    points[:, 0] += displacement / DEPTHS
    features = Features(
        points * np.float32(scale), np.ones(COUNT, np.float32), np.zeros(COUNT, np.float32),
        np.ones(COUNT, np.float32), DESCRIPTORS,
    ).select(np.arange(first, first + count))  # fmt: skip
    size = round(WIDTH * scale), round(HEIGHT * scale)
    return FeatureFrame(features, camera, *size, number, "camera", "sift", "none")


def references(matcher, *frames):
    """The numbers of the frames that each one is matched with, None for none."""
    results = [matcher.match(each) for each in frames]
    return [result and result.reference.stamp_ns for result in results]


def test_the_previous_frame_is_the_reference():
    assert references(FrameMatcher(), *map(frame, range(4))) == [None, 0, 1, 2]


def test_a_reset_makes_the_next_frame_the_first():
    matcher = FrameMatcher()
    assert references(matcher, frame(0), frame(1)) == [None, 0]
    matcher.reset()
    assert references(matcher, frame(2), frame(3)) == [None, 2]


def test_a_keyframe_stays_until_the_view_has_moved():
    # The limit is a tenth of 640 pixels; the median of displacement / depth is about 1.3 times it.
    numbers = references(
        FrameMatcher(KEYFRAMES), frame(0), frame(1, 20), frame(2, 40), frame(3, 60), frame(4, 80)
    )
    assert numbers == [None, 0, 0, 0, 3]


def test_few_inliers_make_a_keyframe_unless_the_frame_is_poor_itself():
    other_half = {"first": 80, "count": 40}
    matcher = FrameMatcher(KEYFRAMES)
    assert references(matcher, frame(0, count=80), frame(1, count=10), frame(2)) == [None, 0, 0]
    assert references(matcher, frame(3, **other_half), frame(4, **other_half)) == [0, 3]


def test_a_frame_of_another_size_becomes_the_keyframe():
    matcher = FrameMatcher(KEYFRAMES)
    assert references(matcher, frame(0), frame(1, scale=0.5), frame(2, scale=0.5)) == [None, 0, 1]


def test_settings_may_be_replaced_between_frames():
    matcher = FrameMatcher(KEYFRAMES)
    assert references(matcher, frame(0), frame(1), frame(2)) == [None, 0, 0]
    matcher.settings = dataclasses.replace(KEYFRAMES, use_keyframes=False, top_k=7)
    assert len(matcher.match(frame(3)).matches) == 7
    assert references(matcher, frame(4)) == [3]


@pytest.mark.parametrize("camera", [None, CAMERA])
def test_matches_and_inliers_are_those_of_match_and_verify(camera):
    matcher = FrameMatcher(dataclasses.replace(KEYFRAMES, ratio=0.9))
    first, second = frame(0, camera=camera), frame(1, 30, camera=camera)
    matcher.match(first)
    result = matcher.match(second)
    expected = match(second.features, first.features, ratio=0.9)
    np.testing.assert_array_equal(result.matches.indices, expected.indices)
    np.testing.assert_array_equal(result.query_points, second.features.keypoints[
        expected.indices[:, 0]])  # fmt: skip
    matrix = None if camera is None else camera.matrix
    geometry = verify(result.reference_points, result.query_points, matrix, matrix)
    np.testing.assert_array_equal(result.inliers, geometry.inliers)
    assert result.inliers.sum() > 0.9 * COUNT
    assert result.matching_seconds > 0 and result.verifying_seconds > 0


def test_descriptors_that_cannot_be_compared_leave_the_reference():
    matcher = FrameMatcher()
    binary = dataclasses.replace(frame(1), features=Features.empty(256, binary=True))
    matcher.match(frame(0))
    with pytest.raises(ValueError, match="of one kind"):
        matcher.match(binary)
    assert references(matcher, frame(2)) == [0]
