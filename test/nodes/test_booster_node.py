# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""booster_node: what it publishes for good input and for bad."""

import array
import time

import cv2
import numpy as np
import pytest
from camera_messages import camera_info_message, gray_photograph, image_message, photograph
from conftest import newest_values, wait_for
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from feature_booster_ros.booster import Booster
from feature_booster_ros.features import create_extractor
from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.nodes.messages import from_feature_array
from feature_booster_ros.nodes.qos import stream_profile

GRAY = gray_photograph()
# Reliable, so that the one image a test publishes arrives; not lazy, as the node may not have seen
# the test's subscription by then; diagnostics often, so that it need not wait for them.
BASE = {"qos_input_reliability": "reliable", "lazy": False, "diagnostics_period": 0.2}
ALONE = {**BASE, "use_camera_info": False}
RAW = {**ALONE, "model": "none"}


class Camera:
    """Publishes images and takes what booster_node makes of them."""

    def __init__(self, ros):
        self._ros = ros
        self._stamp = 0
        self.features = ros.listen(FeatureArray, "features")
        self._diagnostics = ros.listen(DiagnosticArray, "/diagnostics")

    def send(self, image, camera_info=None, topic="image"):
        """Publishes an image, with the next stamp, and its camera_info."""
        self._stamp += 1
        image.header.stamp.sec = self._stamp
        image.header.frame_id = "camera"
        if camera_info is not None:
            camera_info.header = image.header
            self._ros.publish("camera_info", camera_info)
        self._ros.publish(topic, image)
        return self._stamp

    def take(self, image, camera_info=None, topic="image"):
        """The FeatureArray of an image."""
        stamp = self.send(image, camera_info, topic)
        wait_for(
            lambda: self.features and self.features[-1].header.stamp.sec == stamp,
            f"features of image {stamp}",
        )
        return self.features[-1]

    def status(self, condition, what):
        """The first status on /diagnostics for which ``condition(level, message, values)``
        holds.
        """

        def find():
            for array_message in list(self._diagnostics):
                for status in array_message.status:
                    values = {pair.key: pair.value for pair in status.values}
                    own = status.name.startswith(self._ros.namespace.lstrip("/"))
                    if own and condition(status.level, status.message, values):
                        return status.level, status.message, values
            return None

        return wait_for(find, what)

    def error(self, text):
        """Waits for an error with ``text`` on /diagnostics."""
        return self.status(
            lambda level, message, _: level == DiagnosticStatus.ERROR and text in message,
            f"the error {text!r}",
        )

    def warning(self, text):
        """Waits for a warning with ``text`` on /diagnostics."""
        return self.status(
            lambda level, message, _: level == DiagnosticStatus.WARN and text in message,
            f"the warning {text!r}",
        )

    def messages(self):
        """The texts of all on /diagnostics."""
        return [status.message for array in list(self._diagnostics) for status in array.status]


@pytest.fixture
def camera(ros):
    return Camera(ros)


def assert_same(message, expected, tolerance=3e-3):
    """The features of a message are those expected."""
    received = from_feature_array(message)
    assert len(received) == len(expected) > 50
    np.testing.assert_array_equal(received.keypoints, expected.keypoints)
    np.testing.assert_array_equal(received.scales, expected.scales)
    np.testing.assert_array_equal(received.angles, expected.angles)
    np.testing.assert_array_equal(received.scores, expected.scores)
    np.testing.assert_allclose(received.descriptors, expected.descriptors, atol=tolerance)


def test_boosted_features_are_those_of_the_library(start_node, camera):
    start_node("booster_node", parameters=BASE)
    expected = Booster.from_pretrained("SIFT+Boost-F")(create_extractor("sift")(GRAY), GRAY.shape)
    info = camera_info_message(d=[-0.1, 0.02, 0.0, 0.0, 0.0])
    message = camera.take(image_message(GRAY, "mono8"), info)
    assert_same(message, expected)
    assert (message.detector, message.model, message.header.frame_id) == (
        "sift",
        "SIFT+Boost-F",
        "camera",
    )
    assert (message.camera_info.width, message.camera_info.height) == (320, 240)
    np.testing.assert_array_equal(message.camera_info.k, info.k)
    np.testing.assert_array_equal(message.camera_info.d, info.d)
    assert message.camera_info.header.stamp == message.header.stamp
    _, _, values = camera.status(lambda level, _, v: v["processed"] == "1", "a status of the frame")
    assert values["received"] == "1" and values["dropped"] == values["errors"] == "0"
    assert all(
        float(values[f"{stage}_ms"]) > 0 for stage in ("convert", "extract", "boost", "publish")
    )
    assert values["model"] == "SIFT+Boost-F"


def test_parameters_take_effect_while_it_runs(start_node, camera, ros):
    node = start_node("booster_node", parameters=BASE)
    matrix = np.array(camera_info_message().k).reshape(3, 3)

    def take(**parameters):
        for result in ros.set_parameters(node.full_name, **parameters):
            assert result.successful, result.reason
        return camera.take(image_message(GRAY, "mono8"), camera_info_message())

    sift = create_extractor("sift")(GRAY)
    assert len(camera.take(image_message(GRAY, "mono8"), camera_info_message()).x) == len(sift)
    boost = Booster.from_pretrained("SIFT+Boost-F")
    assert_same(take(normalization="intrinsics"), boost(sift, GRAY.shape, matrix))
    assert_same(
        take(normalization="image_size", descriptor_type="float32"),
        boost(sift, GRAY.shape),
        1e-5,
    )
    binary = take(model="SIFT+Boost-B")
    assert (binary.descriptor_type, binary.descriptor_length, binary.model) == (
        FeatureArray.BINARY,
        256,
        "SIFT+Boost-B",
    )
    assert_same(binary, Booster.from_pretrained("SIFT+Boost-B")(sift, GRAY.shape))
    orb = create_extractor("orb", max_features=300)(GRAY)
    message = take(model="ORB+Boost-B", max_features=300)
    assert message.detector == "orb"
    assert_same(message, Booster.from_pretrained("ORB+Boost-B")(orb, GRAY.shape))
    message = take(model="none")
    assert (message.detector, message.model) == ("sift", "none")
    assert_same(message, create_extractor("sift", max_features=300)(GRAY), 1e-5)
    (refused,) = ros.set_parameters(node.full_name, detector="sift_gpu")
    assert refused.successful or "pip install pycolmap-cuda12" in refused.reason
    assert_same(take(detector="orb"), orb)
    assert_same(
        take(orb_fast_threshold=40),
        create_extractor("orb", max_features=300, fast_threshold=40)(GRAY),
    )


def test_bad_images_are_reported_and_skipped(start_node, camera):
    node = start_node("booster_node", parameters=RAW)
    good = image_message(GRAY, "mono8")
    count = len(camera.take(good).x)
    assert count > 50
    for fields, text in (
        ({"encoding": "rgb9"}, "Image.encoding 'rgb9' is not supported"),
        ({"width": 0}, "Image.width is 0"),
        ({"height": 0}, "Image.height is 0"),
        ({"step": 100}, "Image.step is 100"),
        ({"data": array.array("B", bytes(10))}, "Image.data has 10 bytes"),
        ({"height": 1000}, "Image.data has 76800 bytes"),
    ):
        camera.send(image_message(GRAY, **{"encoding": "mono8", **fields}))
        camera.error(text)
        assert len(camera.take(good).x) == count, f"after {text}"
    assert "ERROR" in node.output() and "Traceback" not in node.output()
    assert node.running()


def test_usual_encodings(start_node, camera):
    start_node("booster_node", parameters={**RAW, "wide_pixels": "full_range"})
    color = photograph()
    expected = create_extractor("sift")(GRAY)
    for pixels, encoding in (
        (color, "bgr8"),
        (cv2.cvtColor(color, cv2.COLOR_BGR2RGB), "rgb8"),
        (cv2.cvtColor(color, cv2.COLOR_BGR2BGRA), "bgra8"),
        (GRAY.astype(np.uint16) * 257, "mono16"),
        (GRAY.astype(np.uint16) * 257, "16UC1"),
        (np.stack([GRAY, GRAY], axis=2), "yuyv"),
    ):
        message = camera.take(image_message(pixels, encoding, padding=4))
        np.testing.assert_array_equal(
            from_feature_array(message).keypoints, expected.keypoints, encoding
        )
    depth = GRAY.astype(np.float32) / 255
    depth[:20] = np.nan
    assert len(camera.take(image_message(depth, "32FC1")).x) > 50


@pytest.mark.parametrize("model", ["none", "SIFT+Boost-F"])
def test_one_color_gives_an_empty_array(start_node, camera, model):
    start_node("booster_node", parameters={**ALONE, "model": model})
    message = camera.take(image_message(np.full((240, 320), 128, np.uint8), "mono8"))
    assert len(message.x) == len(message.descriptors) == 0
    assert (message.descriptor_length, message.model) == (128, model)
    assert len(from_feature_array(message)) == 0
    camera.status(
        lambda level, _, v: v["processed"] == "1" and v["errors"] == "0", "a status without error"
    )


def test_compressed_images(start_node, camera, ros):
    start_node(
        "booster_node",
        parameters={**RAW, "image_transport": "compressed"},
        remappings={"image": "camera/image_raw"},
    )
    good = CompressedImage(format="png")
    good.data = array.array("B", cv2.imencode(".png", GRAY)[1].tobytes())
    topic = "camera/image_raw/compressed"
    assert_same(camera.take(good, topic=topic), create_extractor("sift")(GRAY))
    camera.send(CompressedImage(format="png", data=good.data[:50]), topic=topic)
    camera.error("CompressedImage.data of format 'png' (50 bytes) is truncated")
    camera.take(good, topic=topic)


def test_camera_info_that_makes_no_sense_is_reported_and_not_used(start_node, camera):
    node = start_node("booster_node", parameters={**BASE, "model": "none"})
    image = image_message(GRAY, "mono8")
    for fields, text in (
        ({"k": [float("nan")] * 9}, "CameraInfo is of no use: camera matrix must be finite"),
        ({"k": [-1.0] * 9}, "CameraInfo is of no use: camera matrix must have focal lengths"),
        (
            {"width": 640, "height": 480},
            "an image of 640 x 480 pixels, but the image has 320 x 240",
        ),
    ):
        message = camera.take(image, camera_info_message(**fields))
        camera.error(text)
        assert len(message.x) > 50
        assert not np.any(message.camera_info.k)
        assert (message.camera_info.width, message.camera_info.height) == (320, 240)
    message = camera.take(image, camera_info_message(k=[0.0] * 9, p=[0.0] * 12))
    assert not np.any(message.camera_info.k)
    node.wait_for_output("uncalibrated camera (k is zero)")
    time.sleep(2 * BASE["diagnostics_period"])  # past the errors of before
    camera.take(image, camera_info_message(k=[0.0] * 9, p=[0.0] * 12))
    camera.warning("/camera_info is of an uncalibrated camera")
    assert np.any(camera.take(image, camera_info_message()).camera_info.k)
    assert "Traceback" not in node.output()


def test_camera_info_that_does_not_come(start_node, camera):
    """Images wait for it for a while; then features come without intrinsics."""
    node = start_node(
        "booster_node",
        parameters={**BASE, "model": "none"},
        remappings={"camera_info": "elsewhere"},
    )
    camera.send(image_message(GRAY, "mono8"))
    time.sleep(1)
    assert not camera.features
    wait_for(lambda: camera.send(image_message(GRAY, "mono8")) and camera.features, "features")
    assert not np.any(camera.features[-1].camera_info.k)
    output = node.wait_for_output("Until it comes, features have no intrinsics")
    assert f"nothing on {camera._ros.namespace}/elsewhere" in output
    assert "use_camera_info:=false" in output
    camera.warning("images wait for camera_info: images come on")
    camera.send(image_message(GRAY, "mono8"))
    camera.status(
        lambda level, message, values: (
            level == DiagnosticStatus.WARN
            and "no intrinsics" in message
            and values.get("camera_info") == "none"
        ),
        "a warning on /diagnostics",
    )
    assert not any("overloaded" in text for text in camera.messages())


@pytest.mark.parametrize("topic", ["image", "camera_info"])
def test_best_effort_publisher_for_a_reliable_subscription(start_node, ros, topic):
    """The node says what keeps the messages from it, instead of asking for another topic."""
    reliability = {"image": "reliable", "camera_info": "reliable", topic: "best_effort"}
    publishers = {
        name: ros.node.create_publisher(
            kind, f"{ros.namespace}/{name}", stream_profile(reliability[name], 5)
        )
        for name, kind in (("image", Image), ("camera_info", CameraInfo))
    }
    node = start_node(
        "booster_node",
        parameters={**BASE, "model": "none", "qos_input_reliability": "reliable"},
    )

    def reported():
        publishers["image"].publish(image_message(GRAY, "mono8"))
        return "set the parameter qos_input_reliability to best_effort" in node.output()

    wait_for(reported, "the remedy")
    assert f"{ros.namespace}/{topic} is published as best effort" in node.output()


def test_stamps_that_are_only_near(start_node, camera, ros):
    """As of a driver that stamps camera_info itself; retired parameters are warned about."""
    node = start_node(
        "booster_node",
        parameters={**BASE, "model": "none", "approximate_sync": True, "sync_slop": 0.02},
    )
    for _ in range(6):
        camera.send(image_message(GRAY, "mono8"))
        late = camera_info_message()
        late.header.stamp.sec, late.header.stamp.nanosec = camera._stamp, 10_000_000
        ros.publish("camera_info", late)
        wait_for(lambda: len(camera.features) >= camera._stamp, "features of each image")
    assert np.any(camera.features[-1].camera_info.k)
    assert camera.features[-1].camera_info.header == camera.features[-1].header
    output = node.wait_for_output("images are paired with the newest of their frame_id")
    assert "parameter 'approximate_sync' no longer exists" in output and "'sync_slop'" in output
    camera.status(
        lambda level, message, values: (
            values.get("camera_info") == "newest"
            and values["received"] == values["processed"] == "6"
        ),
        "true counts",
    )


def test_stamps_that_repeat_are_a_warning(start_node, camera):
    node = start_node("booster_node", parameters={**ALONE, "model": "none"})
    camera.take(image_message(GRAY, "mono8"))
    camera._stamp -= 1
    camera.send(image_message(GRAY, "mono8"))
    camera.status(
        lambda level, message, values: (
            level == DiagnosticStatus.WARN
            and "stamps do not rise: 1 repeated" in message
            and values["repeated"] == "1"
        ),
        "a warning on /diagnostics",
    )
    node.wait_for_output("(repeated, in whole seconds)")


def test_simulated_time_without_a_clock_is_reported(start_node, camera):
    node = start_node("booster_node", parameters={**ALONE, "model": "none", "use_sim_time": True})
    camera.take(image_message(GRAY, "mono8"))
    camera.status(
        lambda level, message, values: level == DiagnosticStatus.WARN and "/clock" in message,
        "a warning on /diagnostics",
    )
    node.wait_for_output("ros2 bag play --clock BAG")


def test_overload_works_on_the_newest_image_and_counts_the_dropped(start_node, camera, ros):
    node = start_node("booster_node", parameters={**RAW, "qos_input_depth": 100})
    image = image_message(gray_photograph((1600, 1200)), "mono8")
    camera.take(image)
    count = 30
    last = [camera.send(image) for _ in range(count)][-1]
    # The node answers while it works.
    assert ros.set_parameters(node.full_name, max_features=100)[0].successful
    wait_for(lambda: camera.features[-1].header.stamp.sec == last, "features of the newest image")
    level, _, values = camera.status(
        lambda _, __, v: (
            int(v["received"]) == count + 1 and int(v["processed"]) + int(v["dropped"]) == count + 1
        ),
        "a status of all images",
    )
    assert int(values["dropped"]) > 0
    assert len(camera.features) == int(values["processed"])
    stamps = [message.header.stamp.sec for message in camera.features]
    assert stamps == sorted(set(stamps))
    camera.status(
        lambda level, text, _: level == DiagnosticStatus.WARN and "overloaded" in text,
        "a warning of overload",
    )
    node.wait_for_output("dropped")


def test_overlap_keeps_the_order_through_errors_and_deactivation(start_node, camera, ros):
    node = start_node(
        "booster_node",
        parameters={
            **ALONE,
            "model": "ORB+Boost-B",
            "max_features": 300,
            "overlap": "always",
            "engine": "eager",
            "threads": 1,
            "qos_input_depth": 100,
        },
    )
    good, bad = image_message(GRAY, "mono8"), image_message(GRAY, "rgb9")
    booster = Booster.from_pretrained("ORB+Boost-B", engine="eager")
    expected = booster(create_extractor("orb", max_features=300)(GRAY), GRAY.shape)
    assert_same(camera.take(good), expected)
    bad_stamps = set()
    for index in range(30):
        is_bad = index % 3 == 1
        stamp = camera.send(bad if is_bad else good)
        if is_bad:
            bad_stamps.add(stamp)
    assert_same(camera.take(good), expected)
    _, _, values = camera.status(
        lambda _, __, v: (
            v["received"] == "32"
            and sum(int(v[n]) for n in ("processed", "dropped", "errors")) == 32
        ),
        "a status of all images",
    )
    assert values["engine"] == "eager" and int(values["processed"]) == len(camera.features)
    for stage in ("queue", "convert", "extract", "handover", "boost", "publish", "total"):
        assert float(values[f"{stage}_ms"]) > 0
    for _ in range(5):
        camera.send(good)
    for transition in ("deactivate", "activate"):
        assert ros.transition(node.full_name, transition)
    for overlap in ("never", "auto"):
        assert ros.set_parameters(node.full_name, overlap=overlap)[0].successful
        assert_same(camera.take(good), expected)
    stamps = [message.header.stamp.sec for message in camera.features]
    assert stamps == sorted(set(stamps)) and not bad_stamps & set(stamps)
    assert node.running() and "Traceback" not in node.output()


def test_no_work_for_nobody(start_node, ros):
    """A lazy node leaves images alone until somebody subscribes."""
    node = start_node("booster_node", parameters={**RAW, "lazy": True})
    statuses = ros.listen(DiagnosticArray, "/diagnostics")

    def idle():
        ros.publish("image", image_message(GRAY, "mono8"))
        values = newest_values(statuses, node.full_name)
        return int(values.get("idle", 0)) > 1 and values

    assert wait_for(idle, "an idle node")["processed"] == "0"
    features = ros.listen(FeatureArray, "features")
    wait_for(lambda: idle() and features, "features for a subscriber")


def test_mask(start_node, camera, ros, tmp_path):
    mask = np.zeros(GRAY.shape, np.uint8)
    mask[:, :160] = 255
    paths = {}
    for name, picture in (("half", mask), ("small", mask[::2, ::2])):
        paths[name] = str(tmp_path / f"{name}.png")
        cv2.imwrite(paths[name], picture)
    node = start_node("booster_node", parameters={**RAW, "mask": paths["half"]})
    message = camera.take(image_message(GRAY, "mono8"))
    assert_same(message, create_extractor("sift")(GRAY, mask))
    assert max(message.x) < 160
    assert ros.set_parameters(node.full_name, mask=paths["small"])[0].successful
    camera.send(image_message(GRAY, "mono8"))
    camera.error("160 x 120 pixels, but the image 320 x 240")


def test_grid_spreads_the_features(start_node, camera):
    start_node(
        "booster_node", parameters={**RAW, "max_features": 64, "grid_rows": 4, "grid_columns": 4}
    )
    message = camera.take(image_message(GRAY, "mono8"))
    assert_same(message, create_extractor("sift", max_features=64, grid=(4, 4))(GRAY))
