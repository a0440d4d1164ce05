# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TUM RGB-D: the colour images of a sequence.

Sturm, Engelhard, Endres, Burgard, Cremers: A Benchmark for the Evaluation of RGB-D SLAM Systems,
IROS 2012.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..stamps import parse_seconds
from .frame import Camera
from .image_sequence import ImageFile, ImageSequence, existing, has_images, image_paths
from .source import logger
from .text_files import parse_lines, parse_numbers
from .trajectory import Trajectory

# Colour cameras of the three Kinects as the benchmark's page on file formats gives them:
# fx, fy, cx, cy in pixels, and plumb_bob distortion. The images of freiburg3 are undistorted.
_SIZE = (640, 480)
_CALIBRATIONS = {
    "1": ((517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "2": ((520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "3": ((535.4, 539.2, 320.1, 247.6), ()),
}
_SEQUENCE_NAME = re.compile(r"(?:freiburg|(?<![a-z0-9])fr)([123])(?![0-9])")
_STAMP_NAME = re.compile(r"\d+\.\d+")


class TumSource(ImageSequence):
    """Colour images of a TUM RGB-D sequence.

    Times come from ``rgb.txt``; where there is none, from the names of the files in ``rgb``, which
    are the times. Poses of ``groundtruth.txt`` are interpolated. Intrinsics are known where the
    folder's name says which Kinect it was, as in rgbd_dataset_freiburg2_desk or fr2_desk.

    Args:
        target: The sequence's folder, or its rgb folder.
        camera: Intrinsics to use instead of those the name stands for.

    Raises:
        FileNotFoundError: The path does not exist, or has neither rgb.txt nor rgb.
        ValueError: A file is not as TUM has it, or there are no images.
    """

    kind = "tum"
    layout = "rgb.txt, or rgb with images named by their time"

    def __init__(self, target: str, *, camera: Camera | None = None) -> None:
        sequence = _sequence(existing(target))
        listing = sequence / "rgb.txt"
        if listing.is_file():
            listed = parse_lines(listing, _parse_listing_line)
            stamped = [(stamp_ns, sequence / name) for stamp_ns, name in listed]
            where = listing
        elif (sequence / "rgb").is_dir():
            where = sequence / "rgb"
            stamped = [(_stamp_of_name(path), path) for path in image_paths(where)]
        else:
            raise FileNotFoundError(f"TUM sequence {sequence} has neither rgb.txt nor rgb")
        if not stamped:
            raise ValueError(f"TUM sequence {sequence} has no images in {where}")
        trajectory = _read_trajectory(sequence / "groundtruth.txt")
        files = [
            ImageFile(stamp_ns, path, trajectory.pose(stamp_ns) if trajectory else None)
            for stamp_ns, path in stamped
        ]
        super().__init__(sequence, files, camera or _camera_of_name(sequence.resolve().name))

    @classmethod
    def recognises(cls, target: str) -> bool:
        """Whether the target looks like a source of this kind."""
        path = Path(target).expanduser()
        if not path.is_dir():
            return False
        sequence = _sequence(path)
        if (sequence / "rgb.txt").is_file():
            return True
        return has_images(sequence / "rgb") and all(
            _STAMP_NAME.fullmatch(image.stem) for image in image_paths(sequence / "rgb")
        )


def _sequence(path: Path) -> Path:
    return path.parent if path.name == "rgb" else path


def _parse_listing_line(line: str) -> tuple[int, str]:
    stamp, _, name = line.partition(" ")
    if not name.strip():
        raise ValueError(f"{line!r} is not TIME FILE")
    return parse_seconds(stamp), name.strip()


def _stamp_of_name(path: Path) -> int:
    try:
        return parse_seconds(path.stem)
    except ValueError:
        raise ValueError(
            f"image {path} is not named by its time in seconds, and there is no rgb.txt; "
            "open the images alone as kind folder"
        ) from None


def _camera_of_name(name: str) -> Camera | None:
    found = _SEQUENCE_NAME.search(name.lower())
    if found is None:
        logger.warning(
            "%s: the name does not say freiburg1, 2 or 3: the intrinsics are unknown", name
        )
        return None
    (fx, fy, cx, cy), distortion = _CALIBRATIONS[found[1]]
    matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    return Camera(*_SIZE, matrix, np.array(distortion))


def _read_trajectory(path: Path) -> Trajectory | None:
    """Poses of the colour camera, camera to world, from lines of: time tx ty tz qx qy qz qw."""
    if not path.is_file():
        return None
    lines = parse_lines(path, _parse_pose_line)
    try:
        values = np.array([values for _, values in lines]).reshape(-1, 7)
        return Trajectory([stamp_ns for stamp_ns, _ in lines], values[:, :3], values[:, 3:])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _parse_pose_line(line: str) -> tuple[int, np.ndarray]:
    stamp, _, values = line.partition(" ")
    return parse_seconds(stamp), parse_numbers(values, 7)
