# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""KITTI: sequences of the odometry benchmark and of the raw recordings.

Geiger, Lenz, Stiller, Urtasun: Vision meets Robotics: The KITTI Dataset, IJRR 2013.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ..camera import Camera
from ..pixels import read_image
from ..stamps import parse_date, parse_seconds
from .image_sequence import ImageFile, ImageSequence, existing, has_images, image_paths
from .source import logger
from .text_files import parse_lines, parse_numbers

T = TypeVar("T")

_CAMERA_FOLDER = re.compile(r"image_(0?)([0-3])")
# Each has its right camera at the next number.
_LEFT_CAMERAS = (0, 2)


class _Layout(NamedTuple):
    """Paths of one camera's files; `raw` if they are of a recording, not of the benchmark."""

    sequence: Path
    images: Path
    camera_index: int
    raw: bool


class KittiSource(ImageSequence):
    """One camera of a KITTI sequence, and the right one beside a left one (1 of 0, 3 of 2).

    Odometry benchmark: ``image_0`` to ``image_3``, ``times.txt``, ``calib.txt`` (P0 to P3), and
    poses in ``poses.txt`` or in ``../../poses/<sequence>.txt``. The poses on record are those of
    camera 0; another camera's are shifted by its baseline.

    Raw recordings: ``image_00/data`` and ``image_00/timestamps.txt``, and
    ``../calib_cam_to_cam.txt`` with the rectified projection for "sync" folders, and intrinsics
    with distortion for "extract" folders. They have no poses of the camera.

    The number in an image's name is the line in times and poses, counted from 0, so a sequence of
    which images are missing plays with its own times. Only where times (or poses) were cut along
    with consecutive images does their first line belong to the first image.

    Args:
        target: The sequence's folder, or the folder of one of its cameras.
        camera: Intrinsics to use instead of those on record.
        camera_index: Camera 0 (left, gray) to 3 (right, color); by default the folder named in
            `target`, or the first there is.

    Raises:
        FileNotFoundError: The path, the camera's folder or its times are missing.
        ValueError: A file is not in KITTI's format, or there are fewer times than images.
    """

    kind = "kitti"
    layout = "image_0 .. image_3 beside times.txt, or image_00/data beside timestamps.txt"

    def __init__(
        self, target: str, *, camera: Camera | None = None, camera_index: int | None = None
    ) -> None:
        layout = _find(existing(target), camera_index)
        paths = image_paths(layout.images)
        if not paths:
            raise ValueError(f"KITTI folder {layout.images} has no images")
        stamps, times_path = _read_times(layout)
        projection, calibrated = _read_calibration(layout)
        poses = _read_poses(layout, projection)
        right_paths, right_camera = _read_right(layout) if calibrated else ({}, None)
        numbers = _frame_numbers(paths)
        frame_poses = _by_number(poses, numbers)
        files = []
        for stamp_ns, path, pose in zip(
            _by_number(stamps, numbers), paths, frame_poses, strict=True
        ):
            if stamp_ns is None:
                raise ValueError(
                    f"{times_path} has {len(stamps)} times, but {layout.images} has {len(paths)} "
                    f"images; the first without a time is {path.name}. "
                    "Complete the file, or open the images alone as kind folder"
                )
            files.append(ImageFile(stamp_ns, path, pose, right=right_paths.get(path.name)))
        if len(stamps) > len(paths):
            logger.warning(
                "%s has %d times for %d images: some images are missing",
                times_path,
                len(stamps),
                len(paths),
            )
        if poses and any(pose is None for pose in frame_poses):
            logger.warning(
                "%s: %d poses for %d images: the rest has none",
                layout.sequence,
                len(poses),
                len(paths),
            )
        super().__init__(layout.images, files, camera or calibrated, right_camera)

    @classmethod
    def recognizes(cls, target: str) -> bool:
        """Whether the target looks like a source of this kind."""
        try:
            layout = _find(Path(target).expanduser(), None)
        except (FileNotFoundError, ValueError):
            return False
        return _times_path(layout).is_file()


def _read_right(layout: _Layout) -> tuple[dict[str, Path], Camera | None]:
    """Return the images, by name, and the camera that is the right one of a left camera."""
    if layout.camera_index not in _LEFT_CAMERAS:
        return {}, None
    try:
        right = _find(layout.sequence, layout.camera_index + 1)
        camera = _read_calibration(right)[1]
    except FileNotFoundError:
        return {}, None
    except ValueError as error:
        logger.warning("right images are left out: %s", error)
        return {}, None
    return {path.name: path for path in image_paths(right.images)}, camera


def _frame_numbers(paths: list[Path]) -> list[int]:
    """Return the number that each image's name ends with; where one has none, their places."""
    found = [re.search(r"[0-9]+$", path.stem) for path in paths]
    numbers = [int(number[0]) for number in found if number]
    if len(set(numbers)) == len(paths):
        return numbers
    logger.warning(
        "%s: the names have no numbers, so the images take the lines of times and poses in order",
        paths[0].parent,
    )
    return list(range(len(paths)))


def _by_number(lines: Sequence[T], numbers: list[int]) -> list[T | None]:
    """Return each frame's line of a file, None where the file has no such line."""
    first, last = min(numbers), max(numbers)
    was_cut_along = last >= len(lines) == len(numbers) == last - first + 1
    offset = first if was_cut_along else 0
    return [lines[number - offset] if number - offset < len(lines) else None for number in numbers]


def _find(path: Path, camera_index: int | None) -> _Layout:
    """Find one camera's files from the sequence's folder or from within it."""
    if path.name == "data" and _CAMERA_FOLDER.fullmatch(path.parent.name):
        path = path.parent
    named = _CAMERA_FOLDER.fullmatch(path.name)
    if named:
        if camera_index is None:
            camera_index = int(named[2])
        path = path.parent
    if camera_index is not None and camera_index not in range(4):
        raise ValueError(f"KITTI camera_index {camera_index} is not 0, 1, 2 or 3")
    for index in range(4) if camera_index is None else (camera_index,):
        if has_images(path / f"image_{index}"):
            return _Layout(path, path / f"image_{index}", index, raw=False)
        if has_images(path / f"image_{index:02d}" / "data"):
            return _Layout(path, path / f"image_{index:02d}" / "data", index, raw=True)
    wanted = "image_0 .. image_3" if camera_index is None else f"image_{camera_index}"
    raise FileNotFoundError(
        f"KITTI sequence {path} has no images in {wanted} or, as raw recordings have, in "
        "image_0N/data"
    )


def _times_path(layout: _Layout) -> Path:
    if layout.raw:
        return layout.images.parent / "timestamps.txt"
    return layout.sequence / "times.txt"


def _read_times(layout: _Layout) -> tuple[list[int], Path]:
    path = _times_path(layout)
    if not path.is_file():
        raise FileNotFoundError(
            f"KITTI times {path} do not exist; open the images alone as kind folder"
        )
    return parse_lines(path, parse_date if layout.raw else parse_seconds), path


def _read_calibration(layout: _Layout) -> tuple[np.ndarray | None, Camera | None]:
    """Rectified projection (3, 4), if known, and the camera."""
    path = layout.sequence / "calib.txt"
    if layout.raw:
        candidates = [
            folder / "calib_cam_to_cam.txt"
            for folder in (
                layout.sequence,
                layout.sequence.absolute().parent,
                layout.sequence.resolve().parent,
            )
        ]
        path = next((each for each in candidates if each.is_file()), candidates[1])
    if not path.is_file():
        logger.warning("%s does not exist: the intrinsics are unknown", path)
        return None, None
    entries = dict(parse_lines(path, _parse_entry))
    index = f"{layout.camera_index:02d}" if layout.raw else str(layout.camera_index)
    name = f"P_rect_{index}" if layout.raw else f"P{index}"
    if layout.raw and layout.sequence.name.endswith("_extract"):
        width, height = map(int, _entry(path, entries, f"S_{index}", 2))
        matrix = _entry(path, entries, f"K_{index}", 9).reshape(3, 3)
        camera = Camera(width, height, matrix, _entry(path, entries, f"D_{index}", 5))
        if {name, f"R_rect_{index}"} <= entries.keys():
            rotation = _entry(path, entries, f"R_rect_{index}", 9)
            camera = camera.with_rectification(rotation, _entry(path, entries, name, 12))
        return None, camera
    projection = _entry(path, entries, name, 12).reshape(3, 4)
    if layout.raw:
        width, height = map(int, _entry(path, entries, f"S_rect_{index}", 2))
    else:
        width, height = _image_size(layout.images)
    camera = Camera(width, height, projection[:, :3])
    return projection, camera.with_rectification(np.eye(3), projection)


def _image_size(folder: Path) -> tuple[int, int]:
    """Return width and height of the first image that can be read; zeros if none can."""
    for path in image_paths(folder):
        try:
            height, width = read_image(path).shape[:2]
        except ValueError:
            continue
        return width, height
    return 0, 0


def _parse_entry(line: str) -> tuple[str, str]:
    name, colon, values = line.partition(":")
    if not colon:
        raise ValueError(f"{line!r} is not NAME: VALUES")
    return name.strip(), values


def _entry(path: Path, entries: dict[str, str], name: str, count: int) -> np.ndarray:
    if name not in entries:
        raise ValueError(f"{path} has no {name}, only {', '.join(entries) or 'nothing'}")
    try:
        return parse_numbers(entries[name], count)
    except ValueError as error:
        raise ValueError(f"{path}, {name}: {error}") from None


def _read_poses(layout: _Layout, projection: np.ndarray | None) -> list[np.ndarray]:
    """Return the poses (4, 4) of this camera, camera to world; empty without a file."""
    # The sequence may be a link, with the poses beside it or beside its target.
    sequences = (layout.sequence.absolute(), layout.sequence.resolve())
    candidates = [
        layout.sequence / "poses.txt",
        *(path.parent.parent / "poses" / f"{path.name}.txt" for path in sequences),
    ]
    path = next((path for path in candidates if path.is_file()), None)
    if layout.raw or path is None:
        return []
    # x_i = x_0 + t with P_i = K [I | t], so camera i stands at -t in the frame of camera 0.
    in_camera_0 = np.eye(4)
    if projection is not None:
        in_camera_0[:3, 3] = -np.linalg.solve(projection[:, :3], projection[:, 3])
    elif layout.camera_index != 0:
        logger.warning("%s: poses of camera 0 are of no use without calib.txt", path)
        return []
    poses = []
    for values in parse_lines(path, lambda line: parse_numbers(line, 12)):
        pose = np.eye(4)
        pose[:3] = values.reshape(3, 4)
        poses.append(pose @ in_camera_0)
    return poses
