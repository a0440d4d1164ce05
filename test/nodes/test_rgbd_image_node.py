# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""rgbd_image_node, with messages of the definition of RTAB-Map's, which the test builds."""

import ctypes
import importlib
import os
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from ament_index_python.packages import get_packages_with_prefixes
from camera_messages import camera_info_message, image_message
from conftest import wait_for
from sensor_msgs.msg import Image

from feature_booster_ros.features import Features
from feature_booster_ros.nodes.messages import to_feature_array


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Return the prefix that the messages are installed to."""
    build, prefix = (tmp_path_factory.mktemp(name) for name in ("build", "prefix"))
    prefixes = os.environ["AMENT_PREFIX_PATH"].replace(os.pathsep, ";")
    for command in (
        ["cmake", "-S", Path(__file__).with_name("rtabmap_msgs"), "-B", build,
         f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DCMAKE_PREFIX_PATH={prefixes}",
         f"-DCMAKE_INSTALL_RPATH={prefix}/lib", f"-DPython3_EXECUTABLE={sys.executable}"],
        ["cmake", "--build", build, "--target", "install"],
    ):  # fmt: skip
        built = subprocess.run(command, capture_output=True, text=True)
        assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    for library in sorted(prefix.glob("lib/*.so")):
        ctypes.CDLL(str(library))  # the loader read this process's search path at its start
    return prefix


@pytest.fixture
def rgbd_images(installed, monkeypatch, ros, start_node) -> list:
    """Start the node where RTAB-Map's messages are installed, and return what it publishes."""
    (package,) = installed.glob("lib/python*/site-packages")
    for name, folder in (
        ("PYTHONPATH", package),
        ("LD_LIBRARY_PATH", installed / "lib"),
        ("AMENT_PREFIX_PATH", installed),
    ):
        monkeypatch.setenv(name, str(folder), prepend=os.pathsep)
    monkeypatch.syspath_prepend(package)
    messages = importlib.import_module("rtabmap_msgs.msg")
    start_node("rgbd_image_node", parameters={"qos_image_reliability": "reliable"})
    return ros.listen(messages.RGBDImage, "rgbd_image")


def features_of(points, descriptors, depths=None) -> Features:
    count = len(points)
    scales, angles = np.arange(1, count + 1, dtype=np.float32), np.full(count, np.pi / 2)
    features = Features(
        np.array(points, np.float32), scales, angles.astype(np.float32), scales * 10, descriptors
    )
    if depths is None:
        return features
    depths = np.array(depths, np.float32)
    return features.with_depths(depths, depths / 100)


def publish(ros, features, detector, depth=None) -> Image:
    """Publish an image, its depth and its features as a camera and booster_node do."""
    image = image_message(np.full((48, 64), 7, np.uint8), "mono8", 3.5)
    ros.publish("image", image)
    if depth is not None:
        ros.publish("depth", image_message(depth, "16UC1", 3.51))
    info = camera_info_message(64, 48, 3.5, 100.0)
    ros.publish("features", to_feature_array(features, image.header, info, detector, "none"))
    return image


def uncompressed(data) -> np.ndarray:
    """Return a matrix as rtabmap::uncompressData reads it."""
    stream = zlib.decompressobj()
    rows = stream.decompress(bytes(data))
    height, width, kind = np.frombuffer(stream.unused_data, np.int32)
    dtype = {cv2.CV_32F: np.float32, cv2.CV_8U: np.uint8}[kind]
    return np.frombuffer(rows, dtype).reshape(height, width)


def test_features_with_depth(ros, rgbd_images):
    rows = np.eye(128, dtype=np.float32)[:3]
    features = features_of([[32, 24], [42, 14], [1, 2]], rows, [2, 4, np.nan])
    image = publish(ros, features, "sift")
    message = wait_for(lambda: rgbd_images, "an RGBDImage")[0]
    assert message.header == image.header and message.rgb == image
    assert not message.depth.data
    assert message.rgb_camera_info.k[0] == 100 and message.rgb_camera_info.width == 64
    assert [(each.pt.x, each.pt.y) for each in message.key_points] == [(32, 24), (42, 14), (1, 2)]
    assert [each.size for each in message.key_points] == [2, 4, 6]
    assert [each.response for each in message.key_points] == [10, 20, 30]
    assert message.key_points[0].angle == pytest.approx(90)
    points = np.array([(each.x, each.y, each.z) for each in message.points])
    center = message.rgb_camera_info.k[2], message.rgb_camera_info.k[5]
    rays = (np.array([[32, 24], [42, 14]]) - center) / 100
    np.testing.assert_allclose(points[:2, :2], rays * [[2], [4]], atol=1e-6)
    assert points[:2, 2].tolist() == [2, 4] and np.isnan(points[2]).all()
    np.testing.assert_array_equal(uncompressed(message.descriptors), rows)


def test_an_aligned_depth_image(ros, rgbd_images):
    depth = np.full((48, 64), 1500, np.uint16)
    depth[:, 32:] = 0
    rows = np.random.default_rng(0).integers(0, 256, (2, 32), np.uint8)
    publish(ros, features_of([[10, 20], [50, 20]], rows), "orb", depth)
    message = wait_for(lambda: rgbd_images, "an RGBDImage")[0]
    assert message.depth.encoding == "16UC1" and message.depth_camera_info.k[0] == 100
    assert message.points[0].z == 1.5 and np.isnan(message.points[1].z)
    assert [each.size for each in message.key_points] == [31, 62]
    np.testing.assert_array_equal(uncompressed(message.descriptors), rows)


def test_without_depth_or_features(ros, rgbd_images):
    publish(ros, features_of([[10, 20]], np.eye(1, 128, dtype=np.float32)), "sift")
    message = wait_for(lambda: rgbd_images, "an RGBDImage")[0]
    assert len(message.key_points) == 1 and not message.points
    publish(ros, Features.empty(128, False), "sift")
    message = wait_for(lambda: rgbd_images[1:], "another RGBDImage")[0]
    assert not message.key_points and not message.descriptors and message.rgb.data


def test_missing_messages_are_named_with_the_remedy(start_node):
    if "rtabmap_msgs" in get_packages_with_prefixes():
        pytest.skip("needs an environment without rtabmap_msgs")
    node = start_node("rgbd_image_node")
    node.wait_for_output("sudo apt install ros-$ROS_DISTRO-rtabmap-msgs")
    assert node.wait() == 1
