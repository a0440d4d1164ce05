# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Booster, matcher and odometry go on after their camera, its driver or the clock has changed."""

import time

import cv2
import numpy as np
import pytest
from camera_messages import camera_info_message, image_message
from conftest import wait_for
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image

from feature_booster_ros.msg import MatchArray
from feature_booster_ros.nodes.messages import stamp_of
from feature_booster_ros.nodes.qos import stream_profile
from feature_booster_ros.rendering.sequence import RenderedSequence

START = 1_500_000_000.0
PARAMETERS = {
    "booster_node": {"model": "none", "max_features": 600, "qos_input_reliability": "reliable"},
    "matcher_node": {},
    "odometry_node": {"publish_tf": False},
}


@pytest.fixture(scope="module")
def flight():
    """Frames of the rendered sequence."""
    return list(RenderedSequence(frames=60, rate=10))[:30]


class Driver:
    """A camera's driver, which flies back and forth; what it does can be changed at any time."""

    def __init__(self, ros, flight):
        self._ros = ros
        self._flight = [*flight, *flight[-2:0:-1]]
        self.number = 0
        self.time = START
        self.interval = 0.1
        self.scale = 1.0
        self.focal_factor = 1.0
        self.encoding = "mono8"
        self.stamps = set()
        self.start()

    def start(self):
        """Make the publishers."""
        self._publishers = [
            self._ros.node.create_publisher(kind, topic, stream_profile("reliable", 5))
            for kind, topic in ((CameraInfo, "camera_info"), (Image, "image"))
        ]

    def stop(self):
        """End as a driver does that is killed."""
        for publisher in self._publishers:
            self._ros.node.destroy_publisher(publisher)

    def publish(self):
        """Publish the next frame."""
        frame = self._flight[self.number % len(self._flight)]
        pixels = cv2.resize(frame.image, None, fx=self.scale, fy=self.scale)
        if self.encoding == "bgr8":
            pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
        elif self.encoding == "mono16":
            pixels = pixels.astype(np.uint16) * 257
        matrix = np.diag([self.scale, self.scale, 1.0]) @ frame.camera.matrix
        matrix[[0, 1], [0, 1]] *= self.focal_factor
        image = image_message(pixels, self.encoding)
        info = camera_info_message(pixels.shape[1], pixels.shape[0], k=matrix.ravel())
        info.header = image.header
        image.header.stamp.sec = int(self.time)
        image.header.stamp.nanosec = round(self.time % 1 * 1e9)
        for publisher, message in zip(self._publishers, (info, image), strict=True):
            publisher.publish(message)
        self.stamps.add(stamp_of(image))
        self.number += 1
        self.time += self.interval


def vanish(driver):
    """The driver dies and is started again."""
    driver.stop()
    time.sleep(2.0)
    driver.time += 2.0
    driver.start()


def halve(driver):
    """The resolution."""
    driver.scale = 0.5


def color(driver):
    """The encoding."""
    driver.encoding = "bgr8"


def wide(driver):
    """The number of bits."""
    driver.encoding = "mono16"


def slow(driver):
    """The rate, by the stamps."""
    driver.interval = 0.5


def zoom(driver):
    """The intrinsics."""
    driver.focal_factor = 1.1


def forward(driver):
    """The clock, by an hour."""
    driver.time += 3600.0


def back(driver):
    """The clock, by an hour."""
    driver.time -= 3600.0


def restart(driver):
    """A bag is played from its start."""
    driver.time = START
    driver.number = 0


CHANGES = (vanish, halve, color, wide, slow, zoom, forward, back, restart)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_chain_goes_on(ros, start_node, flight, change):
    matches, odometry = ros.listen(MatchArray, "matches"), ros.listen(Odometry, "odometry")
    nodes = [start_node(name, parameters=PARAMETERS[name]) for name in PARAMETERS]
    driver = Driver(ros, flight)

    def is_followed():
        driver.publish()
        time.sleep(0.15)
        return all(
            len(driver.stamps.intersection(map(stamp_of, messages))) > 3
            for messages in (matches, odometry)
        )

    wait_for(is_followed, "odometry")
    change(driver)
    driver.stamps.clear()
    matches.clear()
    odometry.clear()
    wait_for(is_followed, f"odometry after: {change.__doc__}")
    for node in nodes:
        assert node.running()
        assert "ERROR" not in node.output() and "Traceback" not in node.output()
