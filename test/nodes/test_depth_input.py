# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""booster_node with depth images and with a right camera, over DDS: good input and faults."""

from __future__ import annotations

import time

import numpy as np
import pytest
from camera_messages import gray_photograph, image_message
from conftest import wait_for
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.nodes.camera_info import to_camera_info
from feature_booster_ros.nodes.images import to_compressed_depth, to_compressed_image
from feature_booster_ros.nodes.messages import from_feature_array
from feature_booster_ros.sources import open_source

GRAY = gray_photograph()
SHAPE = GRAY.shape
BASE = {
    "model": "none",
    "qos_input_reliability": "reliable",
    "lazy": False,
    "diagnostics_period": 0.2,
    "max_features": 500,
}
ALIGNED = {**BASE, "depth_input": "aligned", "use_camera_info": False}
STEREO = {**BASE, "depth_input": "stereo"}
MILLIMETERS = np.full(SHAPE, 1500, np.uint16)


class Camera:
    """Publishes images and what tells their depth, and takes what booster_node makes of them."""

    def __init__(self, ros):
        self.ros = ros
        self.stamp = 0
        self.features = ros.listen(FeatureArray, "features")
        self._diagnostics = ros.listen(DiagnosticArray, "/diagnostics")

    def take(self, depth=None, encoding="16UC1", shift=0.0):
        """Return the features of an image with a depth image of ``shift`` s later."""
        self.stamp += 1
        if depth is not None:
            message = image_message(depth, encoding, self.stamp + shift)
            self.ros.publish("depth", message)
        self.ros.publish("image", image_message(GRAY, "mono8", self.stamp))
        return self.answer()

    def answer(self):
        wait_for(
            lambda: self.features and self.features[-1].header.stamp.sec == self.stamp,
            f"features of image {self.stamp}",
        )
        return self.features[-1]

    def status(self, condition, what):
        def find():
            for array in list(self._diagnostics):
                for status in array.status:
                    values = {pair.key: pair.value for pair in status.values}
                    own = status.name.startswith(self.ros.namespace.lstrip("/"))
                    if own and condition(status.level, status.message, values):
                        return values
            return None

        return wait_for(find, what)

    def told(self, level, *texts):
        return self.status(
            lambda found, message, _: found == level and all(text in message for text in texts),
            f"the status {texts}",
        )


@pytest.fixture
def camera(ros):
    return Camera(ros)


def test_depth_of_features_in_millimeters_and_meters(start_node, camera):
    start_node("booster_node", parameters={**ALIGNED, "depth_noise": 0.01, "max_depth": 4.0})
    depth = np.full(SHAPE, 1500, np.uint16)
    depth[:, :100] = 0
    depth[:, 200:] = 5000
    meters = np.where(depth > 0, depth / np.float32(1000), np.float32(np.nan)).astype(np.float32)
    for message in (camera.take(depth), camera.take(meters, "32FC1")):
        features = from_feature_array(message)
        x = features.keypoints[:, 0]
        assert np.isnan(features.depths[(x < 97) | (x > 203)]).all()
        inside = (x > 103) & (x < 197)
        assert inside.sum() > 50
        np.testing.assert_array_equal(features.depths[inside], np.float32(1.5))
        sigma = np.float32(0.01 + 0.0025 * 1.5**2)
        np.testing.assert_allclose(features.depth_sigmas[inside], sigma, rtol=1e-5)
    values = camera.status(
        lambda _, message, v: message == "running" and v["frames_with_depth"] == "2", "both frames"
    )
    assert 0.1 < float(values["depth_share"]) < 0.9
    assert float(values["depth_ms"]) > 0


def test_compressed_depth(start_node, camera):
    start_node("booster_node", parameters={**ALIGNED, "image_transport": "compressed"})
    camera.stamp = 1
    header = image_message(GRAY, "mono8", 1).header
    camera.ros.publish("depth/compressedDepth", to_compressed_depth(MILLIMETERS, header))
    camera.ros.publish("image/compressed", to_compressed_image(GRAY, "mono8", header, 95))
    np.testing.assert_array_equal(camera.answer().depth, np.float32(1.5))


def test_depth_that_vanishes_costs_no_frame_and_comes_back(start_node, camera):
    start_node("booster_node", parameters=ALIGNED)
    assert len(camera.take(MILLIMETERS).depth) > 50
    for _ in range(4):
        message = camera.take()
        assert len(message.x) > 50
        assert len(message.depth) == len(message.depth_sigma) == 0
    camera.told(DiagnosticStatus.WARN, "no depth", "s from that of the image", "stopped")
    wait_for(lambda: len(camera.take(MILLIMETERS).depth) > 50, "depth again")
    camera.told(DiagnosticStatus.OK, "running")


def test_depth_that_gets_lost_now_and_then_is_told(start_node, camera):
    start_node("booster_node", parameters=ALIGNED)
    for index in range(12):
        message = camera.take(MILLIMETERS if index % 3 else None)
        assert len(message.x) > 50
        assert index % 3 or len(message.depth) == 0
    camera.told(DiagnosticStatus.WARN, "of the latest", "have no depth", "docs/reliability.md")


def test_depth_that_never_comes_names_the_topic_and_the_remedy(start_node, camera):
    start_node("booster_node", parameters=ALIGNED)
    for _ in range(4):
        assert len(camera.take().depth) == 0
    camera.told(DiagnosticStatus.WARN, "nothing comes on", "/depth", "-r depth:=")


def test_depth_that_is_shifted_in_time(start_node, camera):
    start_node("booster_node", parameters=ALIGNED)
    assert len(camera.take(MILLIMETERS, shift=0.015).depth) > 50
    for _ in range(4):
        assert len(camera.take(MILLIMETERS, shift=0.1).depth) == 0
    camera.told(DiagnosticStatus.WARN, "s from that of the image, more than 0.02 s")


def test_depth_of_another_size_names_both_and_the_remedy(start_node, camera):
    start_node("booster_node", parameters=ALIGNED)
    message = camera.take(np.full((480, 640), 1500, np.uint16))
    assert len(message.x) > 50
    assert len(message.depth) == 0
    camera.told(DiagnosticStatus.ERROR, "640 x 480", "320 x 240", "align")


@pytest.mark.parametrize(
    ("depth", "encoding"),
    [(np.zeros(SHAPE, np.uint16), "16UC1"), (np.full(SHAPE, np.nan, np.float32), "32FC1"),
     (np.full(SHAPE, np.inf, np.float32), "32FC1"), (np.full(SHAPE, -1, np.float32), "32FC1")],
    ids=["zero", "NaN", "infinite", "negative"],
)  # fmt: skip
def test_empty_depth_is_unknown_and_told(start_node, camera, depth, encoding):
    start_node("booster_node", parameters=ALIGNED)
    for _ in range(4):
        message = camera.take(depth, encoding)
        assert len(message.depth) == len(message.x) > 50
        assert np.isnan(message.depth).all()
        assert np.isnan(message.depth_sigma).all()
    camera.told(DiagnosticStatus.WARN, "none at any feature")


def test_an_image_that_is_no_depth_names_what_is(start_node, camera):
    start_node("booster_node", parameters=ALIGNED)
    assert len(camera.take(GRAY, "mono8").depth) == 0
    camera.told(DiagnosticStatus.ERROR, "mono8", "16UC1")
    assert len(camera.take(MILLIMETERS, "mono16").depth) > 50  # as some drivers call it


def test_each_of_several_cameras_has_its_depth(start_node, camera, ros):
    start_node("booster_node", parameters={**ALIGNED, "cameras": "left,right"})
    features = {name: ros.listen(FeatureArray, f"{name}/features") for name in ("left", "right")}
    for meters, name in enumerate(features, 1):
        depth = np.full(SHAPE, 1000 * meters, np.uint16)
        ros.publish(f"{name}/depth", image_message(depth, "16UC1", 1))
        ros.publish(f"{name}/image", image_message(GRAY, "mono8", 1))
    for meters, (name, messages) in enumerate(features.items(), 1):
        wait_for(lambda messages=messages: messages, f"features of {name}")
        np.testing.assert_array_equal(messages[0].depth, np.float32(meters))


# A right camera


@pytest.fixture(scope="module")
def pair():
    """Return a frame with the image of a right camera, and its exact depth."""
    return next(iter(open_source("rendered:depth=true,baseline=0.1,width=320,height=240,frames=2")))


def publish_pair(camera, frame, right=None, has_right_info=True, **left_info):
    """Publish a pair with the next stamp; a right image of None is left out."""
    camera.stamp += 1
    header = image_message(GRAY, "mono8", camera.stamp).header
    info = to_camera_info(frame.calibration, 320, 240, header)
    for name, value in left_info.items():
        setattr(info, name, value)
    camera.ros.publish("camera_info", info)
    if right is not None:
        if has_right_info:
            calibration = frame.right.camera.calibration
            right_info = to_camera_info(calibration, 320, 240, header)
            camera.ros.publish("right/camera_info", right_info)
        camera.ros.publish("right/image", image_message(right, "mono8", camera.stamp))
    camera.ros.publish("image", image_message(frame.image, "mono8", camera.stamp))
    return camera.answer()


def test_stereo_measures_depth(start_node, camera, pair):
    start_node("booster_node", parameters=STEREO)
    features = from_feature_array(publish_pair(camera, pair, pair.right.image))
    is_known = np.isfinite(features.depths)
    assert is_known.mean() > 0.5
    columns, rows = np.rint(features.keypoints[is_known]).astype(int).T
    truth = pair.depth[rows, columns]
    assert np.nanmedian(np.abs(features.depths[is_known] - truth) / truth) < 0.03


def test_a_right_camera_that_dies_and_comes_back(start_node, camera, pair):
    start_node("booster_node", parameters=STEREO)
    assert len(publish_pair(camera, pair, pair.right.image).depth) > 0
    for _ in range(4):
        message = publish_pair(camera, pair)
        assert len(message.x) > 50
        assert len(message.depth) == 0
    camera.told(DiagnosticStatus.WARN, "no depth", "right/image", "stopped")
    wait_for(lambda: len(publish_pair(camera, pair, pair.right.image).depth) > 0, "depth again")
    camera.told(DiagnosticStatus.OK, "running")


def test_right_images_without_camera_info_name_the_topic(start_node, camera, pair):
    start_node("booster_node", parameters=STEREO)
    for _ in range(4):
        assert len(publish_pair(camera, pair, pair.right.image, has_right_info=False).depth) == 0
        time.sleep(0.05)
    camera.told(DiagnosticStatus.WARN, "nothing on", "right/camera_info", "-r right/camera_info:=")


def test_right_images_of_something_else_are_told(start_node, camera, pair):
    start_node("booster_node", parameters=STEREO)
    for _ in range(4):
        assert np.isnan(publish_pair(camera, pair, np.zeros_like(pair.image)).depth).all()
    camera.told(DiagnosticStatus.WARN, "no feature is found on", "calibrated")


def test_calibrations_of_no_pair_are_told_and_cost_no_frame(start_node, camera, pair):
    start_node("booster_node", parameters=STEREO)
    matrix = pair.camera.matrix
    shifted = [*matrix[0], -100.0, *matrix[1], 0.0, *matrix[2], 0.0]
    message = publish_pair(camera, pair, pair.right.image, p=shifted)
    assert len(message.x) > 50
    assert len(message.depth) == 0
    camera.told(DiagnosticStatus.ERROR, "exchange them")
    publish_pair(camera, pair, pair.right.image, k=[0.0] * 9, p=[0.0] * 12)
    camera.told(DiagnosticStatus.ERROR, "intrinsics of the left camera")


def test_stereo_needs_camera_info(start_node):
    node = start_node("booster_node", parameters={**STEREO, "use_camera_info": False})
    assert node.wait() != 0
    assert "'depth_input' can be stereo only while 'use_camera_info' is true" in node.output()
