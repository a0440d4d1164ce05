# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""matcher_node: matches with the right frame, verified, and drawn while somebody subscribes."""

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from camera_messages import camera_info_message, gray_photograph, image_message
from conftest import newest_values, wait_for
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from feature_booster_ros.features import Features, create_extractor
from feature_booster_ros.matching import match, verify
from feature_booster_ros.msg import FeatureArray, MatchArray
from feature_booster_ros.nodes.camera_info import uncalibrated
from feature_booster_ros.nodes.messages import from_match_array, to_feature_array

GRAY = gray_photograph()
MATRIX = np.array(camera_info_message().k).reshape(3, 3)


def moved(pixels: float) -> np.ndarray:
    """The photograph as a camera sees it that has moved to the side: all shifted, and the lower
    half by more.
    """
    rows, columns = np.indices(GRAY.shape, dtype=np.float32)
    return cv2.remap(
        GRAY,
        columns + pixels * (1 + rows / 120),
        rows,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )


def extract(image: np.ndarray, name: str = "sift") -> Features:
    return create_extractor(name, max_features=400)(image)


FRAMES = [extract(moved(pixels)) for pixels in (0, 6, 12, 18)]

# Not lazy, as it may not have seen the test's subscription by the first frame; diagnostics often,
# as the test waits for them.
ALWAYS = {"lazy": False, "diagnostics_period": 0.1}


class Frames:
    """Publishes FeatureArrays, one when the last has been worked on, and takes the matches."""

    def __init__(self, ros):
        self._ros = ros
        self._sent = 0
        self.matches = ros.listen(MatchArray, "matches")
        self._diagnostics = ros.listen(DiagnosticArray, "/diagnostics")

    def send(self, features, stamp, info=None, detector="sift", model="none"):
        info = camera_info_message(stamp=stamp) if info is None else info
        header = Header(stamp=Time(sec=stamp), frame_id="camera")
        self.publish(to_feature_array(features, header, info, detector, model))

    def publish(self, message):
        self._ros.publish("features", message)
        self._sent += 1
        # One that waits while the next comes would be dropped, as it should be.
        wait_for(lambda: self._worked_on() >= self._sent, "work on the frame")

    def _worked_on(self):
        """Frames that matcher_node has processed or refused, by its last status."""
        values = newest_values(self._diagnostics, f"{self._ros.namespace}/matcher_node")
        return sum(int(values.get(key, 0)) for key in ("processed", "errors", "out_of_order"))

    def take(self, features, stamp, *args, **kwargs):
        """The MatchArray of a frame that has a reference."""
        self.send(features, stamp, *args, **kwargs)
        wait_for(
            lambda: self.matches and self.matches[-1].header.stamp.sec == stamp,
            f"matches of frame {stamp}",
        )
        return self.matches[-1]


@pytest.fixture
def frames(ros):
    return Frames(ros)


@pytest.fixture
def start_matcher(start_node):
    """Starts matcher_node with parameters."""
    return lambda **parameters: start_node("matcher_node", parameters={**ALWAYS, **parameters})


@pytest.mark.parametrize("calibrated", [True, False])
def test_matches_and_inliers_are_those_of_the_library(start_matcher, frames, ros, calibrated):
    start_matcher(ratio=0.9)
    info = camera_info_message() if calibrated else uncalibrated(None, 320, 240)
    frames.send(FRAMES[0], 1, info)
    message = frames.take(FRAMES[1], 2, info)
    assert len(frames.matches) == 1  # none for the first frame
    matches, inliers, query_points, reference_points = from_match_array(message)
    expected = match(FRAMES[1], FRAMES[0], ratio=0.9)
    np.testing.assert_array_equal(matches.indices, expected.indices)
    np.testing.assert_allclose(matches.distances, expected.distances, atol=1e-6)
    np.testing.assert_array_equal(query_points, FRAMES[1].keypoints[expected.indices[:, 0]])
    np.testing.assert_array_equal(reference_points, FRAMES[0].keypoints[expected.indices[:, 1]])
    matrices = (MATRIX, MATRIX) if calibrated else (None, None)
    geometry = verify(reference_points, query_points, *matrices)
    assert geometry.model == ("essential" if calibrated else "fundamental")
    np.testing.assert_array_equal(inliers, geometry.inliers)
    assert inliers.sum() > 50
    assert (message.header.frame_id, message.reference_stamp.sec) == ("camera", 1)


def test_binary_descriptors(start_matcher, frames):
    start_matcher()
    a, b = extract(GRAY, "orb"), extract(moved(6), "orb")
    frames.send(a, 1, detector="orb")
    matches, inliers, _, _ = from_match_array(frames.take(b, 2, detector="orb"))
    np.testing.assert_array_equal(matches.indices, match(b, a).indices)
    assert inliers.sum() > 50


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("plumb_bob", [-0.25, 0.06, 0.0, 0.0, 0.0]),
        ("equidistant", [0.05, -0.02, 0.0, 0.0]),
        ("mystery", [0.1]),
    ],
)
def test_distortion(start_matcher, frames, model, coefficients):
    node = start_matcher()
    info = camera_info_message(d=coefficients, distortion_model=model)
    frames.send(FRAMES[0], 1, info)
    _, inliers, query_points, reference_points = from_match_array(frames.take(FRAMES[1], 2, info))
    if model == "mystery":
        node.wait_for_output("distortion model 'mystery' is not supported")
        matrices = None, None
    else:
        undistort = cv2.fisheye.undistortPoints if model == "equidistant" else cv2.undistortPoints
        query_points, reference_points = (
            undistort(points[:, None].astype(float), MATRIX, np.array(coefficients), P=MATRIX)[:, 0]
            for points in (query_points, reference_points)
        )
        matrices = MATRIX, MATRIX
    np.testing.assert_array_equal(
        inliers, verify(reference_points, query_points, *matrices).inliers
    )


def test_previous_frame_is_the_reference(start_matcher, frames):
    start_matcher()
    frames.send(FRAMES[0], 1)
    references = [frames.take(FRAMES[i], i + 1).reference_stamp.sec for i in (1, 2, 3)]
    assert references == [1, 2, 3]


def test_keyframe_stays_the_reference_until_the_view_has_changed(start_matcher, frames, ros):
    node = start_matcher(
        reference="keyframe", keyframe_min_inliers=30, keyframe_max_displacement=0.05
    )
    frames.send(FRAMES[0], 1)
    # 6 pixels at the top and 18 at the bottom: about 10 of 320, below 0.05; twice that is above.
    assert frames.take(FRAMES[1], 2).reference_stamp.sec == 1
    assert frames.take(FRAMES[2], 3).reference_stamp.sec == 1
    assert frames.take(FRAMES[3], 4).reference_stamp.sec == 3
    # Nothing in common: the frame becomes the keyframe, unless there is next to nothing in it.
    none = Features.empty(128, binary=False)
    assert frames.take(none, 5).reference_stamp.sec == 3
    other = extract(np.ascontiguousarray(GRAY[::-1, ::-1].T[:240, :]))
    assert frames.take(other, 6).reference_stamp.sec == 3
    assert frames.take(other, 7).reference_stamp.sec == 6
    assert ros.set_parameters(node.full_name, reference="previous")[0].successful
    frames.take(other, 8)
    assert frames.take(other, 9).reference_stamp.sec == 8


def test_frames_without_features(start_matcher, frames):
    start_matcher()
    none = Features.empty(128, binary=False)
    frames.send(none, 1)
    assert len(frames.take(FRAMES[0], 2).inliers) == 0
    assert len(frames.take(none, 3).inliers) == 0
    assert len(frames.take(none, 4).inliers) == 0
    few = FRAMES[0].select(np.arange(3))
    frames.take(few, 5)
    assert list(frames.take(few, 6).inliers) == [0, 0, 0]


def test_a_late_frame_is_left_out_and_frames_of_one_stamp_are_matched(start_matcher, frames):
    node = start_matcher()
    frames.send(FRAMES[0], 101)
    frames.take(FRAMES[1], 102)
    frames.send(FRAMES[0], 102)
    wait_for(lambda: len(frames.matches) == 2, "matches of the second frame of one stamp")
    node.wait_for_output("(repeated, in whole seconds)")
    frames.send(FRAMES[0], 101)
    node.wait_for_output("101.000000000 comes after 102.000000000 (out of order)")
    assert frames.take(FRAMES[1], 103).reference_stamp.sec == 102
    assert len(frames.matches) == 3


def test_what_cannot_be_matched_restarts(start_matcher, frames):
    node = start_matcher()
    frames.send(FRAMES[0], 101)
    assert frames.take(FRAMES[1], 102).reference_stamp.sec == 101
    orb = extract(GRAY, "orb")
    for features, stamp, options, text in (
        (FRAMES[0], 1, {}, "stamps went back by 101.000 s"),
        (
            orb,
            3,
            {"detector": "orb"},
            "descriptors changed from sift none of 128 floats to orb none of 256 bits",
        ),
        (FRAMES[0], 5, {"model": "SIFT+Boost-F"}, "to sift SIFT+Boost-F of 128 floats"),
    ):
        frames.send(features, stamp, **options)
        # The next frame has this one as its reference.
        assert frames.take(features, stamp + 1, **options).reference_stamp.sec == stamp
        if text.startswith("stamps"):  # the other warnings may be throttled
            node.wait_for_output(text)
    assert len(frames.matches) == 4
    assert "Traceback" not in node.output()


@pytest.mark.parametrize("reference", ["previous", "keyframe"])
@pytest.mark.parametrize("calibrated", [True, False])
def test_images_of_two_sizes_are_matched(start_matcher, frames, calibrated, reference):
    """Photographs, and a camera whose resolution is set while it runs."""
    node = start_matcher(reference=reference)
    wide = extract(cv2.resize(moved(6), (480, 360)))
    infos = [camera_info_message(320, 240), camera_info_message(480, 360, focal=450.0)]
    if not calibrated:
        infos = [uncalibrated(info, info.width, info.height) for info in infos]
    frames.send(FRAMES[0], 1, infos[0])
    message = frames.take(wide, 2, infos[1])
    matches, inliers, _, _ = from_match_array(message)
    np.testing.assert_array_equal(matches.indices, match(wide, FRAMES[0]).indices)
    assert message.reference_stamp.sec == 1 and inliers.sum() > 50
    message = frames.take(FRAMES[2], 3, infos[0])
    assert message.reference_stamp.sec == 2 and from_match_array(message)[1].sum() > 50
    assert "[WARN]" not in node.output()


def test_bad_messages_are_reported_and_skipped(start_matcher, frames, ros):
    node = start_matcher()
    frames.send(FRAMES[0], 1)
    bad = to_feature_array(
        FRAMES[0], Header(stamp=Time(sec=2)), camera_info_message(), "sift", "none"
    )
    bad.scale = bad.scale[:-1]
    frames.publish(bad)
    node.wait_for_output("FeatureArray.scale has")
    assert frames.take(FRAMES[1], 3).reference_stamp.sec == 1
    frames.take(FRAMES[0], 4, camera_info_message(k=[float("nan")] * 9))
    node.wait_for_output("CameraInfo is of no use: camera matrix must be finite")
    assert "Traceback" not in node.output() and node.running()


def test_parameters_take_effect_while_it_runs(start_matcher, frames, ros):
    node = start_matcher()
    frames.send(FRAMES[0], 1)
    everything = len(frames.take(FRAMES[1], 2).inliers)
    assert ros.set_parameters(node.full_name, top_k=20)[0].successful
    assert len(frames.take(FRAMES[2], 3).inliers) == 20 < everything
    refused = ros.set_parameters(node.full_name, ratio=0.0, reference="next", qos_input_depth=3)
    assert not any(result.successful for result in refused)
    for result, name in zip(refused, ("ratio", "'reference'", "'qos_input_depth'"), strict=True):
        assert name in result.reason


def test_features_are_received_only_while_somebody_wants_matches(start_node, ros):
    """So that booster_node, which is lazy too, does nothing for matches that nobody wants."""
    node = start_node("matcher_node", parameters={"diagnostics_period": 0.1})
    publisher = ros.publisher(FeatureArray, "features")
    diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
    node.wait_for_output("active: waiting for a subscription")

    def messages():
        statuses = [s for message in list(diagnostics) for s in message.status]
        return [s.message for s in statuses if s.name.startswith(ros.namespace.lstrip("/"))]

    wait_for(lambda: "idle, as nobody subscribes" in messages(), "the idle status")
    assert publisher.get_subscription_count() == 0
    for message_type, topic in ((MatchArray, "matches"), (Image, "match_image")):
        subscription = ros.node.create_subscription(message_type, topic, lambda message: None, 10)
        wait_for(publisher.get_subscription_count, f"the subscription to features for {topic}")
        ros.node.destroy_subscription(subscription)
        wait_for(lambda: publisher.get_subscription_count() == 0, "the end of the subscription")
    assert ros.set_parameters(node.full_name, lazy=False)[0].successful
    wait_for(publisher.get_subscription_count, "the subscription of a node that is not lazy")


def test_match_image_only_while_somebody_subscribes(start_matcher, frames, ros):
    start_matcher(qos_image_reliability="reliable")
    images = ros.publisher(Image, "image")

    def send(stamp, pixels):
        image = moved(pixels)
        if images.get_subscription_count():
            ros.publish("image", image_message(image, "mono8", stamp))
        return frames.take(extract(image), stamp)

    frames.send(FRAMES[0], 1)
    send(2, 6)
    assert images.get_subscription_count() == 0
    pictures = []
    subscription = ros.node.create_subscription(Image, "match_image", pictures.append, 10)
    wait_for(images.get_subscription_count, "the subscription to image")
    send(3, 12)
    # Once a picture has come, the next shows images of both of its frames.
    stamps = iter(range(4, 10_000, 2))
    wait_for(lambda: send(next(stamps), 12) and pictures, "a picture")
    message = send(next(stamps) + 1, 18)
    stamp = message.header.stamp.sec
    picture = wait_for(
        lambda: [p for p in pictures if p.header.stamp.sec == stamp], "the picture of the frame"
    )[0]
    assert (picture.encoding, picture.width, picture.height) == ("bgr8", 644, 240)
    pixels = np.frombuffer(picture.data, np.uint8).reshape(240, 644, 3)
    # Reference left and query right, away from the text and wherever there is no line.
    for part, expected in (
        (pixels[60:, :320], moved(12)[60:]),
        (pixels[60:, 324:], moved(18)[60:]),
    ):
        assert (part == expected[:, :, None]).all(axis=2).mean() > 0.2
    green = (pixels[:, :, 1].astype(int) - pixels[:, :, 2] > 100).sum()
    assert green > 1000 and sum(message.inliers) > 50
    ros.node.destroy_subscription(subscription)
    wait_for(lambda: images.get_subscription_count() == 0, "the end of the subscription to image")


def test_picture_without_the_image(start_matcher, frames, ros):
    start_matcher(match_image_layout="overlay")
    pictures = ros.listen(Image, "match_image")
    frames.send(FRAMES[0], 1)
    stamps = iter(range(2, 10_000))
    wait_for(lambda: frames.take(FRAMES[1], next(stamps)) and pictures, "a picture")
    assert (pictures[0].width, pictures[0].height) == (320, 240)


def test_picture_is_as_wide_as_people_look_at_and_compressed(start_matcher, frames, ros):
    start_matcher(match_image_layout="overlay", match_image_max_width=100)
    pictures = ros.listen(Image, "match_image")
    compressed = ros.listen(CompressedImage, "match_image/compressed")
    frames.send(FRAMES[0], 1)
    stamps = iter(range(2, 10_000))
    wait_for(
        lambda: frames.take(FRAMES[1], next(stamps)) and pictures and compressed, "both pictures"
    )
    assert (pictures[0].width, pictures[0].height) == (100, 75)
    content = np.frombuffer(compressed[0].data, np.uint8)
    assert cv2.imdecode(content, cv2.IMREAD_COLOR).shape == (75, 100, 3)


def test_too_many_features_are_refused(start_matcher, frames):
    node = start_matcher(max_input_features=100)
    few = FRAMES[0].select(slice(100))
    frames.send(few, 1)
    frames.send(FRAMES[1], 2)
    node.wait_for_output("more than parameter 'max_input_features' allows (100)")
    frames.take(few, 3)


def test_no_match_image_when_it_is_off(start_matcher, frames, ros):
    start_matcher(match_image=False)
    frames.send(FRAMES[0], 1)
    frames.take(FRAMES[1], 2)
    assert not ros.node.get_publishers_info_by_topic(f"{ros.namespace}/match_image")


def test_booster_and_matcher_together(start_node, frames, ros):
    """From images to verified matches: the nodes find each other by their default topics."""
    start_node(
        "booster_node",
        parameters={"model": "none", "qos_input_reliability": "reliable", "max_features": 400},
    )
    start_node("matcher_node")
    features = ros.listen(FeatureArray, "features")
    wait_for(
        lambda: len(ros.node.get_subscriptions_info_by_topic(f"{ros.namespace}/features")) == 2,
        "both subscriptions",
    )
    stamp = 0

    def go_on():
        # The two nodes may not have found each other yet with the first images.
        nonlocal stamp
        stamp += 1
        ros.publish("camera_info", camera_info_message(stamp=stamp))
        ros.publish("image", image_message(moved(stamp % 4), "mono8", stamp))
        wait_for(
            lambda: features and features[-1].header.stamp.sec == stamp,
            f"features of image {stamp}",
        )
        return frames.matches

    wait_for(go_on, "matches")
    assert sum(frames.matches[-1].inliers) > 50


def test_the_start_of_a_recording_is_matched(start_node, frames, tmp_path):
    """The player waits until the matcher, whose matches are wanted, receives features."""
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), moved(3 * number))
    waits = {"source": str(tmp_path), "wait_for_nodes": "booster_node, matcher_node"}
    start_node("image_player_node", parameters={**waits, "rate": 2.0, "at_end": "stay"})
    start_node("booster_node", parameters={"model": "none", "qos_input_reliability": "reliable"})
    start_node("matcher_node")
    wait_for(lambda: len(frames.matches) == 3, "matches of all frames but the first")
