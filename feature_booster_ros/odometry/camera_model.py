# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels of a real, distorting lens as rays of an ideal camera."""

from __future__ import annotations

import cv2
import numpy as np

from ..features.normalization import check_camera_matrix

_COEFFICIENTS = {
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (0, 8, 12, 14),
    "equidistant": (0, 4),
}
_WIDEST_RAY = 5.0
"""tan of 79 degrees from the axis: beyond, a ray at depth 1 is no use as a coordinate."""


class CameraModel:
    """Intrinsics and lens distortion, in the models of sensor_msgs/CameraInfo.

    Args:
        camera_matrix: (3, 3) intrinsics in pixels.
        distortion: OpenCV's coefficients in their order; None or empty for none.
        distortion_model: "plumb_bob", "rational_polynomial" or "equidistant" (a fisheye).

    Raises:
        ValueError: the matrix is not valid, the model unknown, or the coefficients do not fit it.
    """

    def __init__(
        self,
        camera_matrix: np.ndarray,
        distortion: np.ndarray | None = None,
        distortion_model: str = "plumb_bob",
    ) -> None:
        self.matrix = np.array(camera_matrix, np.float64)
        check_camera_matrix(self.matrix)
        self.distortion = np.zeros(0) if distortion is None else np.ravel(distortion).astype(float)
        self.model = distortion_model or "plumb_bob"
        if self.model not in _COEFFICIENTS:
            raise ValueError(
                f"distortion model {self.model!r} is not one of {', '.join(_COEFFICIENTS)}"
            )
        if len(self.distortion) not in _COEFFICIENTS[self.model]:
            raise ValueError(
                f"distortion model {self.model} takes "
                f"{' or '.join(map(str, _COEFFICIENTS[self.model][1:]))} coefficients, "
                f"not {len(self.distortion)}"
            )
        if not np.isfinite(self.distortion).all():
            raise ValueError(f"distortion {self.distortion.tolist()} is not finite")

    @property
    def focal_length(self) -> float:
        """The mean of the two focal lengths in pixels."""
        return (self.matrix[0, 0] + self.matrix[1, 1]) / 2

    def rays(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rays at depth 1 (N, 2) float64 and the length (N,) that one pixel has there.

        Rays that the model cannot invert, or that leave the camera too far from its axis, are NaN.
        """
        pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
        rays = self._undistort(pixels)
        rays[np.abs(rays).max(axis=1, initial=0) > _WIDEST_RAY] = np.nan
        if not self.distortion.any() and self.model != "equidistant":
            return rays, np.full(len(rays), 1 / self.focal_length)
        # How the lens stretches the image there: the area of a pixel's square, by differences.
        along_x = self._undistort(pixels + [1.0, 0.0]) - rays
        along_y = self._undistort(pixels + [0.0, 1.0]) - rays
        area = np.abs(along_x[:, 0] * along_y[:, 1] - along_x[:, 1] * along_y[:, 0])
        return rays, np.sqrt(np.maximum(area, 1e-12))

    def _undistort(self, pixels: np.ndarray) -> np.ndarray:
        if len(pixels) == 0:
            return np.zeros((0, 2))
        if self.model == "equidistant":
            coefficients = self.distortion if len(self.distortion) else np.zeros(4)
            # OpenCV marks what does not converge by -1000000.
            return cv2.fisheye.undistortPoints(pixels[:, None], self.matrix, coefficients)[:, 0]
        if not self.distortion.any():
            centre, focal = self.matrix[:2, 2], self.matrix[[0, 1], [0, 1]]
            return (pixels - centre) / focal
        return cv2.undistortPoints(pixels[:, None], self.matrix, self.distortion)[:, 0]
