# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Photographs in a folder."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from ..pixels import read_gray, shrink
from ..sources.image_sequence import IMAGE_SUFFIXES, image_paths

logger = logging.getLogger(__name__)


def find_photos(folder: str | Path) -> list[Path]:
    """Return the images below a folder in natural order, hidden ones left out.

    Raises:
        FileNotFoundError: There is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of photographs at {folder}")
    photos = image_paths(folder, below=True)
    if not photos:
        raise FileNotFoundError(
            f"no image in {folder}; looked for {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return photos


def split_photos(photos: list[Path], holdout: int) -> tuple[list[Path], list[Path]]:
    """Photographs to train on and, every ``holdout``-th of the sorted list, those to validate and
    test on.
    """
    held_out = photos[::holdout]
    return [path for number, path in enumerate(photos) if number % holdout], held_out


def read_photo(path: Path, longest_side: int) -> np.ndarray | None:
    """Return a photograph as (H, W) uint8 of at most that longest side.

    Returns:
        None, with a warning, if it cannot be read.
    """
    try:
        return shrink(read_gray(path), longest_side)[0]
    except ValueError as error:
        logger.warning("left out: %s", error)
        return None
