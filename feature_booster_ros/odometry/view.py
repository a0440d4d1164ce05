# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The features of a frame as rays, with their depths where they were measured."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from ..camera import Camera
from ..features import Features

_MAX_TANGENT = 5.0
"""Largest coordinate of a ray at depth 1 (79 degrees from the axis); others are left out."""
_MAX_SIGMA_RATIO = 3.0
"""Largest ratio of a keypoint's sigma to that of a keypoint of median scale, and its inverse."""
_MIN_DEPTHS = 20
"""Least number of measured depths; fewer are not used, as they say little of the scale."""


@dataclass(frozen=True, eq=False)
class View:
    """The features of a frame as rays.

    Stereo and structured light measure a disparity, so errors of a depth are symmetric in its
    inverse, up to infinity.

    Attributes:
        features: the N features whose rays are known.
        rays: (N, 2) float64, undistorted, x and y at depth 1.
        sigmas: (N,) float64, standard deviation of each ray in the same unit.
        inverse_depths: (N,) float64, measured, along the optical axis [1/m], NaN where unknown; a
            feature's point is its ray divided by it. None if nothing measured depth.
        inverse_depth_sigmas: (N,) float64, their standard deviations [1/m], or None.
    """

    features: Features
    rays: np.ndarray
    sigmas: np.ndarray
    inverse_depths: np.ndarray | None = None
    inverse_depth_sigmas: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rays)

    def depths_of(self, rows: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return inverse depths (M,) of features, and their standard deviations, or twice None."""
        if self.inverse_depths is None or self.inverse_depth_sigmas is None:
            return None, None
        return self.inverse_depths[rows], self.inverse_depth_sigmas[rows]

    def without_depths(self) -> View:
        """Return the same view as if nothing had measured depth."""
        return dataclasses.replace(self, inverse_depths=None, inverse_depth_sigmas=None)


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
    if (
        features.depths is None
        or features.depth_sigmas is None
        or np.isfinite(features.depths).sum() < _MIN_DEPTHS
    ):
        return View(features, rays, sigmas)
    depths = features.depths.astype(np.float64)
    return View(features, rays, sigmas, 1 / depths, features.depth_sigmas / depths**2)
