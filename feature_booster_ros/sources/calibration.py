# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras from what a user gives: a ROS calibration file, or four numbers."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .frame import Camera


def resolve_camera(camera: Camera | str | PathLike | None) -> Camera | None:
    """The camera that `camera` stands for.

    Args:
        camera: A Camera, the path of a ROS calibration file, "fx,fy,cx,cy" in pixels, or None
            (also an empty string) for none.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file or the numbers are not a calibration.
    """
    if camera is None or isinstance(camera, Camera):
        return camera
    text = str(camera).strip()
    if not text:
        return None
    numbers = _numbers(text)
    if numbers is None:
        return read_camera_yaml(text)
    if len(numbers) != 4:
        raise ValueError(f"camera {text!r} has {len(numbers)} numbers, expected fx,fy,cx,cy")
    return Camera.pinhole(*numbers)


def read_camera_yaml(path: str | PathLike) -> Camera:
    """Read a calibration as camera_calibration writes and camera_info_manager reads it.

    The keys are those of camera_calibration_parsers: image_width, image_height, camera_matrix,
    distortion_model, distortion_coefficients; the rectification of a stereo pair is not used.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not YAML, lacks a key, or its values are not a calibration.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"camera calibration {path} does not exist "
            "(expected a ROS camera_info YAML file, or fx,fy,cx,cy)"
        )
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Camera(
            width=int(entries["image_width"]),
            height=int(entries["image_height"]),
            matrix=_matrix(entries["camera_matrix"], (3, 3)),
            distortion=_matrix(entries.get("distortion_coefficients") or {"data": []}, (-1,)),
            model=entries.get("distortion_model") or "plumb_bob",
        )
    except KeyError as error:
        raise ValueError(
            f"camera calibration {path} lacks {error}; expected the keys of "
            "camera_calibration_parsers, image_width, camera_matrix and so on"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"camera calibration {path}: {error}") from None


def _matrix(entry: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    return np.array(entry["data"], dtype=np.float64).reshape(shape)


def _numbers(text: str) -> list[float] | None:
    """The comma-separated numbers of `text`, or None where it is something else."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        return None
