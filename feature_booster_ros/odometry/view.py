# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The features of a frame as rays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..camera import Camera
from ..features import Features

_MAX_TANGENT = 5.0
"""Largest coordinate of a ray at depth 1 (79 degrees from the axis); others are left out."""
_MAX_SIGMA_RATIO = 3.0
"""Largest ratio of a keypoint's sigma to that of a keypoint of median scale, and its inverse."""


@dataclass(frozen=True, eq=False)
class View:
    """The features of a frame as rays.

    Attributes:
        features: the N features whose rays are known.
        rays: (N, 2) float64, undistorted, x and y at depth 1.
        sigmas: (N,) float64, standard deviation of each ray in the same unit.
    """

    features: Features
    rays: np.ndarray
    sigmas: np.ndarray

    def __len__(self) -> int:
        return len(self.rays)


def make_view(features: Features, camera: Camera, pixel_sigma: float) -> View:
    """Return the view of a camera's features; those without a ray are left out.

    Args:
        features: of the frame.
        camera: its intrinsics.
        pixel_sigma: standard deviation of a keypoint of median scale [px].
    """
    rays = camera.rays(features.keypoints)
    known = np.abs(rays).max(axis=1, initial=0) <= _MAX_TANGENT  # and no NaN
    features, rays = features.select(known), rays[known]
    if len(features) == 0:
        return View(features, rays, np.zeros(0))
    # The position of a feature of coarser scale is less exact. The unit of scale differs between
    # detectors, so it is taken relative to the image's median.
    relative = features.scales / max(float(np.median(features.scales)), 1e-6)
    sigmas = pixel_sigma * camera.pixel_lengths(rays)
    sigmas *= np.clip(relative, 1 / _MAX_SIGMA_RATIO, _MAX_SIGMA_RATIO)
    return View(features, rays, sigmas)
