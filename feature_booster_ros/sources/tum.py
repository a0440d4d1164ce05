# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TUM RGB-D: the color images of a sequence, and the depth images that are aligned to them.

Sturm, Engelhard, Endres, Burgard, Cremers: A Benchmark for the Evaluation of RGB-D SLAM Systems,
IROS 2012.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..camera import Camera
from ..depth.images import DEPTH_WITHIN_NS
from ..stamps import parse_seconds
from .calibration import resolve_camera
from .ground_truth import GroundTruth
from .image_sequence import ImageFile, ImageSequence, existing, has_images, image_paths
from .source import logger
from .text_files import SEPARATOR, parse_lines, parse_numbers

# Color cameras of the three Kinects as the benchmark's page on file formats gives them:
# fx, fy, cx, cy in pixels, and plumb_bob distortion. The images of freiburg3 are undistorted.
_SIZE = (640, 480)
_CALIBRATIONS = {
    "1": ((517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "2": ((520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "3": ((535.4, 539.2, 320.1, 247.6), ()),
}
# Units of a meter in the benchmark's depth images of 16 bits.
_DEPTH_SCALE = 5000.0
_SEQUENCE_NAME = re.compile(r"(?:freiburg|(?<![a-z0-9])fr)([123])(?![0-9])")
_STAMP_NAME = re.compile(r"\d+\.\d+")
# TIME FILE, or, as associate.py and others write it, TIME FILE TIME and the rest; a file's name may
# have blanks.
_LISTED = re.compile(
    r"""([^\s,;]+)[\s,;]+(.+?\.[a-z]\w*["']?)(?:[\s,;]+([\d.]\S*)[\s,;]+(.+))?""", re.IGNORECASE
)
_LISTINGS = ("rgb.txt", "associations.txt", "association.txt", "associated.txt", "associate.txt")
# A sequence's own calibration: ETH3D's line of fx fy cx cy, or a file that `resolve_camera` reads.
_CALIBRATION = "calibration.txt"
_CALIBRATION_FILES = ("camera.yaml", "camera_info.yaml", "calibration.yaml")


class TumSource(ImageSequence):
    """Color images of a TUM RGB-D sequence, with their depth.

    Times come from ``rgb.txt`` or ``associations.txt``; without either, from the names of
    the files in ``rgb``, which are the times. Fields are divided by blanks, tabs or commas; of
    lines that associate color and depth, in either order, both images are taken; else a color image
    has the depth image of ``depth.txt`` that is next in time, at most 20 ms away. Poses of
    ``groundtruth.txt`` are interpolated. Intrinsics are those of ``calibration.txt`` (fx fy cx cy)
    or ``camera.yaml`` in the folder, else known where the name of the folder, or of the link to
    it, says which Kinect it was, as in rgbd_dataset_freiburg2_desk or fr2_desk.

    Args:
        target: The sequence's folder, or its rgb folder.
        camera: Intrinsics to use instead of those the name stands for.
        depth_scale: Units of a meter in the depth images: 5000 in those of the benchmark, 1000 for
            millimeters.

    Raises:
        FileNotFoundError: The path does not exist, or has neither rgb.txt nor rgb.
        ValueError: A file is not in TUM's format, or there are no images.
    """

    kind = "tum"
    layout = "rgb.txt, or rgb with images named by their time"

    def __init__(
        self, target: str, *, camera: Camera | None = None, depth_scale: float = _DEPTH_SCALE
    ) -> None:
        if not depth_scale > 0:
            raise ValueError(f"TUM depth_scale {depth_scale} is not a positive number of units")
        sequence = _sequence(existing(target))
        listing = _listing(sequence)
        if listing:
            listed = parse_lines(listing, _parse_listing_line)
            stamped = [(stamp_ns, sequence / name) for stamp_ns, name, _ in listed]
            depths = [None if depth is None else sequence / depth for _, _, depth in listed]
            where = listing
        elif (sequence / "rgb").is_dir():
            where = sequence / "rgb"
            stamped = [(_stamp_of_name(path), path) for path in image_paths(where)]
            depths = []
        else:
            raise FileNotFoundError(f"TUM sequence {sequence} has neither rgb.txt nor rgb")
        if not any(depths):
            depths = _nearest_depths([stamp_ns for stamp_ns, _ in stamped], sequence)
        if not stamped:
            raise ValueError(f"TUM sequence {sequence} has no images in {where}")
        truth = _read_ground_truth(sequence / "groundtruth.txt")
        poses: list[np.ndarray | None] = [None] * len(stamped)
        if truth is not None:
            stamps = [stamp_ns for stamp_ns, _ in stamped]
            poses = truth.poses(stamps, sequence / "groundtruth.txt")
        files = [
            ImageFile(*each, pose, depth)
            for each, pose, depth in zip(stamped, poses, depths, strict=True)
        ]
        camera = camera or _recorded_camera(sequence)
        super().__init__(sequence, files, camera, depth_scale=depth_scale)

    @classmethod
    def recognizes(cls, target: str) -> bool:
        """Whether the target looks like a source of this kind."""
        path = Path(target).expanduser()
        if not path.is_dir():
            return False
        sequence = _sequence(path)
        if _listing(sequence):
            return True
        return has_images(sequence / "rgb") and all(
            _STAMP_NAME.fullmatch(image.stem) for image in image_paths(sequence / "rgb")
        )


def _sequence(path: Path) -> Path:
    return path.parent if path.name == "rgb" else path


def _listing(sequence: Path) -> Path | None:
    """Return the file that lists the color images; depth images alone are no such list."""
    candidates = (sequence / name for name in _LISTINGS)
    return next((path for path in candidates if path.is_file()), None)


def _parse_listing_line(line: str) -> tuple[int, str, str | None]:
    """Time, color image and, where the line associates one, depth image."""
    fields = _LISTED.fullmatch(line)
    if not fields:
        raise ValueError(f"{line!r} is not TIME FILE")
    stamp, name, other_stamp, other_name = fields.groups()
    if other_stamp and _is_depth(name) and not _is_depth(other_name):
        stamp, name, other_name = other_stamp, other_name, name
    depth = other_name if other_name and _is_depth(other_name) else None
    return parse_seconds(stamp), _file_name(name), depth and _file_name(depth)


def _file_name(name: str) -> str:
    return name.strip("\"'").replace("\\", "/")


def _nearest_depths(stamps_ns: list[int], sequence: Path) -> list[Path | None]:
    """Return the depth image that is next to each time, None where that is too far away."""
    listing = sequence / "depth.txt"
    if listing.is_file():
        listed = [
            (stamp_ns, sequence / name)
            for stamp_ns, name, _ in parse_lines(listing, _parse_listing_line)
        ]
    elif has_images(sequence / "depth"):
        listed = [(_stamp_of_name(path), path) for path in image_paths(sequence / "depth")]
    else:
        return [None] * len(stamps_ns)
    times = np.array([stamp_ns for stamp_ns, _ in listed], np.int64)
    depths: list[Path | None] = []
    for stamp_ns in stamps_ns:
        distances = np.abs(times - stamp_ns)
        is_near = len(times) and distances.min() <= DEPTH_WITHIN_NS
        depths.append(listed[int(distances.argmin())][1] if is_near else None)
    return depths


def _is_depth(name: str) -> bool:
    return "depth" in name.lower()


def _stamp_of_name(path: Path) -> int:
    try:
        return parse_seconds(path.stem)
    except ValueError:
        raise ValueError(
            f"image {path} is not named by its time in seconds, and there is no rgb.txt; "
            "open the images alone as kind folder"
        ) from None


def _recorded_camera(sequence: Path) -> Camera | None:
    path = sequence / _CALIBRATION
    if path.is_file():
        try:
            (intrinsics,) = parse_lines(path, lambda line: parse_numbers(line, 4))
            return Camera.pinhole(*intrinsics)
        except ValueError as error:
            logger.warning("%s is not one line of fx fy cx cy and is left aside: %s", path, error)
    for name in _CALIBRATION_FILES:
        if (sequence / name).is_file():
            return resolve_camera(sequence / name)
    return _camera_of_name(sequence)


def _camera_of_name(sequence: Path) -> Camera | None:
    names = dict.fromkeys((sequence.absolute().name, sequence.resolve().name))
    found = next(filter(None, (_SEQUENCE_NAME.search(name.lower()) for name in names)), None)
    if found is None:
        logger.warning(
            "%s: the name does not say freiburg1, 2 or 3: the intrinsics are unknown; give them: "
            "SOURCE,camera=fx,fy,cx,cy (docs/inputs.md)",
            " -> ".join(names),
        )
        return None
    (fx, fy, cx, cy), distortion = _CALIBRATIONS[found[1]]
    matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    return Camera(*_SIZE, matrix, np.array(distortion))


def _read_ground_truth(path: Path) -> GroundTruth | None:
    """Poses of the color camera, camera to world, from lines of: time tx ty tz qx qy qz qw."""
    if not path.is_file():
        return None
    lines = parse_lines(path, _parse_pose_line)
    try:
        values = np.array([values for _, values in lines]).reshape(-1, 7)
        return GroundTruth([stamp_ns for stamp_ns, _ in lines], values[:, :3], values[:, 3:])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _parse_pose_line(line: str) -> tuple[int, np.ndarray]:
    stamp, *values = SEPARATOR.split(line, maxsplit=1)
    return parse_seconds(stamp), parse_numbers("".join(values), 7)
