# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sources whose frames are image files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..camera import Camera
from ..depth import RightImage, to_meters
from ..depth.images import MILLIMETERS, check_depth_size
from ..pixels import read_image
from ..stamps import StampWatch, frame_rate
from .source import Frame, Source, logger

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm", ".pnm", ".tif", ".tiff", ".webp")
)


class ImageFile(NamedTuple):
    """A frame on disk.

    Attributes:
        stamp_ns: Time of exposure.
        path: The image.
        pose: Camera to world, (4, 4), or None.
        depth: The depth image of the same pixels, or None.
        right: The image of the right camera of a stereo pair, or None.
    """

    stamp_ns: int
    path: Path
    pose: np.ndarray | None = None
    depth: Path | None = None
    right: Path | None = None


class ImageSequence(Source):
    """Frames from image files whose times are known beforehand.

    The files are played in the order of their stamps, whatever order they are listed in.

    Args:
        path: What was opened.
        files: At least one image file with its time.
        camera: The camera that took them all, or None.
        right_camera: The right camera of a stereo pair, or None.
        depth_scale: Units of a meter in depth images of integers.
    """

    def __init__(
        self,
        path: Path,
        files: Sequence[ImageFile],
        camera: Camera | None,
        right_camera: Camera | None = None,
        depth_scale: float = MILLIMETERS,
    ) -> None:
        super().__init__(str(path), camera)
        self._right_camera = right_camera
        self._depth_scale = depth_scale
        self._files = sorted(files, key=lambda file: file.stamp_ns)
        self._rate = frame_rate([file.stamp_ns for file in self._files])
        watch = StampWatch(
            lambda text: logger.warning("%s: %s", path, text),
            unusable="frames are played in the order of their stamps",
            restart="frames are played in the order of their stamps",
        )
        for file in files:
            watch.add(file.stamp_ns, name=file.path.name)

    @property
    def length(self) -> int:
        return len(self._files)

    @property
    def rate(self) -> float | None:
        return self._rate

    @property
    def has_depth(self) -> bool:
        return any(file.depth is not None for file in self._files)

    @property
    def has_right(self) -> bool:
        return any(file.right is not None for file in self._files)

    def _read(self, start: int, step: int) -> Iterator[Frame]:
        for file in self._files[start::step]:
            try:
                image = read_image(file.path)
            except ValueError as error:
                self._skip(file.path.name, str(error))
                continue
            frame = self._frame(
                file.stamp_ns,
                image,
                file.path.name,
                file.pose,
                read_depth=partial(self._read_depth, file.depth, image.shape[:2]),
                read_right=partial(self._read_right, file.right),
            )
            if frame is not None:
                yield frame

    def _read_depth(self, path: Path | None, shape: tuple[int, int]) -> np.ndarray | None:
        if path is None:
            return None
        depth = to_meters(read_image(path), self._depth_scale)
        check_depth_size(depth, shape)
        return depth

    def _read_right(self, path: Path | None) -> RightImage | None:
        if path is None:
            return None
        return RightImage(read_image(path), self._right_camera, path.name)


def image_paths(folder: Path, below: bool = False) -> list[Path]:
    """Return the image files of a folder in natural order: frame2.png comes before frame10.png.

    Hidden files, such as the ._frame2.png that macOS leaves beside frame2.png, are none.

    Args:
        folder: Where to look.
        below: Also in the folders in it, but not in hidden ones.
    """
    paths = folder.rglob("*") if below else folder.iterdir()
    return sorted(
        (path for path in paths if _is_image(path, folder)),
        key=lambda path: [_natural_key(part) for part in path.relative_to(folder).parts],
    )


def has_images(folder: Path) -> bool:
    """Whether there is an image file in the folder itself."""
    return folder.is_dir() and any(_is_image(path, folder) for path in folder.iterdir())


def _is_image(path: Path, folder: Path) -> bool:
    return (
        path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def existing(target: str) -> Path:
    """Return the path of a target.

    Raises:
        FileNotFoundError: There is no such file or folder.
    """
    path = Path(target).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"source {target!r} does not exist")
    return path


def _natural_key(name: str) -> list[tuple[int, int | str]]:
    return [
        (0, int(part)) if part.isdecimal() else (1, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
