# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What all who read or write COLMAP models need."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ..errors import install_extra

if TYPE_CHECKING:
    import pycolmap

COLMAP_CENTRE = 0.5
"""Where COLMAP has the center of the top-left pixel; here it is at 0."""


def import_pycolmap(extra: str = "train") -> ModuleType:
    """Return pycolmap, quiet except for its warnings.

    Args:
        extra: What a user who lacks it is told to install.

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
    """The pose (4, 4) of a registered image, world to camera."""
    pose = image.cam_from_world
    if callable(pose):  # a method from pycolmap 3.12 on
        pose = pose()
    matrix = np.eye(4)
    matrix[:3] = pose.matrix()
    return matrix
