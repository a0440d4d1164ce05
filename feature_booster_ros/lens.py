# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lens distortion of rays, and its inverse."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

# Largest number of Newton steps; from the radial table two or three are enough.
_MAX_STEPS = 12
# Angles from the axis at which the radial distortion is tabulated [rad], up to 89.9 degrees.
_ANGLES = np.linspace(0.0, np.radians(89.9), 4096)


@lru_cache(maxsize=64)
def lens_of(model: str, coefficients: tuple[float, ...]) -> Lens:
    """Return the lens of a model's coefficients, from a cache."""
    return Lens(model, coefficients)


class Lens:
    """The distortion of rays at depth 1 by OpenCV's models, and its inverse.

    Rational: https://docs.opencv.org/4.x/d9/d0c/group__calib3d.html, of which plumb_bob is a part.
    Equidistant: Kannala and Brandt, PAMI 2006, as in cv2.fisheye.
    """

    def __init__(self, model: str, coefficients: tuple[float, ...]) -> None:
        self._is_fisheye = model == "equidistant"
        self._coefficients = np.zeros(14)
        self._coefficients[: len(coefficients[:14])] = coefficients[:14]
        self._tilt = None
        if not self._is_fisheye and self._coefficients[12:].any():
            self._tilt = _tilt(*self._coefficients[12:])
        radii = np.tan(_ANGLES)
        with np.errstate(all="ignore"):
            distorted = radii * self._radial(radii**2)[0]
            falls = ~(np.diff(distorted) > 0)
        # From the first turning point (or pole) on, a pixel has another ray nearer to the axis.
        count = int(np.argmax(falls)) + 1 if falls.any() else len(radii)
        self._radii, self._distorted = radii[:count], distorted[:count]

    def distort(self, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distorted rays (N, 2) and the Jacobian (N, 2, 2); NaN outside of the range."""
        x, y = rays.T
        squared = x * x + y * y
        with np.errstate(all="ignore"):
            gain, slope = self._radial(squared)
        gain[~(squared <= self._radii[-1] ** 2)] = np.nan
        distorted = rays * gain[:, None]
        jacobian = np.empty((len(rays), 2, 2))
        jacobian[:, 0, 0] = gain + 2 * slope * x * x
        jacobian[:, 1, 1] = gain + 2 * slope * y * y
        jacobian[:, 0, 1] = jacobian[:, 1, 0] = 2 * slope * x * y
        if not self._is_fisheye:
            self._add_tangential(x, y, squared, distorted, jacobian)
        return distorted, jacobian

    def undistort(self, distorted: np.ndarray, tolerance: float) -> np.ndarray:
        """Return the rays (N, 2) of distorted rays, each to within the tolerance, or NaN."""
        target = distorted
        if self._tilt is not None:  # only for the initial values
            distorted = _homography(np.linalg.inv(self._tilt), distorted)
        radius = np.hypot(*distorted.T)
        start = np.interp(radius, self._distorted, self._radii)
        rays = distorted * (start / np.maximum(radius, 1e-12))[:, None]
        rays[radius < 1e-12] = 0.0
        errors = np.full(len(rays), np.inf)
        active: np.ndarray = np.arange(len(rays))
        for step in range(_MAX_STEPS + 1):
            found, jacobian = self.distort(rays[active])
            residual = target[active] - found
            determinant = determinants(jacobian)
            is_regular = determinant > 0
            error = np.where(is_regular, np.hypot(*residual.T), np.inf)
            errors[active] = error
            going = error > 1e-3 * tolerance
            active = active[going]
            if len(active) == 0 or step == _MAX_STEPS:
                break
            (a, b), (c, d) = np.moveaxis(jacobian[going], 0, -1)
            u, v = residual[going].T
            with np.errstate(all="ignore"):
                move = np.stack([d * u - b * v, a * v - c * u], -1) / determinant[going, None]
            # Where the determinant is not positive, Newton's step is invalid: the ray is nearer.
            move = np.where(is_regular[going, None], move, -0.1 * rays[active])
            rays[active] = self._within(rays[active] + move)
        rays[~(errors <= tolerance)] = np.nan
        return rays

    def _within(self, rays: np.ndarray) -> np.ndarray:
        """Return the rays, with those beyond the range moved to its edge."""
        radius = np.hypot(*rays.T)
        edge = self._radii[-1] * (1 - 1e-9)
        return rays * np.minimum(1.0, edge / np.maximum(radius, 1e-12))[:, None]

    def _radial(self, squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the factor on a ray of squared radius (N,), and its derivative by the latter."""
        if self._is_fisheye:
            k = self._coefficients[:4]
            radius = np.sqrt(np.maximum(squared, 1e-8))
            angle = np.arctan(radius)
            power = angle**2
            turned = angle * (1 + power * (k[0] + power * (k[1] + power * (k[2] + power * k[3]))))
            rate = 1 + power * (
                3 * k[0] + power * (5 * k[1] + power * (7 * k[2] + power * 9 * k[3]))
            )
            slope = (rate * radius / (1 + radius**2) - turned) / (2 * radius**3)
            return turned / radius, slope
        k1, k2, _, _, k3, k4, k5, k6 = self._coefficients[:8]
        above = 1 + squared * (k1 + squared * (k2 + squared * k3))
        below = 1 + squared * (k4 + squared * (k5 + squared * k6))
        rise = k1 + squared * (2 * k2 + squared * 3 * k3)
        fall = k4 + squared * (2 * k5 + squared * 3 * k6)
        return above / below, (rise * below - above * fall) / below**2

    def _add_tangential(
        self,
        x: np.ndarray,
        y: np.ndarray,
        squared: np.ndarray,
        distorted: np.ndarray,
        jacobian: np.ndarray,
    ) -> None:
        """Add the tangential and thin-prism terms, and the tilt of the sensor, in place."""
        p1, p2 = self._coefficients[2:4]
        s1, s2, s3, s4 = self._coefficients[8:12]
        distorted[:, 0] += 2 * p1 * x * y + p2 * (squared + 2 * x * x)
        distorted[:, 1] += 2 * p2 * x * y + p1 * (squared + 2 * y * y)
        distorted[:, 0] += squared * (s1 + squared * s2)
        distorted[:, 1] += squared * (s3 + squared * s4)
        prism_x, prism_y = 2 * (s1 + 2 * s2 * squared), 2 * (s3 + 2 * s4 * squared)
        jacobian[:, 0, 0] += 2 * p1 * y + 6 * p2 * x + prism_x * x
        jacobian[:, 0, 1] += 2 * p1 * x + 2 * p2 * y + prism_x * y
        jacobian[:, 1, 0] += 2 * p2 * y + 2 * p1 * x + prism_y * x
        jacobian[:, 1, 1] += 2 * p2 * x + 6 * p1 * y + prism_y * y
        if self._tilt is not None:
            depth = distorted @ self._tilt[2, :2] + self._tilt[2, 2]
            distorted[:] = _homography(self._tilt, distorted)
            tilt = self._tilt[:2, :2] - distorted[:, :, None] * self._tilt[2, :2]
            jacobian[:] = (tilt / depth[:, None, None]) @ jacobian


def _tilt(tau_x: float, tau_y: float) -> np.ndarray:
    """Return the homography (3, 3) of a sensor that is tilted by two angles in radians."""
    cos_x, sin_x, cos_y, sin_y = np.cos(tau_x), np.sin(tau_x), np.cos(tau_y), np.sin(tau_y)
    about_x = np.array([[1, 0, 0], [0, cos_x, sin_x], [0, -sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]])
    turn = about_y @ about_x
    return np.array([[turn[2, 2], 0, -turn[0, 2]], [0, turn[2, 2], -turn[1, 2]], [0, 0, 1]]) @ turn


def determinants(matrices: np.ndarray) -> np.ndarray:
    """Return the determinants (N,) of matrices (N, 2, 2); NaN stays NaN, without a warning."""
    (a, b), (c, d) = np.moveaxis(matrices, 0, -1)
    return a * d - b * c


def _homography(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return moved[:, :2] / moved[:, 2:]
