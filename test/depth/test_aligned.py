# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depths read from aligned depth images."""

from __future__ import annotations

import numpy as np
import pytest

from feature_booster_ros.depth import DepthSensor, DepthSettings
from feature_booster_ros.depth.aligned import read_depths
from feature_booster_ros.features import Features, create_extractor
from feature_booster_ros.rendering.renderer import cast
from feature_booster_ros.sources import open_source

CENTER = np.array([[20.2, 14.8]], np.float32)


def wall(meters: float = 2.0) -> np.ndarray:
    return np.full((30, 40), meters, np.float32)


def features_at(keypoints: np.ndarray) -> Features:
    count = len(keypoints)
    ones = np.ones(count, np.float32)
    return Features(keypoints, ones, ones, ones, np.zeros((count, 32), np.uint8))


def test_depth_of_a_wall_and_the_sensor_s_noise():
    depths, sigmas = read_depths(wall(2.0), CENTER, noise=0.01, noise_growth=0.005)
    assert depths.dtype == sigmas.dtype == np.float32
    assert depths[0] == 2.0
    assert sigmas[0] == pytest.approx(0.01 + 0.005 * 4)


def test_flying_pixels_and_small_holes_do_no_harm():
    depth = wall()
    depth[15, 20] = 2.9  # the keypoint's own
    depth[13:15, 18:21] = np.nan
    assert read_depths(depth, CENTER)[0][0] == 2.0


def test_a_hole_is_unknown():
    depth = wall()
    depth[13:16] = np.nan
    depths, sigmas = read_depths(depth, CENTER)
    assert np.isnan(depths[0])
    assert np.isnan(sigmas[0])


def test_the_edge_of_an_object_is_unknown():
    depth = wall()
    depth[:, 21:] = 3.0
    assert np.isnan(read_depths(depth, CENTER)[0][0])


def test_a_slanted_floor_is_known_with_more_uncertainty():
    rows = np.arange(30, dtype=np.float32)[:, None]
    depth = np.repeat(2 + 0.01 * (rows - 15), 40, axis=1)
    depths, sigmas = read_depths(depth, CENTER)
    assert depths[0] == pytest.approx(2.0, abs=1e-6)
    assert sigmas[0] > read_depths(wall(), CENTER)[1][0]


def test_keypoints_at_the_border_of_the_image_are_read():
    keypoints = np.array([[0, 0], [39.4, 29.4], [-0.5, 29.5]], np.float32)
    np.testing.assert_array_equal(read_depths(wall(), keypoints)[0], [2, 2, 2])


def test_all_unknown_and_no_keypoints():
    assert np.isnan(read_depths(wall(np.nan), CENTER)[0]).all()
    depths, sigmas = read_depths(wall(), np.zeros((0, 2), np.float32))
    assert depths.shape == sigmas.shape == (0,)


def test_sensor_leaves_out_what_is_beyond_its_range():
    depth = wall()
    depth[:, 20:] = 5.0
    keypoints = np.array([[5, 5], [35, 5]], np.float32)
    sensor = DepthSensor(DepthSettings(max_depth=4.0))
    measured = sensor.read_aligned(features_at(keypoints), depth, depth.shape)
    np.testing.assert_array_equal(measured.depths, np.float32([2.0, np.nan]))
    np.testing.assert_array_equal(np.isnan(measured.depth_sigmas), [False, True])


def test_sensor_refuses_depth_of_another_size():
    with pytest.raises(ValueError, match=r"40 x 30 .* 80 x 60"):
        DepthSensor().read_aligned(features_at(CENTER), wall(), (60, 80))


def test_rendered_depth_is_right_at_sub_pixel_positions():
    source = open_source("rendered:frames=40,depth=true,width=320,height=240")
    extractor, sensor = create_extractor("sift", max_features=500), DepthSensor()
    for index in (0, 20):
        frame = next(source.frames(start=index))
        features = sensor.read_aligned(extractor(frame.image), frame.depth, frame.image.shape)
        is_known = np.isfinite(features.depths)
        truth, _ = cast(
            source.scene, frame.camera.matrix, frame.pose, features.keypoints.astype(np.float64)
        )
        errors = np.abs(features.depths - truth)[is_known]
        assert is_known.mean() > 0.7
        assert np.mean(errors < 3 * features.depth_sigmas[is_known]) > 0.98
