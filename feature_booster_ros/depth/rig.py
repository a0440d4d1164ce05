# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The geometry of a stereo pair: where the right camera stands, and rays turned to be parallel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..camera import Calibration, Camera

RIGHT_WITHIN_NS = 5_000_000
"""Largest difference of the stamps of a left and a right image [ns]; at 10 m/s, 5 cm."""


@dataclass(frozen=True, eq=False)
class StereoRig:
    """Two cameras whose rays can be turned so that the same point has the same row in both.

    Attributes:
        left: Camera whose depths are measured.
        right: The other camera.
        left_rotation: (3, 3) float64, rays of the left image to rectified rays; the identity for
            rectified images.
        right_rotation: The same of the right image.
        baseline: Distance of the two cameras in meters.
    """

    left: Camera
    right: Camera
    left_rotation: np.ndarray
    right_rotation: np.ndarray
    baseline: float

    @classmethod
    def of_cameras(cls, left: Camera, right: Camera) -> StereoRig:
        """Return the rig that P and R of both cameras describe, as stereo calibration fills them.

        Raises:
            ValueError: P of the two is of cameras at the same place or in the wrong order.
        """
        baseline = _place(right.calibration) - _place(left.calibration)
        if not np.isfinite(baseline) or baseline == 0:
            raise ValueError(
                "P of the right camera has no baseline: P[3] must be -fx times the distance from "
                "the left camera in meters, as stereo calibration writes it"
            )
        if baseline < 0:
            raise ValueError(
                f"P of the two cameras puts the right one {-baseline:.3g} m to the left of the "
                "left one: exchange them"
            )
        return cls(left, right, _rotation(left), _rotation(right), baseline)

    @property
    def is_rectified(self) -> bool:
        """Whether the images are: a point has one row in both, and the columns give its depth."""
        return bool(
            self.left.is_pinhole
            and self.right.is_pinhole
            and np.array_equal(self.left.matrix, self.right.matrix)
            and np.array_equal(self.left_rotation, self.right_rotation)
        )

    def rectify_left(self, pixels: np.ndarray) -> np.ndarray:
        """Return rectified rays (N, 2) at depth 1 of pixels (N, 2) of the left image, or NaN."""
        return _turn(self.left.rays(pixels), self.left_rotation)

    def rectify_right(self, pixels: np.ndarray) -> np.ndarray:
        """Return rectified rays (N, 2) at depth 1 of pixels (N, 2) of the right image, or NaN."""
        return _turn(self.right.rays(pixels), self.right_rotation)

    def project_left(self, rays: np.ndarray) -> np.ndarray:
        """Return pixels (N, 2) of the left image of rectified rays (N, 2) at depth 1, or NaN."""
        return self.left.project(_turn(rays, self.left_rotation.T))

    def project_right(self, rays: np.ndarray) -> np.ndarray:
        """Return pixels (N, 2) of the right image of rectified rays (N, 2) at depth 1, or NaN."""
        return self.right.project(_turn(rays, self.right_rotation.T))


def with_stereo_calibration(
    left: Camera, right: Camera, right_in_left: np.ndarray
) -> tuple[Camera, Camera]:
    """Return two cameras with the R and P of a stereo pair, from their relative pose.

    The rectified cameras look in the mean direction, turned so that the right one lies on the x
    axis of the left (Bouguet's method, as in cv2.stereoRectify), with the smaller focal length of
    the two and the mean principal point.

    Args:
        left: The left camera.
        right: The right camera.
        right_in_left: (4, 4), pose of the right camera in the frame of the left, in meters.

    Raises:
        ValueError: The right camera is not to the right of the left one.
    """
    translation, turn = right_in_left[:3, 3], right_in_left[:3, :3]
    baseline = float(np.linalg.norm(translation))
    if not translation[0] > 0.5 * baseline:
        raise ValueError(
            f"the second camera is at {np.round(translation, 3).tolist()} m in the first, which is "
            "not to its right"
        )
    x = translation / baseline
    forward = np.array([0.0, 0.0, 1.0]) + turn[:, 2]
    y = np.cross(forward, x)
    y /= np.linalg.norm(y)
    left_rotation = np.stack([x, y, np.cross(x, y)])
    focal = min(min(camera.matrix[0, 0], camera.matrix[1, 1]) for camera in (left, right))
    center = (left.matrix[:2, 2] + right.matrix[:2, 2]) / 2
    projection = np.array(
        [[focal, 0.0, center[0], 0.0], [0.0, focal, center[1], 0.0], [0.0, 0.0, 1.0, 0.0]]
    )
    shifted = projection.copy()
    shifted[0, 3] = -focal * baseline
    return (
        left.with_rectification(left_rotation, projection),
        right.with_rectification(left_rotation @ turn, shifted),
    )


def _place(calibration: Calibration) -> float:
    """Return the camera's place on the x axis of its stereo pair [m]; 0 where P is not filled."""
    return -calibration.p[3] / calibration.p[0] if calibration.p[0] else 0.0


def _rotation(camera: Camera) -> np.ndarray:
    rotation = np.reshape(camera.calibration.r, (3, 3))
    return np.eye(3) if camera.rectified or not rotation.any() else rotation


def _turn(rays: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return rays (N, 2) at depth 1, turned; NaN where they then point backwards."""
    turned = rays @ rotation[:, :2].T + rotation[:, 2]
    with np.errstate(invalid="ignore"):
        turned[~(turned[:, 2] > 0)] = np.nan
    return turned[:, :2] / turned[:, 2:]
