# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Localization of a frame in the map: the landmarks that it observes, and its pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..matching.guided import match_along_segments, match_anywhere, match_near
from .absolute_pose import AbsolutePose, estimate_pose, refine_pose
from .epipolar import epipolar_segments, estimate_motion
from .landmark_map import Keyframe, LandmarkMap
from .rigid import camera_center, inverse, transform_points
from .settings import OdometrySettings
from .view import View

_LOCAL_KEYFRAMES = 6
"""Newest keyframes whose landmarks are matched near the estimated pose."""
_NEWEST_KEYFRAMES = 2
"""Newest keyframes whose landmarks are matched first, in the wider radius."""
_MIN_RADIUS_RATIO = 0.3
"""Least radius of the first search, as a share of ``search_radius``."""
_MIN_FOUND_RATIO = 0.3
"""Inliers as a share of the expected landmarks below which the search widens."""
_REFINE_RADIUS_RATIO = 0.2
"""Radius of the search around the estimated pose, as a share of ``search_radius``."""
_RANSAC_PIXELS = 4.0
"""Largest reprojection error of an inlier of RANSAC [px]."""
_EPIPOLAR_PIXELS = 1.5
"""Largest epipolar error of an inlier of RANSAC [px]."""
_RELOCALIZATION_KEYFRAMES = 8
"""Keyframes that a lost frame is compared with, spread over the map."""
_MIN_INLIER_RATIO = 0.3
"""Least share of inliers of the refined pose; matches within a few pixels reach less by chance."""
_MIN_MEASURED_INLIER_RATIO = 0.2
"""The same with measured depth, which makes every feature a landmark at once."""
_MIN_VISIBLE_RATIO = 0.15
"""Least support as a share of the landmarks expected at the pose."""
_MIN_MEASURED_ROUGH = 8
"""Least inliers of a rough pose with measured depth; the landmarks found near it decide."""
_FOUND_AGAIN = 0.33
"""Expected share of landmarks found again among those that one keyframe observes."""
_MIN_SUPPORT_RATIO = 0.06
"""Support as a share of the features below which the rotation from two views is tried as well."""
_ROTATION_RATIO = 0.9
"""Largest ratio of descriptor distances of the matches that this rotation is estimated from."""
_MAX_FOR_UNMAPPED = 150
"""Matched landmarks below which features of unknown depth are matched as well."""
_UNMAPPED_DEPTH_SIGMA = 0.5
"""Standard deviation of the depth of such a feature, as a share of the median depth."""
_MAX_EPIPOLAR_WIDTH = 10.0
"""Largest distance of a match of such a feature from its epipolar line [px]."""
_MIN_DEPTH_RATIO = 0.3
"""Least depth of such a feature, as a share of the median depth."""


@dataclass(frozen=True, eq=False)
class Location:
    """The location of a frame in the map.

    Attributes:
        pose: of the frame, with its inliers among the matched landmarks.
        rows: (M,) of the matched landmarks.
        features: (M,) rows of the frame's features that the landmarks were matched with.
        unmapped: number of features of unknown depth that agree with the pose.
    """

    pose: AbsolutePose
    rows: np.ndarray
    features: np.ndarray
    unmapped: int

    @property
    def inliers(self) -> int:
        """Number of landmarks that agree with the pose."""
        return int(self.pose.inliers.sum())

    @property
    def support(self) -> float:
        """Support of the pose: a feature of unknown depth counts as half a landmark."""
        return self.inliers + self.unmapped / 2


class Localizer:
    """Locates frames in a map.

    Args:
        landmarks: the map.
        focal_length: converts the settings' pixels to the unit of the rays [px].
        settings: of the odometry.
    """

    def __init__(
        self, landmarks: LandmarkMap, focal_length: float, settings: OdometrySettings
    ) -> None:
        self._map = landmarks
        self._focal_length = focal_length
        self._settings = settings
        self._min_rough, self._min_inlier_ratio = settings.min_inliers, _MIN_INLIER_RATIO
        if landmarks.keyframes[-1].view.inverse_depths is not None:
            self._min_rough = min(_MIN_MEASURED_ROUGH, settings.min_inliers)
            self._min_inlier_ratio = _MIN_MEASURED_INLIER_RATIO

    def locate(
        self, view: View, predicted: np.ndarray, uncertainty: float, median_depth: float
    ) -> Location | None:
        """Locate a frame near a predicted pose, or by descriptors where that finds few landmarks.

        Args:
            view: the frame.
            predicted: (4, 4), world to camera.
            uncertainty: error of the prediction, the radius of the first search [px].
            median_depth: of the landmarks in view.

        Returns:
            The location, or None if the frame does not fit the map.
        """
        widest = self._settings.search_radius
        newest = self._map.seen_by(self._map.keyframes[-_NEWEST_KEYFRAMES:])
        enough = _MIN_FOUND_RATIO * self._expect_found(view, newest, predicted)
        radius = max(uncertainty, _MIN_RADIUS_RATIO * widest)
        found = None
        for wider in (radius, widest) if radius < widest else (widest,):
            found = _with_more_inliers(found, self._locate_near(view, newest, predicted, wider))
            if found is not None and found.inliers.sum() >= enough:
                break
        else:
            found = _with_more_inliers(found, self._locate_by_descriptors(view, newest))
        rows = self._map.seen_by(self._map.keyframes[-_LOCAL_KEYFRAMES:])
        located = None
        if found is not None:
            located = self._refine(view, rows, found, median_depth)
        if located is None or located.support < _MIN_SUPPORT_RATIO * len(view):
            # The camera may have turned to where few landmarks are.
            rotated = self._pose_from_rotation(view, predicted)
            other = self._refine(view, rows, rotated, median_depth)
            if located is None or (other is not None and other.support > located.support):
                located = other
        return self._unless_by_chance(view, newest, located)

    def relocalize(self, view: View, median_depth: float, attempt: int) -> Location | None:
        """Locate a frame by descriptors alone, against keyframes of the whole map.

        Args:
            view: the frame.
            median_depth: of the landmarks last in view.
            attempt: number of the attempt; each compares other keyframes.

        Returns:
            The location, or None if the frame does not fit the map.
        """
        keyframes = self._map.keyframes
        step = max(1, len(keyframes) // _RELOCALIZATION_KEYFRAMES)
        best, place = None, 0
        for index in range(len(keyframes) - 1 - attempt % step, -1, -step):
            found = self._locate_by_descriptors(view, self._map.seen_by([keyframes[index]]))
            if found is not None and (best is None or found.inliers.sum() > best.inliers.sum()):
                best, place = found, index
        if best is None:
            return None
        half = _LOCAL_KEYFRAMES // 2
        rows = self._map.seen_by(keyframes[max(0, place - half) : place + half + 1])
        located = self._refine(view, rows, best, median_depth)
        return self._unless_by_chance(view, self._map.seen_by([keyframes[place]]), located)

    def _unless_by_chance(
        self, view: View, rows: np.ndarray, located: Location | None
    ) -> Location | None:
        """Return a location, or None if most of the landmarks that it makes visible are missing."""
        if located is None:
            return None
        expected = self._expect_found(view, rows, located.pose.pose)
        return located if located.support >= _MIN_VISIBLE_RATIO * expected else None

    def _expect_found(self, view: View, rows: np.ndarray, pose: np.ndarray) -> float:
        """Return how many landmarks of ``rows`` a view with this pose could find again.

        These are the landmarks that the pose projects among the view's features. With measured
        depth every feature is a landmark at once, so those that a second keyframe confirms count
        if there are enough, and otherwise a share of all.
        """
        if len(view) == 0:
            return 0.0
        confirmed = rows[self._map.observations()[rows] >= 2]
        share = _FOUND_AGAIN
        if len(confirmed) >= self._settings.min_inliers:
            rows, share = confirmed, 1.0
        seen = transform_points(pose, self._map.positions[rows])
        seen = seen[seen[:, 2] > 1e-9]
        rays = seen[:, :2] / seen[:, 2:]
        inside = (rays >= view.rays.min(axis=0)) & (rays <= view.rays.max(axis=0))
        return share * float(inside.all(axis=1).sum())

    def _locate_near(
        self, view: View, rows: np.ndarray, predicted: np.ndarray, radius: float
    ) -> AbsolutePose | None:
        """Estimate the pose from the landmarks found within a radius [px] of their prediction."""
        rows, pairs = self._match_near(view, rows, predicted, radius, 0.85)
        return self._pose_from(view, rows, pairs)

    def _locate_by_descriptors(self, view: View, rows: np.ndarray) -> AbsolutePose | None:
        """Estimate the pose from landmarks matched anywhere in the image."""
        pairs = match_anywhere(view.features.descriptors, self._map.descriptors[rows], 0.85)
        return self._pose_from(view, rows[pairs[:, 1]], pairs[:, 0])

    def _pose_from(self, view: View, rows: np.ndarray, features: np.ndarray) -> AbsolutePose | None:
        """Estimate the robust pose; None if too few landmarks agree with it."""
        if len(rows) < self._min_rough:
            return None
        found = estimate_pose(
            view.rays[features],
            view.sigmas[features],
            self._map.positions[rows],
            self._map.spreads[rows],
            self._focal_length,
            _RANSAC_PIXELS,
            self._settings.seed,
            *view.depths_of(features),
        )
        if found is None or found.inliers.sum() < self._min_rough:
            return None
        return found

    def _pose_from_rotation(self, view: View, predicted: np.ndarray) -> AbsolutePose:
        """Return the predicted pose with the rotation estimated from the newest keyframe."""
        keyframe = self._map.keyframes[-1]
        pairs = match_anywhere(
            keyframe.view.features.descriptors, view.features.descriptors, _ROTATION_RATIO
        )
        none, unknown = np.zeros(0, bool), np.zeros((6, 6))
        if len(pairs) < self._settings.min_inliers:
            return AbsolutePose(predicted, none, unknown)
        motion, inliers = estimate_motion(
            keyframe.view.rays[pairs[:, 0]],
            view.rays[pairs[:, 1]],
            self._focal_length,
            _EPIPOLAR_PIXELS,
            self._settings.seed,
        )
        if motion is None or inliers < self._settings.min_inliers:
            return AbsolutePose(predicted, none, unknown)
        pose = predicted.copy()
        pose[:3, :3] = motion[:3, :3] @ keyframe.pose[:3, :3]
        # The position stays as predicted.
        pose[:3, 3] = -pose[:3, :3] @ camera_center(predicted)
        return AbsolutePose(pose, none, unknown)

    def _refine(
        self, view: View, rows: np.ndarray, start: AbsolutePose, median_depth: float
    ) -> Location | None:
        """Refine a rough pose with the landmarks found close to where it projects them."""
        radius = _REFINE_RADIUS_RATIO * self._settings.search_radius
        rows, features = self._match_near(view, rows, start.pose, radius, 0.95)
        positions, spreads = self._map.positions[rows], self._map.spreads[rows]
        observing = features
        keyframe = self._map.keyframes[-1]
        if len(rows) < _MAX_FOR_UNMAPPED:
            unmapped = self._match_unmapped(view, features, keyframe, start, median_depth)
            rays = keyframe.view.rays[unmapped[:, 0]]
            sight = np.hstack([rays, np.ones((len(rays), 1))]) @ keyframe.pose[:3, :3]
            positions = np.concatenate([positions, keyframe.center + median_depth * sight])
            spreads = np.concatenate([spreads, _UNMAPPED_DEPTH_SIGMA * median_depth * sight])
            observing = np.concatenate([features, unmapped[:, 1]])
        if len(observing) < self._settings.min_inliers:
            return None
        found = refine_pose(
            start.pose,
            view.rays[observing],
            view.sigmas[observing],
            positions,
            spreads,
            *view.depths_of(observing),
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
        return location if found.inliers.mean() >= self._min_inlier_ratio else None

    def _match_near(
        self, view: View, rows: np.ndarray, pose: np.ndarray, radius: float, ratio: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Match landmarks with features within a radius [px] of their projections.

        Returns:
            Landmarks (M,) of ``rows``, and the features (M,) that they were matched with.
        """
        seen = transform_points(pose, self._map.positions[rows])
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

    def _match_unmapped(
        self,
        view: View,
        taken: np.ndarray,
        keyframe: Keyframe,
        start: AbsolutePose,
        median_depth: float,
    ) -> np.ndarray:
        """Match features of the keyframe without a landmark with the frame's: pairs (M, 2)."""
        free = np.flatnonzero(keyframe.landmark_of < 0)
        is_open = np.ones(len(view), bool)
        is_open[taken] = False
        others = np.flatnonzero(is_open)
        if len(free) == 0 or len(others) == 0:
            return np.zeros((0, 2), np.int64)
        begins, ends = epipolar_segments(
            keyframe.view.rays[free],
            start.pose @ inverse(keyframe.pose),
            _MIN_DEPTH_RATIO * median_depth,
        )
        information = start.information[3:, 3:]
        rotation_sigma = np.inf
        if information.any():
            rotation_sigma = np.sqrt(1 / max(np.linalg.eigvalsh(information)[0], 1e-12))
        widths = np.minimum(
            2.5 * np.hypot(view.sigmas[others], rotation_sigma),
            _MAX_EPIPOLAR_WIDTH / self._focal_length,
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


def _with_more_inliers(a: AbsolutePose | None, b: AbsolutePose | None) -> AbsolutePose | None:
    """Return the pose with more inliers, ``a`` for equal numbers."""
    if a is None or b is None:
        return b if a is None else a
    return b if b.inliers.sum() > a.inliers.sum() else a
