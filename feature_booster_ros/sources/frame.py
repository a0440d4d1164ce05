# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a source delivers: frames, and the camera that took them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

# How many coefficients each ROS distortion model may have (sensor_msgs/distortion_models.hpp names
# the models; OpenCV's calibration functions say the counts). Zero coefficients: no distortion.
DISTORTION_COUNTS = {
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (0, 8, 12, 14),
    "equidistant": (0, 4),
}

_ENCODINGS = {
    ("uint8", 1): "mono8",
    ("uint16", 1): "mono16",
    ("uint8", 3): "bgr8",
    ("uint16", 3): "bgr16",
}


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera for images of one size.

    Attributes:
        width, height: Image size in pixels. Both 0: not known yet; a source fills them in from its
            first image (``calib.txt`` of KITTI, for one, does not name the size).
        matrix: Intrinsics (3, 3) float64, in pixels, the centre of the top-left pixel at (0, 0).
        distortion: Coefficients (K,) float64 in OpenCV's order; empty for rectified images.
        model: ROS name of the distortion model, a key of ``DISTORTION_COUNTS``.

    Raises:
        ValueError: The intrinsics are not finite with positive focal lengths, or the number of
            coefficients does not fit the model.
    """

    width: int
    height: int
    matrix: np.ndarray
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(0))
    model: str = "plumb_bob"

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, dtype=np.float64)
        distortion = np.asarray(self.distortion, dtype=np.float64).reshape(-1)
        if matrix.shape != (3, 3):
            raise ValueError(f"camera matrix has shape {matrix.shape}, expected (3, 3)")
        if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
            raise ValueError(
                f"camera matrix {matrix.tolist()} needs finite values and positive focal lengths"
            )
        if self.model not in DISTORTION_COUNTS:
            raise ValueError(
                f"distortion model {self.model!r} is not one of {', '.join(DISTORTION_COUNTS)}"
            )
        if len(distortion) not in DISTORTION_COUNTS[self.model]:
            raise ValueError(
                f"distortion model {self.model} takes "
                f"{' or '.join(map(str, DISTORTION_COUNTS[self.model][1:]))} coefficients, "
                f"not {len(distortion)}"
            )
        if not np.isfinite(distortion).all():
            raise ValueError(f"distortion coefficients {distortion.tolist()} are not all finite")
        if self.width < 0 or self.height < 0:
            raise ValueError(f"camera size {self.width}x{self.height} is negative")
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "distortion", distortion)

    @classmethod
    def pinhole(
        cls, fx: float, fy: float, cx: float, cy: float, width: int = 0, height: int = 0
    ) -> Camera:
        """A camera without distortion from focal lengths and principal point, in pixels."""
        return cls(width, height, np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]))

    def with_size(self, width: int, height: int) -> Camera:
        """The same intrinsics for an image size of `width` x `height` pixels."""
        return replace(self, width=width, height=height)


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a source.

    Attributes:
        stamp_ns: Time of exposure in integer nanoseconds; the epoch is the record's own.
        image: Pixels (H, W) or (H, W, 3) in BGR order, uint8 or uint16.
        camera: The calibrated camera, of the image's size; None where it is not known.
        name: File name, topic or device, to tell the user about.
        pose: Ground truth, (4, 4) float64 camera to world in metres; None where it is not known.
            The camera looks along +z with x to the right and y down (REP 103, optical frame).
    """

    stamp_ns: int
    image: np.ndarray
    camera: Camera | None = None
    name: str = ""
    pose: np.ndarray | None = None

    @property
    def stamp(self) -> float:
        """Time of exposure in seconds (rounded to the 0.2 microseconds of a float64)."""
        return self.stamp_ns * 1e-9

    @property
    def encoding(self) -> str:
        """ROS name of the pixel format: mono8, mono16, bgr8 or bgr16.

        Raises:
            ValueError: The image has another shape or type than `image` allows.
        """
        return image_encoding(self.image)


def image_encoding(image: np.ndarray) -> str:
    """ROS name of the pixel format of (H, W) or (H, W, 3) BGR, uint8 or uint16.

    Raises:
        ValueError: Any other shape or type.
    """
    channels = 1 if image.ndim == 2 else image.shape[-1] if image.ndim == 3 else 0
    encoding = _ENCODINGS.get((image.dtype.name, channels))
    if encoding is None:
        raise ValueError(
            f"pixels of type {image.dtype} and shape {image.shape}: "
            "expected (H, W) or (H, W, 3), uint8 or uint16"
        )
    return encoding
