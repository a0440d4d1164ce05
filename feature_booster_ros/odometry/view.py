# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One frame as the odometry sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..camera import Camera
from ..features import Features

_WIDEST_RAY = 5.0
"""tan of 79 degrees from the axis: beyond, a ray at depth 1 is no use as a coordinate."""
_COARSEST = 3.0
"""A keypoint's sigma grows with the square root of its scale, up to so many times the usual."""


@dataclass(frozen=True, eq=False)
class View:
    """Features as rays.

    Attributes:
        features: N features whose rays are known.
        rays: (N, 2) float64, undistorted, at depth 1.
        sigmas: (N,) float64, standard deviation of each ray in the same unit.
    """

    features: Features
    rays: np.ndarray
    sigmas: np.ndarray

    def __len__(self) -> int:
        return len(self.rays)


def view_of(features: Features, camera: Camera, pixel_sigma: float) -> View:
    """The view that a camera's features give; those without a ray are left out."""
    rays = camera.rays(features.keypoints)
    known = np.abs(rays).max(axis=1, initial=0) <= _WIDEST_RAY  # and no NaN
    features, rays = features.select(known), rays[known]
    if len(features) == 0:
        return View(features, rays, np.zeros(0))
    # A feature found in a coarser scale is placed less exactly. Relative to the image's median, as
    # detectors count scale in units of their own.
    relative = features.scales / max(float(np.median(features.scales)), 1e-6)
    sigmas = pixel_sigma * camera.pixel_lengths(rays)
    sigmas *= np.clip(np.sqrt(relative), 1 / _COARSEST, _COARSEST)
    return View(features, rays, sigmas)
