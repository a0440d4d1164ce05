# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One booster_node that serves several cameras, with one network."""

import time

import numpy as np
import pytest
from camera_messages import camera_info_message, gray_photograph, image_message
from conftest import wait_for
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from feature_booster_ros.booster import Booster
from feature_booster_ros.features import create_extractor
from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.nodes.messages import from_feature_array

# Images of two sizes, so that each camera's features tell whose they are.
IMAGES = {"left": gray_photograph(), "right": gray_photograph((400, 300))}
BASE = {
    "cameras": "left, right",
    "qos_input_reliability": "reliable",
    "lazy": False,
    "diagnostics_period": 0.2,
}
RAW = {**BASE, "model": "none", "use_camera_info": False}


class Cameras:
    """Publishes images of both cameras, and takes what booster_node makes of them."""

    def __init__(self, ros):
        self._ros = ros
        self._stamp = 0
        self.features = {name: ros.listen(FeatureArray, f"{name}/features") for name in IMAGES}
        self._diagnostics = ros.listen(DiagnosticArray, "/diagnostics")

    def send(self, name, **fields):
        self._stamp += 1
        fields = {"encoding": "mono8", **fields}
        image = image_message(IMAGES[name], stamp=self._stamp, **fields)
        self._ros.publish(f"{name}/image", image)
        return self._stamp

    def take(self, name):
        """Return the FeatureArray of a camera's image."""
        stamp, features = self.send(name), self.features[name]
        wait_for(lambda: features and features[-1].header.stamp.sec == stamp, f"features of {name}")
        return features[-1]

    def status(self, name, condition):
        """Return the first status of a camera for which ``condition(level, message, values)``."""
        own = f"{self._ros.namespace.lstrip('/')}/booster_node: frames of {name}"

        def find():
            for array in list(self._diagnostics):
                for status in array.status:
                    values = {pair.key: pair.value for pair in status.values}
                    if status.name == own and condition(status.level, status.message, values):
                        return status.level, status.message, values
            return None

        return wait_for(find, f"the status of {name}")


@pytest.fixture
def cameras(ros):
    return Cameras(ros)


def test_each_camera_has_its_features(start_node, cameras, ros):
    node = start_node("booster_node", parameters=BASE)
    boost, extract = Booster.from_pretrained("SIFT+Boost-F"), create_extractor("sift")
    for name, image in IMAGES.items():
        height, width = image.shape
        info = camera_info_message(width, height, stamp=cameras._stamp + 1, focal=float(width))
        ros.publish(f"{name}/camera_info", info)
        message = cameras.take(name)
        expected = boost(extract(image), image.shape)
        received = from_feature_array(message)
        np.testing.assert_array_equal(received.keypoints, expected.keypoints)
        np.testing.assert_allclose(received.descriptors, expected.descriptors, atol=3e-3)
        assert message.camera_info.k[0] == width
        cameras.status(name, lambda _, __, v: v["processed"] == v["received"] == "1")
    output = node.output()
    assert output.count("features: sift, SIFT+Boost-F") == 1  # one network is loaded
    for name in IMAGES:
        assert f"{ros.namespace}/{name}/image and {ros.namespace}/{name}/camera_info" in output


def assert_answered(cameras, name, last):
    """The newest image of a camera is answered, and the others are, in order, or are counted."""
    features = cameras.features[name]
    wait_for(lambda: features[-1].header.stamp.sec == last, f"features of the newest of {name}")
    stamps = [message.header.stamp.sec for message in features]
    assert stamps == sorted(set(stamps))
    _, _, values = cameras.status(name, lambda _, __, v: v["processed"] == str(len(stamps)))
    assert int(values["dropped"]) == int(values["received"]) - len(stamps) > 0


def test_cameras_take_turns_and_each_is_answered_with_its_newest_image(start_node, cameras):
    """A camera that sends more does not keep the other from being answered."""
    start_node("booster_node", parameters=RAW)
    for name in IMAGES:
        cameras.take(name)
    for _ in range(100):
        last = {"left": cameras.send("left"), "right": cameras.send("right")}
        for _ in range(3):
            last["left"] = cameras.send("left")
            time.sleep(0.002)
    for name in IMAGES:
        assert_answered(cameras, name, last[name])
    left, right = (len(features) for features in cameras.features.values())
    assert 0.5 < left / right < 2.0


def test_silent_or_faulty_camera_does_not_hold_up_the_other(start_node, cameras):
    """One camera sends nothing, then images that cannot be read, then a good one."""
    node = start_node("booster_node", parameters=RAW)
    cameras.take("right")
    cameras.status(
        "left",
        lambda level, text, _: level == DiagnosticStatus.STALE and "/left/image" in text,
    )
    cameras.send("left", step=100)
    count = len(cameras.take("right").x)
    cameras.status(
        "left", lambda level, text, _: level == DiagnosticStatus.ERROR and "Image.step" in text
    )
    cameras.send("left", encoding="rgb9")
    assert len(cameras.take("right").x) == count > 50
    cameras.status("right", lambda _, __, v: v["processed"] == "3" and v["errors"] == "0")
    output = node.wait_for_output("booster_node.left]: frame skipped")
    assert "right]: frame skipped" not in output
    assert not cameras.features["left"] and len(cameras.take("left").x) > 50


def test_camera_that_waits_for_camera_info_does_not_hold_up_the_other(start_node, cameras, ros):
    start_node("booster_node", parameters={**BASE, "model": "none"})
    cameras.send("left")
    ros.publish("right/camera_info", camera_info_message(400, 300, stamp=cameras._stamp + 1))
    cameras.take("right")
    assert not cameras.features["left"]


def test_messages_name_the_topics_of_each_camera(start_node, cameras, ros):
    node = start_node("booster_node", parameters=RAW)
    for name in IMAGES:  # neither report is throttled by the other
        node.wait_for_output(f"no images on {ros.namespace}/{name}/image: is the camera running")
        assert f"(-r {name}/image:=/camera/image_raw)" in node.output()


def test_each_camera_is_lazy_by_itself(start_node, ros):
    start_node("booster_node", parameters={**RAW, "lazy": True})
    features = ros.listen(FeatureArray, "left/features")
    diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
    own = f"{ros.namespace.lstrip('/')}/booster_node: frames of right"

    def idle():
        for stamp, name in enumerate(IMAGES, start=round(time.monotonic())):
            ros.publish(f"{name}/image", image_message(IMAGES[name], "mono8", stamp=stamp))
        right = [status for array in list(diagnostics) for status in array.status]
        return features and any(
            status.name == own and pair.key == "idle" and pair.value != "0"
            for status in right
            for pair in status.values
        )

    wait_for(idle, "features of the camera that somebody subscribes to")


def test_topics_of_a_camera_are_remapped(start_node, cameras, ros):
    start_node("booster_node", parameters=RAW, remappings={"left/image": "driver/image_raw"})
    ros.publish("driver/image_raw", image_message(IMAGES["left"], "mono8"))
    wait_for(lambda: cameras.features["left"], "features")


@pytest.mark.parametrize(
    ("cameras", "reason"),
    [
        ("left,", "parameter 'cameras' has the name '', which no topic can have"),
        ("left, 2nd", "parameter 'cameras' has the name '2nd', which no topic can have"),
        ("/left,right", "parameter 'cameras' has the name '/left', which no topic can have"),
        ("left,left", "parameter 'cameras' names a camera twice: left,left"),
    ],
)
def test_wrong_names_end_the_node_with_the_reason(start_node, cameras, reason):
    node = start_node("booster_node", parameters={"model": "none", "cameras": cameras})
    assert node.wait() == 1
    assert reason in node.output().splitlines()[-1]
