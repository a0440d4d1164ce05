# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Insertion of keyframes into the map: new landmarks and bundle adjustment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..matching.guided import descriptor_distances, match_along_segments
from .bundle_adjustment import adjust
from .epipolar import epipolar_segments
from .landmark_map import Keyframe, LandmarkMap
from .measured_depth import (
    add_measured_landmarks,
    carry_landmarks,
    distance_information,
    measured_depths,
)
from .rigid import inverse, transform_points
from .settings import OdometrySettings
from .triangulation import position_spreads, triangulate

_TRIANGULATION_KEYFRAMES = 4
"""Newest keyframes that a new one is triangulated with."""
_MIN_PARALLAX_SIGMAS = 1.0
"""Least parallax to triangulate a feature, expected at the median depth [sigmas of the parallax]. A
test of the measured angle alone prefers those that noise enlarges, and the map shrinks."""
_EPIPOLAR_WIDTH = 2.5
"""Largest distance of a match from the epipolar line [sigmas]."""
_RATIO = 0.8
"""Largest ratio of a match's descriptor distance to the second nearest's."""
_DISTANCE_PERCENTILE = 95
"""Percentile of the distances between a landmark's descriptors in two keyframes that is the largest
distance of a new match."""
_MIN_DEPTH_RATIO = 0.3
"""Least depth of a new landmark, as a share of the 5th percentile of the depths in view. Nearer
points of the epipolar line give wrong matches, the more the less the two views overlap."""
_MAX_RESIDUAL = 3.0
"""Residual above which an observation is removed after the adjustment [sigmas]."""
_UNCONFIRMED_KEYFRAMES = 3
"""Newest keyframes whose landmarks of measured depth are kept though no other keyframe observes
them."""
_POINTS_PER_POSE = 200
"""Landmarks that bundle adjustment chooses for each keyframe."""
_FIXED_KEYFRAMES = 6
"""Newest keyframes before the window that observe its landmarks and fix its position."""


@dataclass(frozen=True)
class _VisibleLandmarks:
    """Statistics of the landmarks in view, which new landmarks must fit."""

    median_depth: float
    min_depth: float
    max_distance: float  # of descriptors


def map_keyframe(landmarks: LandmarkMap, settings: OdometrySettings) -> LandmarkMap:
    """Map the newest keyframe: triangulate new landmarks, adjust the window, and remove outliers.

    Args:
        landmarks: the map, which is not changed, so that it can be used meanwhile. The newest
            keyframe's ``landmark_of`` has its observations of known landmarks.
        settings: of the odometry.

    Returns:
        A changed copy with the same keyframes.
    """
    landmarks = landmarks.copy()
    keyframe = landmarks.keyframes[-1]
    seen = keyframe.landmark_of >= 0
    rows, descriptors = keyframe.landmark_of[seen], keyframe.view.features.descriptors[seen]
    if len(rows):
        depths = transform_points(keyframe.pose, landmarks.positions[rows])[:, 2]
        visible = _VisibleLandmarks(
            float(np.median(depths)),
            _MIN_DEPTH_RATIO * float(np.percentile(depths, 5)),
            float(
                np.percentile(
                    descriptor_distances(descriptors, landmarks.descriptors[rows]),
                    _DISTANCE_PERCENTILE,
                )
            ),
        )
        landmarks.descriptors[rows] = descriptors
        for partner in landmarks.keyframes[-2 : -_TRIANGULATION_KEYFRAMES - 2 : -1]:
            _triangulate_with(landmarks, keyframe, partner, visible, settings)
    add_measured_landmarks(landmarks, keyframe)
    adjust_window(landmarks, settings)
    _cull_unsupported(landmarks)
    return landmarks


def _cull_unsupported(landmarks: LandmarkMap) -> None:
    """Remove the landmarks that fewer than two keyframes observe.

    Those of measured depth may be found again while their keyframe is one of the newest.
    """
    is_kept = landmarks.observations() >= 2
    for keyframe in landmarks.keyframes[-_UNCONFIRMED_KEYFRAMES:]:
        if keyframe.view.inverse_depths is not None:
            seen = (keyframe.landmark_of >= 0) & np.isfinite(keyframe.view.inverse_depths)
            is_kept[keyframe.landmark_of[seen]] = True
    landmarks.cull(is_kept)


def adjust_window(landmarks: LandmarkMap, settings: OdometrySettings) -> None:
    """Adjust the newest keyframes and the landmarks that they observe.

    Older keyframes that observe these landmarks are fixed, or else the two oldest, which fixes
    position and scale. Measured depths fix the scale themselves, so then it is the oldest alone.
    """
    window = landmarks.keyframes[-settings.window :]
    rows = landmarks.seen_by(window)
    in_window = np.zeros(len(landmarks), bool)
    in_window[rows] = True
    fixed_keyframes = [
        keyframe
        for keyframe in landmarks.keyframes[: -settings.window][-_FIXED_KEYFRAMES:]
        if in_window[keyframe.landmark_of[keyframe.landmark_of >= 0]].any()
    ]
    involved = fixed_keyframes + window
    cameras, features = [], []
    for number, keyframe in enumerate(involved):
        sees = np.flatnonzero(keyframe.landmark_of >= 0)
        sees = sees[in_window[keyframe.landmark_of[sees]]]
        cameras.append(np.full(len(sees), number))
        features.append(sees)
    landmark = np.concatenate(
        [keyframe.landmark_of[sees] for keyframe, sees in zip(involved, features, strict=True)]
    )
    place = np.full(len(landmarks), -1)
    place[rows] = np.arange(len(rows))
    measured = measured_depths(involved, features)
    has_depths = measured[0] is not None and bool(np.isfinite(measured[0]).any())
    is_fixed = np.zeros(len(involved), bool)
    is_fixed[: max(len(fixed_keyframes), min(1 if has_depths else 2, len(involved) - 1))] = True
    result = adjust(
        np.stack([keyframe.pose for keyframe in involved]),
        is_fixed,
        landmarks.positions[rows],
        np.concatenate(cameras),
        place[landmark],
        np.concatenate(
            [keyframe.view.rays[sees] for keyframe, sees in zip(involved, features, strict=True)]
        ),
        np.concatenate(
            [keyframe.view.sigmas[sees] for keyframe, sees in zip(involved, features, strict=True)]
        ),
        points_per_pose=_POINTS_PER_POSE,
        inverse_depths=measured[0],
        inverse_depth_sigmas=measured[1],
    )
    landmarks.positions[rows] = result.points
    if has_depths:
        carry_landmarks(landmarks, involved, result.poses)
    for keyframe, pose in zip(involved, result.poses, strict=True):
        keyframe.pose = pose
    landmarks.spreads[rows] = position_spreads(
        result.points,
        np.stack([keyframe.center for keyframe in involved])[np.concatenate(cameras)],
        np.concatenate(
            [keyframe.view.sigmas[sees] for keyframe, sees in zip(involved, features, strict=True)]
        ),
        place[landmark],
        distance_information(involved, features, result.depth_residuals),
    )
    begin = 0
    for keyframe, sees in zip(involved, features, strict=True):
        off = result.residuals[begin : begin + len(sees)] > _MAX_RESIDUAL
        keyframe.landmark_of[sees[off]] = -1
        begin += len(sees)


def _triangulate_with(
    landmarks: LandmarkMap,
    keyframe: Keyframe,
    partner: Keyframe,
    visible: _VisibleLandmarks,
    settings: OdometrySettings,
) -> None:
    """Triangulate features of two keyframes that have no landmark yet."""
    motion = partner.pose @ inverse(keyframe.pose)  # new keyframe to partner
    baseline = keyframe.center - partner.center
    free = _with_parallax(keyframe, baseline, visible.median_depth)
    others = _with_parallax(partner, baseline, visible.median_depth)
    if len(free) == 0 or len(others) == 0:
        return
    begins, ends = epipolar_segments(keyframe.view.rays[free], motion, visible.min_depth)
    pairs = match_along_segments(
        begins,
        ends,
        keyframe.view.features.descriptors[free],
        partner.view.rays[others],
        partner.view.features.descriptors[others],
        _EPIPOLAR_WIDTH * partner.view.sigmas[others],
        _RATIO,
        visible.max_distance,
    )
    a, b = free[pairs[:, 0]], others[pairs[:, 1]]
    found = triangulate(
        keyframe.pose, partner.pose, keyframe.view.rays[a], partner.view.rays[b],
        keyframe.view.sigmas[a], partner.view.sigmas[b], settings.min_angle,
    )  # fmt: skip
    good = found.is_good
    points = found.points[good]
    rows = landmarks.add_landmarks(
        points,
        position_spreads(
            points,
            np.repeat([keyframe.center, partner.center], len(points), axis=0),
            np.r_[keyframe.view.sigmas[a[good]], partner.view.sigmas[b[good]]],
            np.tile(np.arange(len(points)), 2),
        ),
        keyframe.view.features.descriptors[a[good]],
    )
    keyframe.landmark_of[a[good]] = rows
    partner.landmark_of[b[good]] = rows


def _with_parallax(keyframe: Keyframe, baseline: np.ndarray, median_depth: float) -> np.ndarray:
    """Return the features without a landmark whose parallax would be significant.

    Args:
        keyframe: with the features.
        baseline: (3,) between the two keyframes, in the world.
        median_depth: at which the parallax is expected.
    """
    rays = np.hstack([keyframe.view.rays, np.ones((len(keyframe.view), 1))])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    across = np.cross(keyframe.pose[:3, :3] @ baseline, rays)
    parallax = np.linalg.norm(across, axis=1) / median_depth
    noise = np.sqrt(2) * keyframe.view.sigmas
    return np.flatnonzero((keyframe.landmark_of < 0) & (parallax > _MIN_PARALLAX_SIGMAS * noise))
