# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages to arrays and back."""

import time

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from camera_messages import camera_info_message, gray_photograph
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from feature_booster_ros.features import Features, create_extractor
from feature_booster_ros.matching import Matches, match
from feature_booster_ros.msg import FeatureArray, MatchArray
from feature_booster_ros.nodes.messages import (
    FLOAT_DESCRIPTORS,
    from_feature_array,
    from_match_array,
    to_feature_array,
    to_match_array,
)


def make_features(count: int, binary: bool = False) -> Features:
    rng = np.random.default_rng(count)
    if binary:
        descriptors = rng.integers(0, 256, (count, 32), np.uint8)
    else:
        descriptors = rng.standard_normal((count, 128)).astype(np.float32)
        descriptors /= np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-9)
    scalars = rng.random((3, count)).astype(np.float32)
    return Features(rng.random((count, 2)).astype(np.float32) * 640, *scalars, descriptors)


def send(features: Features, descriptor_type: str = "float32") -> FeatureArray:
    """The message as it arrives on the other side of the middleware."""
    message = to_feature_array(
        features, Header(frame_id="camera"), camera_info_message(), "sift", "none", descriptor_type
    )
    return deserialize_message(serialize_message(message), FeatureArray)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("count", [0, 1, 37])
def test_features_survive_the_middleware(count, binary):
    features = make_features(count, binary)
    received = from_feature_array(send(features))
    for name in ("keypoints", "scales", "angles", "scores", "descriptors"):
        expected = getattr(features, name)
        np.testing.assert_array_equal(getattr(received, name), expected)
        assert getattr(received, name).dtype == expected.dtype
    assert received.is_binary == binary


def test_depths_survive_the_middleware():
    depths, sigmas = np.float32([1.5, np.nan, 20]), np.float32([0.1, np.nan, 2])
    received = from_feature_array(send(make_features(3).with_depths(depths, sigmas)))
    np.testing.assert_array_equal(received.depths, depths)
    np.testing.assert_array_equal(received.depth_sigmas, sigmas)
    message = send(make_features(3))
    assert len(message.depth) == len(message.depth_sigma) == 0
    assert from_feature_array(message).depths is None


@pytest.mark.parametrize(
    ("depth", "sigma", "reason"),
    [
        ([1.0, 2.0], [1.0, 2.0, 3.0], r"FeatureArray\.depth has 2 elements"),
        ([1.0, 2.0, 3.0], [], r"FeatureArray\.depth_sigma has 0 elements"),
        ([1.0, -2.0, 3.0], [1.0, 2.0, 3.0], "FeatureArray: depths of 1 of 3 features"),
        ([1.0, 2.0, 3.0], [1.0, float("nan"), 3.0], "FeatureArray: depth_sigmas of 1 of 3"),
    ],
)
def test_depths_that_make_no_sense_are_refused(depth, sigma, reason):
    message = send(make_features(3))
    message.depth, message.depth_sigma = depth, sigma
    with pytest.raises(ValueError, match=reason):
        from_feature_array(message)


def test_message_describes_itself():
    message = send(make_features(3))
    assert (message.detector, message.model, message.header.frame_id) == ("sift", "none", "camera")
    assert (message.descriptor_type, message.descriptor_length) == (FeatureArray.FLOAT32, 128)
    assert len(message.descriptors) == 3 * 128 * 4
    binary = send(make_features(3, binary=True))
    assert (binary.descriptor_type, binary.descriptor_length) == (FeatureArray.BINARY, 256)
    assert len(binary.descriptors) == 3 * 32


@pytest.mark.parametrize(
    ("descriptor_type", "kind", "size"),
    [("float16", FeatureArray.FLOAT16, 2), ("int8", FeatureArray.INT8, 1)],
)
def test_smaller_descriptors(descriptor_type, kind, size):
    features = make_features(5)
    message = send(features, descriptor_type)
    assert (message.descriptor_type, message.descriptor_length) == (kind, 128)
    assert len(message.descriptors) == 5 * 128 * size
    received = from_feature_array(message).descriptors
    assert received.dtype == np.float32
    assert (features.descriptors * received).sum(1).min() > 0.9999


@pytest.mark.parametrize("count", [0, 37])
def test_half_precision_is_rounded_to_the_nearest(count):
    features = make_features(count)
    message = send(features, "float16")
    expected = features.descriptors.astype("<f2")
    assert bytes(message.descriptors) == expected.tobytes()
    received = from_feature_array(message).descriptors
    np.testing.assert_array_equal(received, expected.astype(np.float32))


def test_descriptors_without_negative_elements_are_sent_as_uint8():
    features = make_features(37)
    positive = features.with_descriptors(np.abs(features.descriptors), "sift")
    message = send(positive, "int8")
    assert message.descriptor_type == FeatureArray.UINT8
    rows = np.frombuffer(message.descriptors, np.uint8).reshape(37, 128)
    assert (rows.max(axis=1) == 255).all()
    # At most half a step from the value, a step being a 255th of the row's largest element.
    steps = positive.descriptors.max(axis=1, keepdims=True) / 255
    assert (np.abs(rows * steps - positive.descriptors) <= 0.5001 * steps).all()
    received = from_feature_array(message).descriptors
    np.testing.assert_allclose(np.linalg.norm(received, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(received, positive.descriptors, atol=0.6 * steps.max())


@pytest.mark.parametrize("descriptor_type", FLOAT_DESCRIPTORS)
def test_descriptors_of_zeros_stay_zeros(descriptor_type):
    features = make_features(3)
    features.descriptors[1] = 0
    received = from_feature_array(send(features, descriptor_type)).descriptors
    assert not received[1].any() and received[[0, 2]].any(axis=1).all()
    assert len(from_feature_array(send(make_features(0), descriptor_type))) == 0


def test_descriptors_as_integers_match_as_floats_do():
    """Nearest neighbors of SIFT are the same after the message, for all but 1 in 200."""
    image = gray_photograph((640, 480))
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D((320, 240), 20, 0.9), (640, 480))
    sift = create_extractor("sift", max_features=1000)
    a, b = sift(image), sift(turned)
    expected = match(a, b).indices
    received = match(*(from_feature_array(send(features, "int8")) for features in (a, b))).indices
    same = len({*map(tuple, expected)} & {*map(tuple, received)})
    assert len(expected) > 200 and same >= 0.995 * len(expected)


def test_unknown_descriptor_type_is_refused():
    with pytest.raises(ValueError, match=r"descriptor_type must be one of int8.*not 'int4'"):
        send(make_features(2), "int4")


def test_a_message_is_a_copy():
    features = make_features(4)
    message = to_feature_array(features, Header(), camera_info_message(), "sift", "none")
    sent = from_feature_array(message).descriptors.copy()
    features.descriptors[:] = 0
    features.keypoints[:] = -1
    np.testing.assert_array_equal(from_feature_array(message).descriptors, sent)
    assert min(message.x) >= 0 and sent.any()


@pytest.mark.parametrize("field", ["y", "scale", "angle", "score"])
def test_disagreeing_length_is_refused_by_name(field):
    message = send(make_features(4))
    setattr(message, field, [0.0] * 3)
    with pytest.raises(ValueError, match=rf"FeatureArray\.{field} has 3 elements.*x has 4"):
        from_feature_array(message)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("descriptors", [0] * 7),
        ("descriptor_length", 0),
        ("descriptor_type", 9),
        ("x", [0.0, float("nan"), 1.0, 2.0]),
    ],
)
def test_invalid_field_is_refused_by_name(field, value):
    message = send(make_features(4))
    setattr(message, field, value)
    with pytest.raises(ValueError, match=rf"FeatureArray\.{field}"):
        from_feature_array(message)


def test_binary_length_must_fill_bytes():
    message = send(make_features(2, binary=True))
    message.descriptor_length = 255
    with pytest.raises(ValueError, match=r"descriptor_length.*multiple of 8"):
        from_feature_array(message)


def test_matches_survive_the_middleware():
    query, reference = make_features(9), make_features(8)
    matches = Matches(np.array([[8, 0], [2, 7], [0, 3]]), np.array([0.1, 0.2, 0.3], np.float32))
    inliers = np.array([True, False, True])
    header = Header(stamp=Time(sec=5), frame_id="camera")
    message = to_match_array(matches, query, reference, inliers, header, Time(sec=4, nanosec=7))
    message = deserialize_message(serialize_message(message), MatchArray)
    assert (
        message.header.stamp.sec,
        message.reference_stamp.sec,
        message.reference_stamp.nanosec,
    ) == (5, 4, 7)
    received, marks, query_points, reference_points = from_match_array(message)
    np.testing.assert_array_equal(received.indices, matches.indices)
    np.testing.assert_array_equal(received.distances, matches.distances)
    np.testing.assert_array_equal(marks, inliers)
    np.testing.assert_array_equal(query_points, query.keypoints[[8, 2, 0]])
    np.testing.assert_array_equal(reference_points, reference.keypoints[[0, 7, 3]])


def test_no_matches():
    none = to_match_array(
        Matches.empty(), make_features(2), make_features(0), np.zeros(0, bool), Header(), Time()
    )
    received, inliers, query_points, _ = from_match_array(none)
    assert len(received) == len(inliers) == 0
    assert query_points.shape == (0, 2)


@pytest.mark.parametrize(
    "field", ["reference_indices", "distances", "inliers", "query_x", "reference_y"]
)
def test_disagreeing_matches_are_refused_by_name(field):
    matches = Matches(np.array([[0, 0], [1, 1]]), np.zeros(2, np.float32))
    message = to_match_array(
        matches, make_features(2), make_features(2), np.ones(2, bool), Header(), Time()
    )
    setattr(message, field, [1])
    with pytest.raises(
        ValueError, match=rf"MatchArray\.{field} has 1 elements.*query_indices has 2"
    ):
        from_match_array(message)


def test_inliers_must_be_one_per_match():
    matches = Matches(np.array([[0, 0]]), np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="inliers"):
        to_match_array(
            matches, make_features(1), make_features(1), np.ones(2, bool), Header(), Time()
        )


def test_ten_thousand_features_take_no_loop():
    """A loop over the elements of 10,000 descriptors takes more than a second."""
    features = make_features(10_000)
    start = time.process_time()
    from_feature_array(to_feature_array(features, Header(), camera_info_message(), "sift", "none"))
    assert time.process_time() - start < 0.25
