# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a frame is in the map: which landmarks it sees, and the pose that they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..matching.guided import match_along_segments, match_anywhere, match_near
from .absolute_pose import AbsolutePose, estimate_pose, refine_pose
from .epipolar import epipolar_segments, relative_pose
from .landmark_map import Keyframe, LandmarkMap
from .rigid import inverse, transformed
from .settings import OdometrySettings
from .view import View

_LOCAL_KEYFRAMES = 6
"""Keyframes whose landmarks are looked for."""
_NEWEST_KEYFRAMES = 2
"""Keyframes whose landmarks are looked for at first, in the wider radius: enough for a pose."""
_NARROWEST = 0.3
"""Radius of the first search where the prediction was good, as a share of the setting."""
_FOUND = 0.3
"""With less than this share of the landmarks that should be in sight, the motion may be another."""
_NEAR_SHARE = 0.2
"""The last search's."""
_RANSAC_PIXELS = 4.0
_EPIPOLAR_PIXELS = 1.5
_RELOCALIZATION_KEYFRAMES = 8
"""Keyframes that one lost frame is compared with."""
_AGREEING = 0.3
"""Of what was matched within a few pixels, less than this share is in agreement by chance."""
_SAFE = 0.06
"""With less support than this share of the features the rotation from two views alone is tried too.
"""
_TURN_RATIO = 0.9
_ENOUGH = 150
"""With fewer landmarks than this, features of unknown depth help."""
_DEPTH_SPREAD = 0.5
"""Of such a feature, as a share of the depth it is thought to have."""
_WIDEST = 10.0
"""Of the search across the epipolar line, in pixels, for a pose that is not known well."""
_NEAREST_DEPTH = 0.3
"""Least depth of such a feature as a share of the expected one."""


@dataclass(frozen=True, eq=False)
class Location:
    """A frame in the map.

    Attributes:
        pose: with its inliers among the matched landmarks.
        rows: (M,) of the landmarks that were matched.
        features: (M,) rows of the frame's features that they were matched with.
        unmapped: features of unknown depth that agree with the pose.
    """

    pose: AbsolutePose
    rows: np.ndarray
    features: np.ndarray
    unmapped: int

    @property
    def inliers(self) -> int:
        """Landmarks that agree with the pose."""
        return int(self.pose.inliers.sum())

    @property
    def support(self) -> float:
        """Of the pose: a feature of unknown depth says half of what a landmark does."""
        return self.inliers + self.unmapped / 2


class Localizer:
    """Finds frames in a map.

    Args:
        landmarks: the map.
        focal_length: in pixels, that the settings' pixels are to be understood with.
        settings: of the odometry.
    """

    def __init__(
        self, landmarks: LandmarkMap, focal_length: float, settings: OdometrySettings
    ) -> None:
        self._map = landmarks
        self._focal_length = focal_length
        self._settings = settings

    def locate(
        self, view: View, predicted: np.ndarray, uncertainty: float, median_depth: float
    ) -> Location | None:
        """Near a predicted pose (4, 4), world to camera, or wherever the nearest descriptors put
        it if there is little of the map. None if the frame is not in the map.

        ``uncertainty`` is how far predictions are off, in pixels: the first search is as wide.
        """
        widest = self._settings.search_radius
        newest = self._map.seen_by(self._map.keyframes[-_NEWEST_KEYFRAMES:])
        wanted = _FOUND * self._expected(view, newest, predicted)
        radius = max(uncertainty, _NARROWEST * widest)
        found = None
        for wider in (radius, widest) if radius < widest else (widest,):
            found = _better(found, self._near(view, newest, predicted, wider))
            if found is not None and found.inliers.sum() >= wanted:
                break
        else:
            found = _better(found, self._by_descriptors(view, newest))
        rows = self._map.seen_by(self._map.keyframes[-_LOCAL_KEYFRAMES:])
        located = None
        if found is not None:
            located = self._narrowed(view, rows, found, median_depth)
        if located is None or located.support < _SAFE * len(view):
            # The camera may have turned to where few landmarks are.
            turned = self._turned(view, predicted)
            other = self._narrowed(view, rows, turned, median_depth)
            if located is None or (other is not None and other.support > located.support):
                located = other
        return located

    def relocate(self, view: View, median_depth: float, attempt: int) -> Location | None:
        """Against the keyframes, without any idea of the pose; each ``attempt`` other ones."""
        keyframes = self._map.keyframes
        step = max(1, len(keyframes) // _RELOCALIZATION_KEYFRAMES)
        best, place = None, 0
        for index in range(len(keyframes) - 1 - attempt % step, -1, -step):
            found = self._by_descriptors(view, self._map.seen_by([keyframes[index]]))
            if found is not None and (best is None or found.inliers.sum() > best.inliers.sum()):
                best, place = found, index
        if best is None:
            return None
        half = _LOCAL_KEYFRAMES // 2
        rows = self._map.seen_by(keyframes[max(0, place - half) : place + half + 1])
        return self._narrowed(view, rows, best, median_depth)

    def _expected(self, view: View, rows: np.ndarray, pose: np.ndarray) -> int:
        """Landmarks out of ``rows`` that the pose puts into the part of the image with features."""
        if len(view) == 0:
            return 0
        seen = transformed(pose, self._map.positions[rows])
        seen = seen[seen[:, 2] > 1e-9]
        rays = seen[:, :2] / seen[:, 2:]
        inside = (rays >= view.rays.min(axis=0)) & (rays <= view.rays.max(axis=0))
        return int(inside.all(axis=1).sum())

    def _near(
        self, view: View, rows: np.ndarray, predicted: np.ndarray, radius: float
    ) -> AbsolutePose | None:
        """From the landmarks found within a radius in pixels of where they should be."""
        rows, pairs = self._matched_near(view, rows, predicted, radius, 0.85)
        return self._pose_from(view, rows, pairs)

    def _by_descriptors(self, view: View, rows: np.ndarray) -> AbsolutePose | None:
        """Wherever the landmarks are in the image."""
        pairs = match_anywhere(view.features.descriptors, self._map.descriptors[rows], 0.85)
        return self._pose_from(view, rows[pairs[:, 1]], pairs[:, 0])

    def _pose_from(self, view: View, rows: np.ndarray, features: np.ndarray) -> AbsolutePose | None:
        """The robust pose, if enough landmarks agree with it."""
        if len(rows) < self._settings.min_inliers:
            return None
        found = estimate_pose(
            view.rays[features],
            view.sigmas[features],
            self._map.positions[rows],
            self._map.spreads[rows],
            self._focal_length,
            _RANSAC_PIXELS,
            self._settings.seed,
        )
        if found is None or found.inliers.sum() < self._settings.min_inliers:
            return None
        return found

    def _turned(self, view: View, predicted: np.ndarray) -> AbsolutePose:
        """The predicted pose with the rotation that the matches with the newest keyframe tell."""
        keyframe = self._map.keyframes[-1]
        pairs = match_anywhere(
            keyframe.view.features.descriptors, view.features.descriptors, _TURN_RATIO
        )
        nothing = np.zeros(0, bool)
        known = AbsolutePose(predicted, nothing, np.zeros((6, 6)))
        if len(pairs) < self._settings.min_inliers:
            return known
        motion, agreeing = relative_pose(
            keyframe.view.rays[pairs[:, 0]],
            view.rays[pairs[:, 1]],
            self._focal_length,
            _EPIPOLAR_PIXELS,
            self._settings.seed,
        )
        if motion is None or agreeing < self._settings.min_inliers:
            return known
        pose = predicted.copy()
        pose[:3, :3] = motion[:3, :3] @ keyframe.pose[:3, :3]
        # The camera stays where it was predicted.
        center = -predicted[:3, :3].T @ predicted[:3, 3]
        pose[:3, 3] = -pose[:3, :3] @ center
        return AbsolutePose(pose, nothing, np.zeros((6, 6)))

    def _narrowed(
        self, view: View, rows: np.ndarray, start: AbsolutePose, median_depth: float
    ) -> Location | None:
        """Once the pose is roughly known, more landmarks are found close to where it puts them."""
        radius = _NEAR_SHARE * self._settings.search_radius
        rows, features = self._matched_near(view, rows, start.pose, radius, 0.95)
        positions, spreads = self._map.positions[rows], self._map.spreads[rows]
        seen_by = features
        keyframe = self._map.keyframes[-1]
        if len(rows) < _ENOUGH:
            unmapped = self._matched_unmapped(view, features, keyframe, start, median_depth)
            rays = keyframe.view.rays[unmapped[:, 0]]
            sight = np.hstack([rays, np.ones((len(rays), 1))]) @ keyframe.pose[:3, :3]
            positions = np.concatenate([positions, keyframe.center + median_depth * sight])
            spreads = np.concatenate([spreads, _DEPTH_SPREAD * median_depth * sight])
            seen_by = np.concatenate([features, unmapped[:, 1]])
        if len(seen_by) < self._settings.min_inliers:
            return None
        found = refine_pose(
            start.pose, view.rays[seen_by], view.sigmas[seen_by], positions, spreads
        )
        mapped = found.inliers[: len(rows)]
        location = Location(
            AbsolutePose(found.pose, mapped, found.information),
            rows,
            features,
            int(found.inliers[len(rows) :].sum()),
        )
        if location.support < self._settings.min_inliers:
            return None
        return location if found.inliers.mean() >= _AGREEING else None

    def _matched_near(
        self, view: View, rows: np.ndarray, pose: np.ndarray, radius: float, ratio: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (M,) out of ``rows``, and the features (M,) found within a radius in pixels of
        where the pose puts them.
        """
        seen = transformed(pose, self._map.positions[rows])
        in_front = seen[:, 2] > 1e-9
        rows, seen = rows[in_front], seen[in_front]
        pairs = match_near(
            seen[:, :2] / seen[:, 2:],
            self._map.descriptors[rows],
            view.rays,
            view.features.descriptors,
            radius / self._focal_length,
            ratio,
        )
        return rows[pairs[:, 0]], pairs[:, 1]

    def _matched_unmapped(
        self,
        view: View,
        taken: np.ndarray,
        keyframe: Keyframe,
        start: AbsolutePose,
        median_depth: float,
    ) -> np.ndarray:
        """Pairs (M, 2) of features of the keyframe that have no landmark, and of the frame."""
        free = np.flatnonzero(keyframe.landmark_of < 0)
        is_open = np.ones(len(view), bool)
        is_open[taken] = False
        others = np.flatnonzero(is_open)
        if len(free) == 0 or len(others) == 0:
            return np.zeros((0, 2), np.int64)
        begins, ends = epipolar_segments(
            keyframe.view.rays[free],
            start.pose @ inverse(keyframe.pose),
            _NEAREST_DEPTH * median_depth,
        )
        turned = start.information[3:, 3:]
        uncertain = (
            np.sqrt(1 / max(np.linalg.eigvalsh(turned)[0], 1e-12)) if turned.any() else np.inf
        )
        widths = np.minimum(
            2.5 * np.hypot(view.sigmas[others], uncertain), _WIDEST / self._focal_length
        )
        pairs = match_along_segments(
            begins,
            ends,
            keyframe.view.features.descriptors[free],
            view.rays[others],
            view.features.descriptors[others],
            widths,
            0.8,
        )
        return np.stack([free[pairs[:, 0]], others[pairs[:, 1]]], axis=1)


def _better(a: AbsolutePose | None, b: AbsolutePose | None) -> AbsolutePose | None:
    """The one with more inliers; ``a`` where they have as many."""
    if a is None or b is None:
        return b if a is None else a
    return b if b.inliers.sum() > a.inliers.sum() else a
