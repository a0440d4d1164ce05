# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CameraInfo as the intrinsics of an image: region of interest, binning, distortion, nonsense."""

import numpy as np
import pytest
from camera_messages import camera_info_message
from sensor_msgs.msg import RegionOfInterest

from feature_booster_ros.nodes.camera_info import (
    CameraInfoError,
    camera_of,
    describe_image,
    to_camera_info,
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
    info = describe_image(camera_info_message(k=[0.0] * 9, p=[0.0] * 12, d=[]), 320, 240)
    assert camera_of(info) is None
    assert camera_of(uncalibrated(None, 320, 240)) is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"k": [float("nan")] * 9}, r"CameraInfo.*camera matrix must be finite.*calibrate"),
        ({"k": [300.0, 0.0, float("inf"), 0.0, 300.0, 120.0, 0.0, 0.0, 1.0]}, "camera matrix"),
        ({"k": [-300.0, 0.0, 160.0, 0.0, 300.0, 120.0, 0.0, 0.0, 1.0]}, "fx=-300"),
        ({"k": [300.0, 0.0, 160.0, 0.0, 0.0, 120.0, 0.0, 0.0, 1.0]}, "fy=0"),
        ({"d": [float("nan")] * 5}, "distortion coefficients.*are not finite"),
    ],
)
def test_nonsense_is_refused_by_field(fields, named):
    with pytest.raises(CameraInfoError, match=named):
        describe_image(camera_info_message(**fields), 320, 240)


def test_camera_info_comes_back_field_by_field():
    info = camera_info_message(
        640, 480, d=[0.1, -0.2, 0.0, 0.0, 0.05, 0.0, 0.0, 0.0], distortion_model="plumb_bob",
        binning_x=2, binning_y=1, r=[0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
    )  # fmt: skip
    info.roi = RegionOfInterest(x_offset=16, y_offset=8, width=320, height=200, do_rectify=True)
    info.p[3] = -42.5
    camera = camera_of(info)
    assert (camera.width, camera.height) == (160, 200)
    assert to_camera_info(camera.calibration, 160, 200, info.header) == info
    rectified = camera_of(info, rectified=True)
    assert to_camera_info(rectified.calibration, 160, 200, info.header) == info


def test_a_camera_info_with_only_p_describes_a_rectified_image():
    info = camera_info_message(k=[0.0] * 9, d=[], distortion_model="")
    camera = camera_of(info)
    assert camera.rectified
    np.testing.assert_array_equal(camera.matrix, PINHOLE)
    assert list(describe_image(info, 320, 240).k) == PINHOLE.ravel().tolist()


def test_a_rectified_image_needs_p():
    info = camera_info_message(d=[0.1, 0.0, 0.0, 0.0, 0.0], p=[0.0] * 12)
    with pytest.raises(CameraInfoError, match="rectified, but P.* is zero"):
        camera_of(info, rectified=True)


def test_unknown_distortion_model():
    with pytest.raises(CameraInfoError, match="'mystery' is not supported: use plumb_bob"):
        camera_of(camera_info_message(d=[0.1], distortion_model="mystery"))
