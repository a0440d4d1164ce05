# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""COLMAP's conventions: where pixels begin, how poses are read, and the import of pycolmap."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ..errors import install_extra

if TYPE_CHECKING:
    import pycolmap

COLMAP_CENTER = 0.5
"""Coordinate of the center of the top-left pixel in COLMAP; here it is 0 [px]."""


def import_pycolmap(extra: str = "train") -> ModuleType:
    """Return pycolmap, quiet except for its warnings.

    Args:
        extra: The extra of this package that the error tells the user to install.

    Raises:
        ValueError: It is not installed.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise ValueError(f"a reconstruction needs pycolmap: {install_extra(extra)}") from error
    pycolmap.logging.minloglevel = int(pycolmap.logging.WARNING)
    return pycolmap


def world_to_camera(image: pycolmap.Image) -> np.ndarray:
    """Return the pose (4, 4) of a registered image, world to camera."""
    pose: pycolmap.Rigid3d | Callable[[], pycolmap.Rigid3d] = image.cam_from_world
    matrix = np.eye(4)
    # A method from pycolmap 3.12 on.
    matrix[:3] = (pose() if callable(pose) else pose).matrix()
    return matrix
