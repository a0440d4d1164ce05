# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a new keyframe brings to the map: landmarks, and a better fit of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..matching.guided import descriptor_distances, match_along_segments
from .bundle_adjustment import adjust
from .epipolar import epipolar_segments
from .landmark_map import Keyframe, LandmarkMap
from .rigid import inverse, transformed
from .settings import OdometrySettings
from .triangulation import spreads_of, triangulate

_PARTNERS = 4
"""Keyframes before the new one to triangulate with."""
_SHORTEST_BASELINE = 0.005
"""To a partner, as a share of the median depth. Where all angles are small, those that noise makes
larger pass the test of the angle more often, and the map shrinks."""
_LINE_WIDTH = 2.5
"""Of the epipolar line, in sigmas of the feature."""
_RATIO = 0.8
_LIKENESS = 95
"""Percentile of the distances between a landmark's descriptors in two keyframes: more unlike than
that, a new match is not believed."""
_NEARER = 0.3
"""New landmarks may be nearer than the nearest twentieth of those in view by this factor. The
epipolar line beyond holds wrong matches only, the more of them the less the two views share."""
_OUTLIER = 3.0
"""An observation this many sigmas off is taken back."""
_POINTS_PER_POSE = 200
"""Landmarks that the adjustment chooses for each keyframe."""
_ANCHORS = 6
"""Keyframes before the window that see its landmarks and hold it in place."""


@dataclass(frozen=True)
class _Expected:
    """What new landmarks are like, from those in view."""

    median_depth: float
    least_depth: float
    distance: float  # of descriptors


def insert_keyframe(landmarks: LandmarkMap, keyframe: Keyframe, settings: OdometrySettings) -> None:
    """Add a keyframe whose ``landmark_of`` says what it sees of the map: triangulate what it and
    those before it see besides, adjust the window, and remove what does not fit.
    """
    seen = keyframe.landmark_of >= 0
    rows, descriptors = keyframe.landmark_of[seen], keyframe.view.features.descriptors[seen]
    if len(rows):
        depths = transformed(keyframe.pose, landmarks.positions[rows])[:, 2]
        expected = _Expected(
            float(np.median(depths)),
            _NEARER * float(np.percentile(depths, 5)),
            float(
                np.percentile(
                    descriptor_distances(descriptors, landmarks.descriptors[rows]), _LIKENESS
                )
            ),
        )
        landmarks.descriptors[rows] = descriptors
        for partner in landmarks.keyframes[: -_PARTNERS - 1 : -1]:
            _triangulate_with(landmarks, keyframe, partner, expected, settings)
    landmarks.keyframes.append(keyframe)
    adjust_window(landmarks, settings)
    landmarks.drop_oldest(settings.max_keyframes)
    landmarks.cull(landmarks.observations() >= 2)


def adjust_window(landmarks: LandmarkMap, settings: OdometrySettings) -> None:
    """Bundle adjustment of the newest keyframes and the landmarks they see; older keyframes that
    see these stay where they are, or else the two oldest, which fixes place and scale.
    """
    window = landmarks.keyframes[-settings.window :]
    rows = landmarks.seen_by(window)
    in_window = np.zeros(len(landmarks), bool)
    in_window[rows] = True
    anchors = [
        keyframe
        for keyframe in landmarks.keyframes[: -settings.window][-_ANCHORS:]
        if in_window[keyframe.landmark_of[keyframe.landmark_of >= 0]].any()
    ]
    involved = anchors + window
    fixed = np.array([True] * len(anchors) + [False] * len(window))
    fixed[: max(len(anchors), min(2, len(involved) - 1))] = True
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
    result = adjust(
        np.stack([keyframe.pose for keyframe in involved]),
        fixed,
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
    )
    landmarks.positions[rows] = result.points
    for keyframe, pose in zip(involved, result.poses, strict=True):
        keyframe.pose = pose
    landmarks.spreads[rows] = spreads_of(
        result.points,
        np.stack([keyframe.center for keyframe in involved])[np.concatenate(cameras)],
        np.concatenate(
            [keyframe.view.sigmas[sees] for keyframe, sees in zip(involved, features, strict=True)]
        ),
        place[landmark],
    )
    begin = 0
    for keyframe, sees in zip(involved, features, strict=True):
        off = result.residuals[begin : begin + len(sees)] > _OUTLIER
        keyframe.landmark_of[sees[off]] = -1
        begin += len(sees)


def _triangulate_with(
    landmarks: LandmarkMap,
    keyframe: Keyframe,
    partner: Keyframe,
    expected: _Expected,
    settings: OdometrySettings,
) -> None:
    """New landmarks from features that neither keyframe has one for yet."""
    free = np.flatnonzero(keyframe.landmark_of < 0)
    others = np.flatnonzero(partner.landmark_of < 0)
    motion = partner.pose @ inverse(keyframe.pose)  # new keyframe to partner
    baseline = float(np.linalg.norm(motion[:3, 3]))
    if len(free) == 0 or len(others) == 0 or baseline < _SHORTEST_BASELINE * expected.median_depth:
        return
    begins, ends = epipolar_segments(keyframe.view.rays[free], motion, expected.least_depth)
    pairs = match_along_segments(
        begins,
        ends,
        keyframe.view.features.descriptors[free],
        partner.view.rays[others],
        partner.view.features.descriptors[others],
        _LINE_WIDTH * partner.view.sigmas[others],
        _RATIO,
        expected.distance,
    )
    a, b = free[pairs[:, 0]], others[pairs[:, 1]]
    found = triangulate(
        keyframe.pose, partner.pose, keyframe.view.rays[a], partner.view.rays[b],
        keyframe.view.sigmas[a], partner.view.sigmas[b], settings.minimum_angle,
    )  # fmt: skip
    good = found.is_good
    points = found.points[good]
    rows = landmarks.add_landmarks(
        points,
        spreads_of(
            points,
            np.repeat([keyframe.center, partner.center], len(points), axis=0),
            np.r_[keyframe.view.sigmas[a[good]], partner.view.sigmas[b[good]]],
            np.tile(np.arange(len(points)), 2),
        ),
        keyframe.view.features.descriptors[a[good]],
    )
    keyframe.landmark_of[a[good]] = rows
    partner.landmark_of[b[good]] = rows
