# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read cameras from calibration files of ROS, OpenCV or Kalibr, or from four numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
import yaml

from ..camera import Calibration, Camera

FORMATS = (
    "ROS camera_info YAML (camera_calibration, or a CameraInfo by ros2 topic echo), OpenCV "
    "FileStorage YAML or XML, Kalibr camchain YAML, EuRoC sensor.yaml"
)

# Keys of a calibration, in lower case and without underscores, by the field of CameraInfo.
_KEYS = {
    "width": ("imagewidth", "width"),
    "height": ("imageheight", "height"),
    "distortion_model": ("distortionmodel",),
    "d": ("distortioncoefficients", "distcoeffs", "d"),
    "k": ("cameramatrix", "k"),
    "r": ("rectificationmatrix", "r"),
    "p": ("projectionmatrix", "p"),
    "binning_x": ("binningx",),
    "binning_y": ("binningy",),
    "roi": ("roi",),
    "fisheye": ("fisheyemodel",),  # of OpenCV's sample calibration.cpp
}
_WHOLE = {"x_offset": 0, "y_offset": 0, "width": 0, "height": 0, "do_rectify": False}


def resolve_camera(camera: Camera | str | PathLike | None) -> Camera | None:
    """Return the camera that `camera` stands for.

    Args:
        camera: A Camera, a calibration file (see `read_camera`), "fx,fy,cx,cy" in pixels, or None
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
        return read_camera(text)
    if len(numbers) != 4:
        raise ValueError(f"camera {text!r} has {len(numbers)} numbers, expected fx,fy,cx,cy")
    fx, fy, cx, cy = numbers
    return Camera.pinhole(fx, fy, cx, cy)


def read_camera(address: str | PathLike) -> Camera:
    """Read a calibration file, whose format is recognized by its content.

    - ROS: what camera_calibration writes and camera_info_manager reads, or a CameraInfo as
      `ros2 topic echo` prints it; rectification and projection are kept.
    - OpenCV: a FileStorage (YAML or XML) with camera_matrix and distortion_coefficients, or
      cameraMatrix and distCoeffs; fisheye_model: 1 for cv2.fisheye. The image size may be left out.
    - Kalibr: a camchain; of several cameras one is chosen by its name, as in camchain.yaml#cam1.
    - EuRoC: sensor.yaml.

    Args:
        address: A path, file:///PATH, or package://PACKAGE/PATH, as camera_info_manager takes them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of another format, lacks a key, or makes no sense.
    """
    path, name = _find(str(address))
    try:
        entries = read_entries(path)
        if any(re.fullmatch(r"cam\d+", key) for key in entries):
            return sensor_camera(_of_camchain(entries, name))
        if name:
            raise ValueError(f"#{name} chooses a camera of a Kalibr camchain, which this is not")
        if "intrinsics" in entries:
            return sensor_camera(entries)
        return _of_camera_info(entries)
    except KeyError as error:
        raise ValueError(f"camera calibration {path} lacks {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError, cv2.error) as error:
        raise ValueError(f"camera calibration {path}: {error}") from None


def write_camera(camera: Camera, path: Path) -> None:
    """Write the intrinsics of a camera's images as a ROS camera_info YAML file."""
    calibration = camera.calibration.of_image(camera.rectified)

    def matrix(values: tuple[float, ...], rows: int) -> dict[str, Any]:
        return {
            "rows": rows,
            "cols": len(values) // rows,
            "data": [float(value) for value in values],
        }

    entries = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": "camera",
        "camera_matrix": matrix(calibration.k, 3),
        "distortion_model": calibration.distortion_model,
        "distortion_coefficients": matrix(calibration.d, 1),
        "rectification_matrix": matrix(calibration.r, 3),
        "projection_matrix": matrix(calibration.p, 3),
    }
    path.write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")


def sensor_camera(entries: Mapping[str, Any]) -> Camera:
    """Return the camera of an entry of Kalibr's camchain, or of EuRoC's sensor.yaml.

    Raises:
        KeyError: A key is missing.
        ValueError: It is not a pinhole or fisheye camera, or makes no sense.
    """
    projection = entries.get("camera_model", "pinhole")
    if projection != "pinhole":
        raise ValueError(
            f"camera_model {projection!r} is not supported: calibrate as pinhole-radtan or "
            "pinhole-equi"
        )
    fx, fy, cx, cy = map(float, entries["intrinsics"])
    width, height = map(int, entries["resolution"])
    key = "distortion_coeffs" if "distortion_coeffs" in entries else "distortion_coefficients"
    return Camera(
        width,
        height,
        np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]),
        np.ravel(np.array(entries[key], np.float64)),
        entries["distortion_model"],
    )


def _find(address: str) -> tuple[Path, str]:
    """Return the file at an address, and the name after its #."""
    path = _local(address)
    if path.is_file():
        return path, ""
    address, _, name = address.rpartition("#")
    if address and (named := _local(address)).is_file():
        return named, name
    raise FileNotFoundError(
        f"camera calibration {path} does not exist (expected fx,fy,cx,cy, or a file: {FORMATS})"
    )


def _local(address: str) -> Path:
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path + (f"#{parts.fragment}" if parts.fragment else "")))
    if parts.scheme != "package":
        return Path(address).expanduser()
    try:
        from ament_index_python import get_package_share_directory

        share = get_package_share_directory(parts.netloc)
    except ImportError:
        raise ValueError(
            f"camera {address!r} lies in a ROS package: source the ROS environment, or give a path"
        ) from None
    except LookupError:
        raise ValueError(
            f"camera {address!r}: package {parts.netloc!r} is not installed, or its workspace is "
            "not sourced"
        ) from None
    return Path(share, address.removeprefix(f"package://{parts.netloc}").lstrip("/"))


def read_entries(path: Path) -> Mapping[str, Any]:
    """Return the top level of a calibration file.

    Raises:
        ValueError, yaml.YAMLError, cv2.error: It is none.
    """
    text = path.read_text(encoding="utf-8-sig")
    if text.startswith(("%YAML:1", "<?xml")) or "opencv-matrix" in text:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        return _node_value(storage.root()) or {}
    # ros2 topic echo ends each message with ---; the first one is taken.
    entries = next(iter(yaml.safe_load_all(text)), None)
    if not isinstance(entries, dict):
        raise ValueError(f"not a calibration that is known; expected one of: {FORMATS}")
    return {str(key): value for key, value in entries.items()}


def _node_value(node: cv2.FileNode) -> Any:
    if node.isInt() or node.isReal():
        return node.real()
    if node.isString():
        return node.string()
    if node.isSeq():
        return [_node_value(node.at(index)) for index in range(node.size())]
    if not node.isMap():
        return None
    if {"rows", "cols", "dt", "data"} <= set(node.keys()):
        return node.mat()
    return {key: _node_value(node.getNode(key)) for key in node.keys()}  # noqa: SIM118


def _of_camera_info(entries: Mapping[str, Any]) -> Camera:
    """Return the camera of a file with the keys of ROS or of OpenCV."""
    named = {key.replace("_", "").lower(): (key, value) for key, value in entries.items()}
    found = {}
    for field, keys in _KEYS.items():
        key = next((key for key in keys if key in named), None)
        if key is not None:
            found[field] = named[key][1]
    if not found.keys() & {"k", "d", "p", "width"}:
        raise ValueError(
            f"its keys {', '.join(entries) or '(none)'} are not those of a calibration that is "
            f"known; expected one of: {FORMATS}"
        )
    is_opencv = isinstance(found.get("k"), np.ndarray)
    needed = {"width": "image_width", "height": "image_height"} if not is_opencv else {}
    for field, name in {**needed, "k": "camera_matrix"}.items():
        if field not in found:
            raise KeyError(name)
    matrix = _values(found["k"], 9)
    fallback = "equidistant" if found.get("fisheye") else "plumb_bob"
    calibration = Calibration.of_message(
        SimpleNamespace(
            width=found.get("width", 0),
            height=found.get("height", 0),
            distortion_model=found.get("distortion_model") or fallback,
            d=_values(found.get("d", ())),
            k=matrix,
            r=_values(found.get("r", np.eye(3)), 9),
            p=_values(found["p"], 12) if "p" in found else _projection(matrix),
            binning_x=found.get("binning_x", 0),
            binning_y=found.get("binning_y", 0),
            roi=SimpleNamespace(**{**_WHOLE, **(found.get("roi") or {})}),
        )
    )
    camera = Camera.of_calibration(calibration)
    if camera is None:
        raise ValueError("camera_matrix is zero: calibrate the camera")
    # Without a size, that of the source's images is taken.
    return camera if camera.width else replace(camera, recorded=None)


def _values(entry: Any, count: int | None = None) -> np.ndarray:
    """Return the numbers of a matrix, flat, from a list, an array or a mapping with data."""
    if isinstance(entry, dict):
        entry = entry["data"]
    values = np.ravel(np.array(() if entry is None else entry, np.float64))
    if count is not None and len(values) != count:
        raise ValueError(f"a matrix has {len(values)} numbers, expected {count}")
    return values


def _projection(matrix: np.ndarray) -> np.ndarray:
    return np.column_stack([matrix.reshape(3, 3), np.zeros(3)]).ravel()


def _of_camchain(entries: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the entry of one camera."""
    cameras = {key: value for key, value in entries.items() if re.fullmatch(r"cam\d+", key)}
    if name:
        if name not in cameras:
            raise ValueError(f"there is no camera {name!r}, only {', '.join(cameras)}")
        return cameras[name]
    if len(cameras) > 1:
        raise ValueError(
            f"a camchain of several cameras, {', '.join(cameras)}: choose one as in FILE#cam0"
        )
    return next(iter(cameras.values()))


def _numbers(text: str) -> list[float] | None:
    """Return the comma-separated numbers of `text`, or None if it is something else."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        return None
