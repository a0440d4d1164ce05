# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CameraInfo as the intrinsics of an image: region of interest, binning, distortion, nonsense."""

import cv2
import numpy as np
import pytest
from camera_messages import camera_info_message
from sensor_msgs.msg import RegionOfInterest

from feature_booster_ros.nodes.camera_model import (
    CameraInfoError,
    camera_of,
    describe_image,
    uncalibrated,
)

PINHOLE = np.array([[300.0, 0.0, 160.0], [0.0, 300.0, 120.0], [0.0, 0.0, 1.0]])


def test_plain():
    camera = camera_of(describe_image(camera_info_message(), 320, 240))
    np.testing.assert_array_equal(camera.matrix, PINHOLE)


def test_region_of_interest_and_binning():
    info = camera_info_message(640, 480, binning_x=2, binning_y=2)
    info.roi = RegionOfInterest(x_offset=100, y_offset=40, width=200, height=120)
    described = describe_image(info, 100, 60)
    assert (described.width, described.height, described.binning_x, described.roi.width) == (
        100,
        60,
        0,
        0,
    )
    np.testing.assert_allclose(
        camera_of(described).matrix, [[150, 0, 110], [0, 150, 100], [0, 0, 1]]
    )
    # A ray lands on the pixel that the crop and the binning bring it to.
    ray = np.array([0.1, -0.2, 1.0])
    full = np.array(info.k).reshape(3, 3) @ ray
    small = camera_of(described).matrix @ ray
    np.testing.assert_allclose(small[:2], (full[:2] - [100, 40]) / 2)
    assert info.roi.width == 200  # the driver's message is left alone


def test_size_that_the_driver_leaves_out():
    described = describe_image(camera_info_message(width=0, height=0), 320, 240)
    assert (described.width, described.height) == (320, 240)


@pytest.mark.parametrize("size", [(640, 480), (320, 241), (240, 320)])
def test_another_size_is_refused(size):
    with pytest.raises(CameraInfoError, match=rf"320 x 240.*{size[0]} x {size[1]}"):
        describe_image(camera_info_message(), *size)


def test_rectified_images_take_the_projection_matrix():
    info = camera_info_message(d=[-0.3, 0.1, 0.0, 0.0, 0.0])
    info.p = [280.0, 0.0, 155.0, -28.0, 0.0, 281.0, 118.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    camera = camera_of(describe_image(info, 320, 240, rectified=True))
    np.testing.assert_allclose(camera.matrix, [[280, 0, 155], [0, 281, 118], [0, 0, 1]])
    assert len(camera.distortion) == 0


def test_zero_intrinsics_are_unknown_ones():
    info = describe_image(camera_info_message(k=[0.0] * 9, d=[]), 320, 240)
    assert camera_of(info).matrix is None
    assert camera_of(uncalibrated(None, 320, 240)).matrix is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"k": [float("nan")] * 9}, r"CameraInfo\.k has values that are not finite.*calibrate"),
        ({"k": [300.0, 0.0, float("inf"), 0.0, 300.0, 120.0, 0.0, 0.0, 1.0]}, r"CameraInfo\.k"),
        ({"k": [-300.0, 0.0, 160.0, 0.0, 300.0, 120.0, 0.0, 0.0, 1.0]}, r"CameraInfo\.k.*fx=-300"),
        ({"k": [300.0, 0.0, 160.0, 0.0, 0.0, 120.0, 0.0, 0.0, 1.0]}, r"CameraInfo\.k.*fy=0"),
        ({"d": [float("nan")] * 5}, r"CameraInfo\.d has values that are not finite"),
    ],
)
def test_nonsense_is_refused_by_field(fields, named):
    with pytest.raises(CameraInfoError, match=named):
        describe_image(camera_info_message(**fields), 320, 240)


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("plumb_bob", [-0.3, 0.1, 0.001, -0.002, 0.0]),
        ("rational_polynomial", [0.1, -0.05, 0.001, 0.001, 0.01, 0.2, -0.1, 0.01]),
        ("equidistant", [0.01, -0.02, 0.005, -0.001]),
    ],
)
def test_distortion_is_undone(model, coefficients):
    camera = camera_of(camera_info_message(d=coefficients, distortion_model=model))
    rng = np.random.default_rng(0)
    rays = np.column_stack([rng.uniform(-0.4, 0.4, (50, 2)), np.ones(50)])
    nothing = np.zeros(3)
    if model == "equidistant":
        seen, _ = cv2.fisheye.projectPoints(
            rays[:, None], nothing, nothing, PINHOLE, np.array(coefficients)
        )
    else:
        seen, _ = cv2.projectPoints(rays, nothing, nothing, PINHOLE, np.array(coefficients))
    ideal = rays @ PINHOLE.T
    np.testing.assert_allclose(camera.undistort(seen.reshape(-1, 2)), ideal[:, :2], atol=0.02)
    assert camera.undistort(np.zeros((0, 2))).shape == (0, 2)


def test_fisheye_points_out_of_range_are_not_numbers():
    camera = camera_of(camera_info_message(d=[0.01, 0.0, 0.0, 0.0], distortion_model="equidistant"))
    undistorted = camera.undistort(np.array([[160.0, 120.0], [1e5, 1e5]]))
    np.testing.assert_allclose(undistorted[0], [160, 120])
    assert not np.isfinite(undistorted[1]).all() or np.abs(undistorted[1]).max() > 1e3


def test_unknown_distortion_model():
    camera = camera_of(camera_info_message(d=[0.1], distortion_model="mystery"))
    with pytest.raises(CameraInfoError, match="'mystery' is not supported: use plumb_bob"):
        camera.undistort(np.zeros((1, 2)))
