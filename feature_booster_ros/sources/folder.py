# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A plain folder of images."""

from __future__ import annotations

from pathlib import Path

from ..camera import Camera
from ..stamps import NANOSECONDS
from .image_sequence import ImageFile, ImageSequence, existing, has_images, image_paths


class FolderSource(ImageSequence):
    """Images of a folder (not of the folders in it) in natural order of their names.

    The files have no times: their stamps start at 0 and are 1 / `rate` apart.

    Args:
        target: Path of the folder.
        camera: The camera that took them all, or None.
        rate: Frame rate in Hz that the stamps stand for.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: It is not a folder, has no images, or `rate` is not positive.
    """

    kind = "folder"
    layout = "image files in the folder itself"

    def __init__(self, target: str, *, camera: Camera | None = None, rate: float = 10.0) -> None:
        folder = existing(target)
        if not folder.is_dir():
            raise ValueError(f"source {target!r} is a file, not a folder of images")
        if not rate > 0:
            raise ValueError(f"folder rate {rate} is not a positive number of frames a second")
        files = [
            ImageFile(round(index * NANOSECONDS / rate), path)
            for index, path in enumerate(image_paths(folder))
        ]
        if not files:
            raise ValueError(f"folder {target!r} has no images")
        super().__init__(folder, files, camera)

    @classmethod
    def recognizes(cls, target: str) -> bool:
        """Whether the target looks like a source of this kind."""
        return has_images(Path(target).expanduser())
