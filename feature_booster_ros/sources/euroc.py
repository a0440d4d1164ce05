# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""EuRoC MAV: one camera of a sequence in the ASL folder layout.

Burri, Nikolic, Gohl, Schneider, Rehder, Omari, Achtelik, Siegwart: The EuRoC micro aerial vehicle
datasets, IJRR 2016.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import yaml

from ..camera import Camera
from .calibration import sensor_camera
from .image_sequence import ImageFile, ImageSequence, existing
from .source import logger
from .text_files import parse_lines
from .trajectory import Trajectory

_CAMERA_FOLDER = re.compile(r"cam(\d+)")


class EurocSource(ImageSequence):
    """One camera of an EuRoC MAV sequence (or another in its layout, such as TUM-VI).

    ``mav0/camN/data.csv`` lists the images, ``sensor.yaml`` has the intrinsics, the distortion and
    the camera's pose on the body. The poses of ``mav0/state_groundtruth_estimate0`` (or ``mocap0``)
    are those of the body; they are interpolated and turned into the camera's.

    Args:
        target: The sequence's folder, its mav0, or the folder of one of its cameras.
        camera: Intrinsics to use instead of those on record.
        camera_index: N of camN; by default that of `target`, or 0.

    Raises:
        FileNotFoundError: The path or the camera's data.csv is missing.
        ValueError: A file is not as EuRoC has it, or there are no images.
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
        calibrated, in_body = _read_sensor(folder / "sensor.yaml")
        trajectory = _read_trajectory(folder.parent) if in_body is not None else None
        files = []
        for stamp_ns, name in listed:
            body = trajectory.pose(stamp_ns) if trajectory else None
            pose = None if body is None else body @ in_body
            files.append(ImageFile(stamp_ns, folder / "data" / name, pose))
        super().__init__(folder, files, camera or calibrated)

    @classmethod
    def recognises(cls, target: str) -> bool:
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
    stamp, comma, name = line.partition(",")
    if not comma or not stamp.strip().isdecimal() or not name.strip():
        raise ValueError(f"{line!r} is not NANOSECONDS,FILE")
    return int(stamp), name.strip()


def _read_sensor(path: Path) -> tuple[Camera | None, np.ndarray | None]:
    """The camera, and its pose on the body (4, 4), camera to body."""
    if not path.is_file():
        logger.warning("%s does not exist: the intrinsics are unknown", path)
        return None, None
    try:
        sensor = yaml.safe_load(path.read_text(encoding="utf-8"))
        camera = sensor_camera(sensor)
        in_body = np.array(sensor["T_BS"]["data"], dtype=np.float64).reshape(4, 4)
    except KeyError as error:
        raise ValueError(f"EuRoC calibration {path} has no {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"EuRoC calibration {path}: {error}") from None
    return camera, in_body


def _read_trajectory(mav: Path) -> Trajectory | None:
    """Poses of the body, body to world."""
    for sensor in ("state_groundtruth_estimate0", "mocap0"):
        path = mav / sensor / "data.csv"
        if path.is_file():
            break
    else:
        return None
    lines = parse_lines(path, _parse_pose_line)
    try:
        values = np.array([values for _, values in lines]).reshape(-1, 7)
        # w comes first in the file, last in a Trajectory.
        return Trajectory(
            [stamp_ns for stamp_ns, _ in lines], values[:, :3], values[:, [4, 5, 6, 3]]
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _parse_pose_line(line: str) -> tuple[int, list[float]]:
    """Time in ns, position x y z, orientation w x y z; velocities and biases follow."""
    words = line.split(",")
    if len(words) < 8:
        raise ValueError(f"{len(words)} values, expected at least 8")
    return int(words[0]), [float(word) for word in words[1:8]]
