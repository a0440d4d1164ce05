# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""EuRoC MAV: a camera, or a stereo pair, of a sequence in the ASL folder layout.

Burri, Nikolic, Gohl, Schneider, Rehder, Omari, Achtelik, Siegwart: The EuRoC micro aerial vehicle
datasets, IJRR 2016.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from ..camera import Camera
from ..depth.rig import with_stereo_calibration
from ..stamps import frame_rate
from .calibration import read_entries, sensor_camera
from .ground_truth import GroundTruth
from .image_sequence import ImageFile, ImageSequence, existing
from .source import logger
from .text_files import SEPARATOR, parse_lines, parse_numbers

_CAMERA_FOLDER = re.compile(r"cam(\d+)")
# Frames per second that no camera takes; times in microseconds look like 20 000 or more.
_HIGHEST_RATE = 10_000


class EurocSource(ImageSequence):
    """One camera of an EuRoC MAV sequence (or another in its layout, such as TUM-VI).

    The camera of the next number is its right one, where it stands to the right and both have a
    pose on the body; images of equal times are a pair.

    ``mav0/camN/data.csv`` lists the images, ``sensor.yaml`` has the intrinsics, the distortion and
    the camera's pose on the body as T_BS; where it is missing, Kalibr's ``camchain.yaml`` in mav0,
    beside it or in dso (as in TUM-VI), with T_cam_imu. The poses of
    ``mav0/state_groundtruth_estimate0`` (or ``mocap0``) are those of the body; they are
    interpolated and turned into the camera's. ``leica0`` has positions without orientation, which
    are no poses.

    Args:
        target: The sequence's folder, its mav0, or the folder of one of its cameras.
        camera: Intrinsics to use instead of those on record.
        camera_index: N of camN; by default that of `target`, or 0.

    Raises:
        FileNotFoundError: The path or the camera's data.csv is missing.
        ValueError: A file is not in EuRoC's format, or there are no images.
    """

    kind = "euroc"
    layout = "mav0/cam0/data.csv"

    def __init__(
        self, target: str, *, camera: Camera | None = None, camera_index: int | None = None
    ) -> None:
        folder = _camera_folder(existing(target), camera_index)
        listing = folder / "data.csv"
        if not listing.is_file():
            raise FileNotFoundError(f"EuRoC camera {folder} has no data.csv")
        listed = parse_lines(listing, _parse_listing_line)
        if not listed:
            raise ValueError(f"EuRoC list {listing} names no images")
        stamps = [stamp_ns for stamp_ns, _ in listed]
        _check_unit(listing, stamps)
        calibrated, in_body = _read_sensor(folder)
        poses: list[np.ndarray | None] = [None] * len(listed)
        if in_body is not None:
            poses = [
                None if body is None else body @ in_body
                for body in _body_poses(folder.parent, stamps)
            ]
        rights: dict[int, Path] = {}
        right_camera = None
        if calibrated is not None and in_body is not None:
            rights, calibrated, right_camera = _read_right(folder, calibrated, in_body)
        files = [
            ImageFile(
                stamp_ns, _image_path(folder / "data", name), pose, right=rights.get(stamp_ns)
            )
            for (stamp_ns, name), pose in zip(listed, poses, strict=True)
        ]
        super().__init__(folder, files, camera or calibrated, right_camera)

    @classmethod
    def recognizes(cls, target: str) -> bool:
        """Whether the target looks like a source of this kind."""
        return (_camera_folder(Path(target).expanduser(), None) / "data.csv").is_file()


def _camera_folder(path: Path, camera_index: int | None) -> Path:
    if path.name == "data" and _CAMERA_FOLDER.fullmatch(path.parent.name):
        path = path.parent
    if _CAMERA_FOLDER.fullmatch(path.name):
        return path if camera_index is None else path.with_name(f"cam{camera_index}")
    if (path / "mav0").is_dir():
        path = path / "mav0"
    return path / f"cam{camera_index or 0}"


def _parse_listing_line(line: str) -> tuple[int, str]:
    stamp, *name = SEPARATOR.split(line, maxsplit=1)
    if not name or not name[0].strip(", "):
        raise ValueError(f"{line!r} is not NANOSECONDS,FILE")
    return _parse_nanoseconds(stamp), name[0].strip(",\"' ")


def _parse_nanoseconds(text: str) -> int:
    try:
        stamp = Decimal(text)
        whole = stamp == int(stamp)
    except (InvalidOperation, OverflowError, ValueError):
        raise ValueError(f"{text!r} is not a time in nanoseconds") from None
    if whole and abs(stamp) < 2**63:
        return int(stamp)
    if whole:
        raise ValueError(f"{text} is too large for a time in nanoseconds: convert it")
    raise ValueError(
        f"{text} is no time in whole nanoseconds, but looks like seconds: multiply it by 1e9"
    )


def _check_unit(listing: Path, stamps_ns: list[int]) -> None:
    """Raise ValueError where the times are too close to be nanoseconds."""
    rate = frame_rate(sorted(stamps_ns))
    if rate is None or rate < _HIGHEST_RATE:
        return
    raise ValueError(
        f"{listing}: {rate:.3g} images a second would be more than any camera takes, so the times "
        "are not in nanoseconds: convert them"
    )


def _image_path(folder: Path, name: str) -> Path:
    """Return the file that data.csv names, by its time alone where it leaves out .png."""
    path = folder / name
    return path if path.suffix else path.with_name(path.name + ".png")


def _read_right(
    folder: Path, left: Camera, left_in_body: np.ndarray
) -> tuple[dict[int, Path], Camera, Camera | None]:
    """Return the right camera's images by time, and both cameras with R and P of the pair."""
    index = int(folder.name.removeprefix("cam")) + 1
    right_folder = folder.with_name(f"cam{index}")
    if not (right_folder / "data.csv").is_file():
        return {}, left, None
    try:
        right, in_body = _read_sensor(right_folder)
        if right is None or in_body is None:
            return {}, left, None
        pose = np.linalg.inv(left_in_body) @ in_body
        left, right = with_stereo_calibration(left, right, pose)
        listed = parse_lines(right_folder / "data.csv", _parse_listing_line)
    except ValueError as error:
        logger.warning("images of %s are left out: %s", right_folder, error)
        return {}, left, None
    images = {stamp_ns: _image_path(right_folder / "data", name) for stamp_ns, name in listed}
    return images, left, right


def _read_sensor(folder: Path) -> tuple[Camera | None, np.ndarray | None]:
    """Return the camera, and its pose on the body (4, 4), camera to body."""
    sequence = folder.parent.parent
    candidates = [
        folder / "sensor.yaml",
        *(place / "camchain.yaml" for place in (folder.parent, sequence, sequence / "dso")),
    ]
    path = next((each for each in candidates if each.is_file()), None)
    if path is None:
        logger.warning(
            "%s does not exist: the intrinsics are unknown; give them with camera=", candidates[0]
        )
        return None, None
    try:
        sensor = read_entries(path)
        if path.name == "camchain.yaml":
            sensor = sensor[folder.name]
        camera = sensor_camera(sensor)
        in_body = _pose_on_body(path, sensor)
    except KeyError as error:
        raise ValueError(f"EuRoC calibration {path} has no {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError, cv2.error) as error:
        raise ValueError(f"EuRoC calibration {path}: {error}") from None
    return camera, in_body


def _pose_on_body(path: Path, sensor: Mapping[str, Any]) -> np.ndarray | None:
    """Return the camera's pose (4, 4), camera to body; None where it is unknown."""
    for key in ("T_BS", "T_cam_imu"):
        if key in sensor:
            entry = sensor[key]
            matrix = np.array(entry["data"] if isinstance(entry, dict) else entry, np.float64)
            pose = matrix.reshape(4, 4)
            return pose if key == "T_BS" else np.linalg.inv(pose)
    logger.warning("%s has neither T_BS nor T_cam_imu: the camera's poses are unknown", path)
    return None


def _body_poses(mav: Path, stamps_ns: list[int]) -> list[np.ndarray | None]:
    """Return the body's pose at each time, body to world."""
    candidates = [mav / sensor / "data.csv" for sensor in ("state_groundtruth_estimate0", "mocap0")]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        if (mav / "leica0" / "data.csv").is_file():
            logger.warning("%s has positions without orientation: no poses", mav / "leica0")
        return [None] * len(stamps_ns)
    lines = parse_lines(path, _parse_pose_line)
    try:
        values = np.array([values for _, values in lines]).reshape(-1, 7)
        # w comes first in the file and last in GroundTruth.
        truth = GroundTruth(
            [stamp_ns for stamp_ns, _ in lines], values[:, :3], values[:, [4, 5, 6, 3]]
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return truth.poses(stamps_ns, path)


def _parse_pose_line(line: str) -> tuple[int, np.ndarray]:
    """Time in ns, position x y z, orientation w x y z; velocities and biases follow."""
    stamp, *values = SEPARATOR.split(line)
    if len(values) < 7:
        raise ValueError(f"{len(values) + 1} values, expected at least 8")
    return _parse_nanoseconds(stamp), parse_numbers(" ".join(values[:7]), 7)
