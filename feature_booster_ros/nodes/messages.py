# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Convert between this package's messages and arrays, without a Python loop over features."""

from __future__ import annotations

import array
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from feature_booster_ros.camera import Camera
from feature_booster_ros.features import FeatureFrame, Features, descriptor_model
from feature_booster_ros.msg import FeatureArray, MatchArray
from feature_booster_ros.stamps import NANOSECONDS

if TYPE_CHECKING:
    from feature_booster_ros.matching import Matches

Message = TypeVar("Message", FeatureArray, MatchArray)

RAW = "none"
"""FeatureArray.model if the descriptors are not boosted."""
FLOAT_DESCRIPTORS = ("int8", "float16", "float32")
"""How float descriptors can be sent; int8 is FeatureArray.UINT8 where no element is negative."""

# NumPy's type of each array.array type code that the messages use, in the machine's byte order.
_DTYPES = {"f": np.float32, "I": np.uint32, "B": np.uint8}
_CONVERTS_HALF = hasattr(cv2, "convertFp16") and sys.byteorder == "little"
# NumPy's type of each descriptor type.
_DESCRIPTOR_DTYPES: dict[int, np.dtype] = {
    FeatureArray.FLOAT32: np.dtype("<f4"),
    FeatureArray.FLOAT16: np.dtype("<f2"),
    FeatureArray.BINARY: np.dtype(np.uint8),
    FeatureArray.UINT8: np.dtype(np.uint8),
    FeatureArray.INT8: np.dtype(np.int8),
}


def stamp_of(message: Any) -> int:
    """Return the time in a message's header [ns]; 0, which means unset, if it is before 1970."""
    stamp = message.header.stamp
    return max(stamp.sec * NANOSECONDS + stamp.nanosec, 0)


def to_header(frame: FeatureFrame) -> Header:
    """Return the header of a frame's image."""
    seconds, nanoseconds = divmod(frame.stamp_ns, NANOSECONDS)
    return Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame.frame_id)


def to_feature_array(
    features: Features,
    header: Header,
    camera_info: CameraInfo,
    detector: str,
    model: str,
    descriptor_type: str = "float32",
) -> FeatureArray:
    """Return a message with a copy of ``features``.

    Args:
        features: N features.
        header: Of the image that they were found in.
        camera_info: Of that image; an all-zero ``k`` says that the intrinsics are unknown.
        detector: Name of the extractor, such as "sift".
        model: Name of the booster, such as "SIFT+Boost-F", or "none" for raw descriptors.
        descriptor_type: One of ``FLOAT_DESCRIPTORS``, which says how float descriptors are sent;
            binary ones stay as they are.

    Raises:
        ValueError: ``descriptor_type`` is unknown.
    """
    message = FeatureArray()
    message.header = header
    message.camera_info = camera_info
    message.detector = detector
    message.model = model
    message.x = _sequence("f", features.keypoints[:, 0])
    message.y = _sequence("f", features.keypoints[:, 1])
    message.scale = _sequence("f", features.scales)
    message.angle = _sequence("f", features.angles)
    message.score = _sequence("f", features.scores)
    if features.depths is not None and features.depth_sigmas is not None:
        message.depth = _sequence("f", features.depths)
        message.depth_sigma = _sequence("f", features.depth_sigmas)
    message.descriptor_length = features.descriptor_length
    message.descriptor_type, rows = _encode(features, descriptor_type)
    message.descriptors = _bytes_of("B", rows)
    return message


def from_feature_array(message: FeatureArray) -> Features:
    """Return the features in a message; all but binary descriptors come back as float32.

    Raises:
        ValueError: The lengths of two fields disagree, a position is not finite, a depth is not
            positive, or the descriptor type is unknown; the message names the field.
    """
    count = len(message.x)
    columns = {name: _numbers(message, name, "f") for name in ("x", "y", "scale", "angle", "score")}
    for name, values in columns.items():
        _check_length("FeatureArray", name, len(values), count, "x")
        if not np.isfinite(values).all():
            raise ValueError(f"FeatureArray.{name} has values that are not finite")
    features = Features(
        np.stack([columns["x"], columns["y"]], axis=1),
        columns["scale"],
        columns["angle"],
        columns["score"],
        _descriptors(message, count),
        descriptor_model(message.detector) if message.model in ("", RAW) else message.model,
    )
    measured = {name: _numbers(message, name, "f") for name in ("depth", "depth_sigma")}
    if not any(map(len, measured.values())):
        return features
    for name, values in measured.items():
        _check_length("FeatureArray", name, len(values), count, "x")
    try:
        return features.with_depths(*measured.values())
    except ValueError as error:
        raise ValueError(f"FeatureArray: {error}") from error


def to_feature_frame(
    message: FeatureArray, camera: Camera | None, max_features: int
) -> FeatureFrame:
    """Return the frame in a message.

    Args:
        message: As booster_node publishes it.
        camera: Of the message's camera_info, or None if it is not known.
        max_features: Largest number of features to accept.

    Raises:
        ValueError: There are too many features, the size of the image is not filled in, or as
            :func:`from_feature_array`.
    """
    if len(message.x) > max_features:
        raise ValueError(
            f"FeatureArray has {len(message.x)} features, more than parameter 'max_input_features' "
            f"allows ({max_features}): have its publisher limit them, or raise the parameter"
        )
    width, height = message.camera_info.width, message.camera_info.height
    if not (width and height):
        raise ValueError(
            "FeatureArray.camera_info has a width or height of 0: the publisher must fill both"
        )
    return FeatureFrame(
        from_feature_array(message),
        camera,
        width,
        height,
        stamp_of(message),
        message.header.frame_id,
        message.detector,
        message.model,
    )


def to_match_array(
    matches: Matches,
    query: Features,
    reference: Features,
    inliers: np.ndarray,
    header: Header,
    reference_stamp: Time,
) -> MatchArray:
    """Return a message with a copy of M matches.

    Args:
        matches: Indices in ``query`` (column 0) and in ``reference`` (column 1), and distances.
        query: Features of the newest frame.
        reference: Features of the frame it is matched with.
        inliers: (M,) bool, which matches agree with the two-view geometry.
        header: Of the query frame.
        reference_stamp: Of the reference frame.

    Raises:
        ValueError: ``inliers`` does not have one element per match.
    """
    if np.shape(inliers) != (len(matches.indices),):
        raise ValueError(
            f"inliers must have shape ({len(matches.indices)},), not {np.shape(inliers)}"
        )
    query_points = query.keypoints[matches.indices[:, 0]]
    reference_points = reference.keypoints[matches.indices[:, 1]]
    message = MatchArray()
    message.header = header
    message.reference_stamp = reference_stamp
    message.query_indices = _sequence("I", matches.indices[:, 0])
    message.reference_indices = _sequence("I", matches.indices[:, 1])
    message.distances = _sequence("f", matches.distances)
    message.inliers = _sequence("B", inliers)
    message.query_x = _sequence("f", query_points[:, 0])
    message.query_y = _sequence("f", query_points[:, 1])
    message.reference_x = _sequence("f", reference_points[:, 0])
    message.reference_y = _sequence("f", reference_points[:, 1])
    return message


def from_match_array(message: MatchArray) -> tuple[Matches, np.ndarray, np.ndarray, np.ndarray]:
    """Return the matches in a message.

    Returns:
        M matches, (M,) bool inliers, (M, 2) float32 pixels in the query frame, and in the
        reference.

    Raises:
        ValueError: The lengths of two fields disagree; the message names the field.
    """
    # Imported here because it loads PyTorch, which takes seconds and raw features do not need.
    from feature_booster_ros.matching import Matches

    count = len(message.query_indices)
    columns = {"query_indices": _numbers(message, "query_indices", "I")}
    for name, code in (
        ("reference_indices", "I"),
        ("distances", "f"),
        ("inliers", "B"),
        ("query_x", "f"),
        ("query_y", "f"),
        ("reference_x", "f"),
        ("reference_y", "f"),
    ):
        columns[name] = _numbers(message, name, code)
        _check_length("MatchArray", name, len(columns[name]), count, "query_indices")
    indices = np.stack([columns["query_indices"], columns["reference_indices"]], axis=1)
    return (
        Matches(indices.astype(np.int64), columns["distances"]),
        columns["inliers"].astype(bool),
        np.stack([columns["query_x"], columns["query_y"]], axis=1),
        np.stack([columns["reference_x"], columns["reference_y"]], axis=1),
    )


def _sequence(code: str, values: np.ndarray) -> array.array:
    """Return ``values`` (N,) as an array.array, which a message field takes without a check.

    A NumPy array assigned to the same field would have each of its elements checked in Python.
    """
    return _bytes_of(code, np.asarray(values, _DTYPES[code]))


def _bytes_of(code: str, values: np.ndarray) -> array.array:
    """Return the memory of ``values`` as an array.array, in one copy."""
    sequence = array.array(code)
    # frombytes copies memory; given to the constructor, each element would become a Python number.
    # An empty view cannot be cast, and has nothing to copy.
    if values.size:
        sequence.frombytes(np.ascontiguousarray(values).data.cast("B"))
    return sequence


def _encode(features: Features, descriptor_type: str) -> tuple[int, np.ndarray]:
    """Return FeatureArray.descriptor_type, and the descriptors (N, columns) as they are sent."""
    rows = features.descriptors
    if features.is_binary:
        return FeatureArray.BINARY, rows
    if descriptor_type == "int8":
        return _to_integers(rows)
    if descriptor_type == "float16":
        return FeatureArray.FLOAT16, _to_half(rows)
    if descriptor_type == "float32":
        return FeatureArray.FLOAT32, rows.astype("<f4", copy=False)
    raise ValueError(
        f"descriptor_type must be one of {', '.join(FLOAT_DESCRIPTORS)}, not {descriptor_type!r}"
    )


def _to_integers(rows: np.ndarray) -> tuple[int, np.ndarray]:
    """Return UINT8 or INT8, and (N, D) float32 as integers, each row over the whole range.

    A common scale would be coarser: most rows have no element near the largest of all.
    """
    magnitudes = np.abs(rows)
    if np.array_equal(magnitudes, rows):
        kind, largest = FeatureArray.UINT8, 255
    else:
        kind, largest = FeatureArray.INT8, 127
    peaks = magnitudes.max(axis=1, keepdims=True, initial=0)
    peaks[peaks == 0] = 1  # A row of zeros stays one.
    return kind, np.rint(rows / peaks * largest).astype(_DESCRIPTOR_DTYPES[kind])


def _from_integers(rows: np.ndarray) -> np.ndarray:
    """Return (N, D) integers as float32 rows of unit length."""
    values = rows.astype(np.float32)
    # A row of zeros stays one; the length of any other is at least 1.
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1)
    return values


def _to_half(values: np.ndarray) -> np.ndarray:
    """Return (N, D) float32 as little-endian float16, rounded to the nearest."""
    if _CONVERTS_HALF and values.size:
        # It uses the processor's instruction and takes a twentieth of NumPy's time.
        return cv2.convertFp16(values).view("<f2")
    return values.astype("<f2")


def _from_half(values: np.ndarray) -> np.ndarray:
    """Return (N, D) little-endian float16 as float32."""
    if _CONVERTS_HALF and values.size:
        return cv2.convertFp16(values.view(np.int16))
    return values.astype(np.float32)


def _numbers(message: Message, name: str, code: str) -> np.ndarray:
    """Return a sequence field as an array that shares the message's memory."""
    return np.frombuffer(getattr(message, name), _DTYPES[code])


def _check_length(message: str, name: str, length: int, expected: int, other: str) -> None:
    if length != expected:
        raise ValueError(
            f"{message}.{name} has {length} elements, but {message}.{other} has {expected}: the "
            "publisher must fill both with one per feature or match"
        )


def _descriptors(message: FeatureArray, count: int) -> np.ndarray:
    """Return (N, D) float32 or (N, D / 8) uint8, of a message with ``count`` features."""
    kind, length = message.descriptor_type, message.descriptor_length
    dtype = _DESCRIPTOR_DTYPES.get(kind)
    if dtype is None:
        raise ValueError(
            "FeatureArray.descriptor_type must be FLOAT32, FLOAT16, UINT8, INT8 or BINARY, not "
            f"{kind}"
        )
    columns = length
    if kind == FeatureArray.BINARY:
        if length % 8:
            raise ValueError(
                "FeatureArray.descriptor_length of binary descriptors must be a multiple of 8, "
                f"not {length}"
            )
        columns = length // 8
    if columns == 0:
        raise ValueError("FeatureArray.descriptor_length is 0")
    expected = count * columns * dtype.itemsize
    if len(message.descriptors) != expected:
        raise ValueError(
            f"FeatureArray.descriptors has {len(message.descriptors)} bytes, but {count} "
            f"descriptors of {length} elements take {expected}"
        )
    rows = np.frombuffer(message.descriptors, dtype).reshape(count, columns)
    if kind == FeatureArray.BINARY:
        return rows
    if kind == FeatureArray.FLOAT16:
        return _from_half(rows)
    if kind == FeatureArray.FLOAT32:
        return rows.astype(np.float32, copy=False)
    return _from_integers(rows)
