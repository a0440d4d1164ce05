# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Visual odometry from the features of a calibrated camera, with depth where it is measured."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np

from ..camera import Camera
from ..features import Features, check_comparable, check_features
from .absolute_pose import refine_pose, world_covariance
from .ground_plane import camera_height
from .initialization import TwoViewEstimate, TwoViewStructure, estimate_two_view
from .landmark_map import Keyframe, LandmarkMap
from .localization import Localizer, Location
from .mapping import adjust_window, map_keyframe
from .measured_depth import (
    DepthComparison,
    DepthMonitor,
    compare_depths,
    makes_landmarks,
    measured_map,
)
from .rigid import (
    camera_center,
    cross_matrix,
    inverse,
    make_transform,
    rescale_pose,
    rotation_angle,
    scale_motion,
    transform_points,
)
from .settings import OdometrySettings
from .trajectory import Trajectory
from .types import Estimate, Landmarks, State
from .view import View, make_view

_MIN_TRACKED_RATIO = 0.6
"""Inliers as a share of the last keyframe's below which a frame becomes a keyframe, even without a
baseline."""
_MIN_SECURE_RATIO = 0.4
"""Inliers as a share of the last keyframe's below which a frame waits for a keyframe that is being
mapped, and its landmarks."""
_KEYFRAME_ANGLE = 15.0
"""Angle from the last keyframe's optical axis above which a frame becomes a keyframe [degrees]."""
_SEARCH_FACTOR = 3.0
"""Search radius in multiples of the last prediction error."""
_IMMEDIATE_START_RATIO = 0.7
"""Share of inliers above which a lost frame starts a new map before ``restart_after`` frames."""
_MIN_REFERENCE_SHARE = 0.2
"""Share of features matched with the first view below which another one takes its place."""
_MAX_WAITING = 100
"""Newest frames before the first map that get a pose once there is one."""
_MAX_LOCATED = 10
"""Most of these frames that are located in the map; the others' poses are interpolated."""
_HEIGHT_WINDOW = 20
"""Newest heights above the ground, whose median sets the scale."""
_MIN_HEIGHTS = 3
"""Least number of heights that set the scale."""
_MAX_RELATIVE_SPREAD = 0.1
"""Largest standard deviation of a landmark of the ground, as a share of its depth."""
_RESTART_SCALE_SIGMA = 0.5
"""Relative standard deviation of the scale of a map against the one before."""
_MIN_SCALE_LANDMARKS = 10
"""Landmarks that agree with a pose below which another map begins, as the scale is not known."""
_MAX_SCALE_CORRECTION = 2.0
"""Largest ratio, and its inverse, of measured depths to those of a map in meters that is taken for
the drift of its scale; with another one the depths are taken to be wrong."""
_CORRECT_SCALE_AFTER = 5
"""Successive frames of such depths after which the map is scaled to them."""
_ROTATION_ONLY_SIGMA = np.radians(0.1)
"""Standard deviation of a rotation that is estimated without a map [rad]."""


@dataclass(eq=False)
class _Reference:
    """The first of the two views that a new map is made from.

    Attributes:
        view: its features.
        pose: (4, 4), world to camera.
        is_known: whether the pose continues the trajectory without a gap.
        stamp: of the frame [s].
    """

    view: View
    pose: np.ndarray
    is_known: bool
    stamp: float


@dataclass(frozen=True, eq=False)
class _Mapping:
    """A keyframe that is being mapped.

    Attributes:
        keyframe: the newest of the map.
        result: the changed copy of the map, and the time that it took [s].
    """

    keyframe: Keyframe
    result: Future[tuple[LandmarkMap, float]]


class VisualOdometry:
    """Visual odometry on keyframes and a local map.

    The world is the first frame's optical frame (REP 103: x right, y down, z forward). One camera
    cannot measure scale: :class:`OdometrySettings` says how to set it. With features of measured
    depth (RGB-D, stereo) lengths are in meters.

    Args:
        camera_matrix: (3, 3) intrinsics [px].
        distortion: OpenCV's coefficients, or None for none.
        distortion_model: of sensor_msgs/CameraInfo: "plumb_bob", "rational_polynomial" or
            "equidistant".
        settings: None for the defaults.
        executor: maps keyframes, one at a time, while the next frames are tracked on the map as it
            was; a thread is enough. The poses then depend on how long that takes. With None each
            keyframe is mapped before :meth:`track` returns.

    Raises:
        ValueError: the intrinsics are not valid.
    """

    def __init__(
        self,
        camera_matrix: np.ndarray,
        distortion: np.ndarray | None = None,
        distortion_model: str = "plumb_bob",
        settings: OdometrySettings | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.settings = settings or OdometrySettings()
        self._executor = executor
        self._camera = Camera.of_intrinsics(camera_matrix, distortion, distortion_model)
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next frame is the world's origin."""
        self._map: LandmarkMap | None = None
        self._mapping: _Mapping | None = None
        self._mapping_seconds = 0.0  # of keyframes mapped since the last estimate
        self._map_number = 0
        self._reference: _Reference | None = None
        self._last_known: _Reference | None = None  # newest view of known pose without a map
        self._waiting: deque[tuple[float, View]] = deque(maxlen=_MAX_WAITING)  # for the first map
        self._pose = np.eye(4)  # world to camera, the last known one
        self._motion: np.ndarray | None = None  # between the last two known poses
        self._interval = 0.0  # time between them [s]
        self._uncertainty = np.inf  # of a predicted pose [px]
        self._stamp: float | None = None  # of the last frame
        self._pose_stamp: float | None = None  # of the last frame with a pose
        self._covariance: np.ndarray = np.zeros((6, 6))  # of the last pose, without the next two
        self._scale_sigma = 0.0  # relative, of the map against the one before
        self._scale_origin = np.zeros(3)  # position from which on this scale holds
        self._has_scale = True  # whether enough landmarks supported the last pose
        self._frame_covariance: np.ndarray = np.zeros(
            (6, 6)
        )  # of the last pose, relative to the map
        self._lost_frames = 0
        self._median_depth = self.settings.initial_scale
        self._trust_depths(False)
        self._keyframe_count = 0
        self._heights: deque[float] = deque(maxlen=_HEIGHT_WINDOW)  # above the ground [map units]
        self._reference_inliers = 0
        self._trajectory = Trajectory(self.settings.trajectory_length)
        self._descriptor_kind: Features | None = None  # no features, but their kind

    def _trust_depths(self, is_metric: bool) -> None:
        """Begin a map, or its scale, that is that of measured depths or not."""
        self._is_metric = is_metric
        self._contradictions = 0  # newest frames whose depths contradicted the map
        self._depth_monitor = DepthMonitor()

    def set_camera(
        self,
        camera_matrix: np.ndarray,
        distortion: np.ndarray | None = None,
        distortion_model: str = "plumb_bob",
    ) -> None:
        """Change the intrinsics for the next frames (zoom, another calibration).

        The map is kept, since it is made of rays and not of pixels.

        Raises:
            ValueError: the intrinsics are not valid; the former ones are kept.
        """
        self._camera = Camera.of_intrinsics(camera_matrix, distortion, distortion_model)

    def track(self, features: Features, stamp: float) -> Estimate:
        """Estimate the pose of the next frame.

        Args:
            features: of the frame, all frames of one detector and model.
            stamp: of the frame [s].

        Raises:
            ValueError: the stamp is not after the last one, or the descriptors are not of the kind
                and model of the frames before. The odometry is unchanged then.
            Exception: mapping a keyframe failed in the executor. The map is as it was before; this
                frame is left out.
        """
        check_features("features", features)
        if not (isinstance(stamp, (int, float, np.number)) and np.isfinite(stamp)):
            raise ValueError(f"stamp must be a number of seconds, not {stamp!r}")
        if self._stamp is not None and not stamp > self._stamp:
            raise ValueError(
                f"stamp {stamp:.6f} is not after the last frame's, {self._stamp:.6f}: leave such "
                "frames out, or reset() for a new sequence"
            )
        if self._descriptor_kind is not None:
            try:
                check_comparable(self._descriptor_kind, features)
            except ValueError as error:
                raise ValueError(f"{error}, or reset() to go on with these") from None
        begin = time.perf_counter()
        if not self.is_mapping:
            self.finish_mapping()
        self._descriptor_kind, self._stamp = features.select(slice(0)), stamp
        view = make_view(features, self._camera, self.settings.pixel_sigma)
        if self._map is not None:
            given = view
            found, how = self._locate(self._map, self._trusted(given), stamp)
            if self._mapping is not None and not self._is_secure(found):
                self.finish_mapping()
                found, how = self._locate(self._map, self._trusted(given), stamp)
            view, found, how = self._check_depths(self._map, given, stamp, found, how)
            if found is not None:
                return self._update_from_pose(self._map, view, stamp, found, how, begin)
            self._lost_frames += 1
        return self._track_without_map(view, stamp, begin)

    def trajectory(self) -> list[tuple[float, np.ndarray]]:
        """Return stamps [s] and poses (4, 4), camera to world, of all frames whose pose is known.

        They are as refined with their keyframes since; the newest ``trajectory_length`` are kept.
        """
        return self._trajectory.poses()

    def landmarks(self) -> Landmarks:
        """Return the landmarks of the map."""
        if self._map is None:
            return Landmarks(np.zeros((0, 3)), np.zeros(0, np.int64))
        return Landmarks(self._map.positions.copy(), self._map.observations())

    @property
    def is_mapping(self) -> bool:
        """Whether the executor is mapping a keyframe."""
        mapping = self._mapping
        return mapping is not None and not mapping.result.done()

    def finish_mapping(self) -> None:
        """Wait until the executor has mapped the last keyframe, and take up the result.

        Raises:
            Exception: mapping failed. The map is as it was before.
        """
        if self._mapping is None or self._map is None:
            return
        keyframe, result = self._mapping.keyframe, self._mapping.result
        self._mapping = None
        changed, seconds = result.result()
        self._mapping_seconds += seconds
        tracked = keyframe.pose
        self._take_up(self._map, changed)
        # What was tracked meanwhile moves with the keyframe.
        correction = inverse(tracked) @ keyframe.pose
        self._change_poses(lambda pose: pose @ correction)
        self._correct_scale(self._map, keyframe)

    # Localization in the map

    def _is_secure(self, found: Location | None) -> bool:
        """Return whether a frame is located by enough landmarks not to wait for more."""
        return found is not None and found.inliers >= _MIN_SECURE_RATIO * self._reference_inliers

    def _trusted(self, view: View) -> View:
        """Return the frame, without its depths unless they are in the map's unit and fit it."""
        return view if self._is_metric and not self._contradictions else view.without_depths()

    def _check_depths(
        self, landmarks: LandmarkMap, view: View, stamp: float, found: Location | None, how: str
    ) -> tuple[View, Location | None, str]:
        """Compare the depths of a located frame with the map.

        Returns:
            The frame, without its depths if they contradict the map, its location, and how it was
            found.
        """
        if found is None or view.inverse_depths is None:
            return view, found, how
        trusted, plain = self._trusted(view), view.without_depths()
        comparison = compare_depths(landmarks, view, found, self._is_metric)
        if not self._is_metric:
            if not comparison.is_scale:
                return plain, found, how or comparison.lack_of_scale
            if self._mapping is not None:  # which would have another scale
                return plain, found, how
        elif not comparison.contradicts:
            if comparison.is_compared:
                self._contradictions = 0
            return trusted, found, how or self._depth_monitor.add(comparison)
        if self._mapping is None and self._is_scale_due(comparison):
            self._rescale(landmarks, comparison.ratio, camera_center(found.pose.pose))
            self._scale_sigma = 0.0
            self._trust_depths(True)
            how = f"map scaled by {comparison.ratio:.3g} to the measured depths"
            return view, self._locate(landmarks, view, stamp)[0], how
        self._contradictions += 1
        if trusted is view:
            found, how = self._locate(landmarks, plain, stamp)
        return (
            plain,
            found,
            how
            or (
                f"depths contradict parallax: {100 * comparison.disagreeing:.0f} % of "
                f"{comparison.count} differ, by a median factor of {comparison.ratio:.3g}; not used"
            ),
        )

    def _is_scale_due(self, comparison: DepthComparison) -> bool:
        """Return whether the map takes its scale from the measured depths."""
        if not self._is_metric:
            return True
        is_drift = 1 / _MAX_SCALE_CORRECTION < comparison.ratio < _MAX_SCALE_CORRECTION
        return comparison.is_scale and is_drift and self._contradictions >= _CORRECT_SCALE_AFTER

    def _locate(
        self, landmarks: LandmarkMap, view: View, stamp: float
    ) -> tuple[Location | None, str]:
        """Return the frame's location in the map, and the reason for its estimate."""
        localizer = Localizer(landmarks, self._camera.focal_length, self.settings)
        if self._lost_frames:
            return localizer.relocalize(view, self._median_depth, self._lost_frames), "relocalized"
        predicted = self._predict_pose(stamp)
        found = localizer.locate(view, predicted, self._uncertainty, self._median_depth)
        if found is not None:
            error = rotation_angle(found.pose.pose @ inverse(predicted))
            self._uncertainty = _SEARCH_FACTOR * error * self._camera.focal_length
        return found, ""

    def _predict_pose(self, stamp: float) -> np.ndarray:
        """Predict the pose, world to camera, at constant velocity."""
        if self._motion is None or self._pose_stamp is None or self._interval <= 0:
            return self._pose
        passed = stamp - self._pose_stamp
        if passed > self.settings.max_gap:
            return self._pose
        return scale_motion(self._motion, passed / self._interval) @ self._pose

    # Update of the state from a known pose

    def _update_from_pose(
        self,
        landmarks: LandmarkMap,
        view: View,
        stamp: float,
        found: Location,
        reason: str,
        begin: float,
    ) -> Estimate:
        pose, seen = found.pose.pose, found.pose.inliers
        was_lost = self._lost_frames > 0
        self._lost_frames = 0
        self._reference = self._last_known = None
        newest = landmarks.keyframes[-1]
        self._frame_covariance = world_covariance(found.pose)
        is_measured = self._is_metric and view.inverse_depths is not None
        has_scale = is_measured or found.inliers >= _MIN_SCALE_LANDMARKS
        if not has_scale:
            # Features of unknown depth carry the rotation on, but not the scale.
            reason = reason or "too few landmarks for the scale"
            if self._has_scale:
                self._lose_scale(landmarks)
        self._has_scale = has_scale
        drift = 0.0 if is_measured else self.settings.scale_drift
        covariance = self._propagate_covariance(newest, pose, drift)
        if not was_lost and self._pose_stamp is not None:
            self._motion = pose @ inverse(self._pose)
            self._interval = stamp - self._pose_stamp
        else:
            self._motion = None
        self._pose, self._pose_stamp, self._covariance = pose, stamp, covariance
        depths = transform_points(pose, landmarks.positions[found.rows[seen]])[:, 2]
        if len(depths) >= self.settings.min_inliers:
            self._median_depth = float(np.median(depths))
        if newest.view.inverse_depths is not None and not self._reference_inliers:
            self._reference_inliers = found.inliers
        tracked = time.perf_counter()
        is_keyframe = self._mapping is None and (
            was_lost or self._is_keyframe_due(newest, found.inliers, pose)
        )
        if is_keyframe:
            landmark_of = np.full(len(view), -1)
            landmark_of[found.features[seen]] = found.rows[seen]
            keyframe = self._new_keyframe(view, landmark_of)
            self._trajectory.freeze(landmarks.drop_oldest(self.settings.max_keyframes - 1))
            landmarks.keyframes.append(keyframe)
            self._trajectory.add(stamp, keyframe, keyframe.pose)
            if self._executor is None:
                self._take_up(landmarks, map_keyframe(landmarks, self.settings))
                self._correct_scale(landmarks, keyframe)
                self._pose = keyframe.pose
                self._mapping_seconds = time.perf_counter() - tracked
            else:
                result = self._executor.submit(_map_keyframe, landmarks, self.settings)
                self._mapping = _Mapping(keyframe, result)
        else:
            self._trajectory.add(stamp, newest, pose)
        return self._estimate(
            stamp, State.TRACKING, True, found.inliers, len(found.rows), is_keyframe, reason,
            tracked - begin,
        )  # fmt: skip

    def _is_keyframe_due(self, newest: Keyframe, inliers: int, pose: np.ndarray) -> bool:
        moved = float(np.linalg.norm(camera_center(pose) - newest.center)) / self._median_depth
        if inliers < _MIN_TRACKED_RATIO * self._reference_inliers:
            return True
        cosine = pose[2, :3] @ newest.pose[2, :3]
        if np.degrees(np.arccos(np.clip(cosine, -1, 1))) > _KEYFRAME_ANGLE:
            return True
        # At a standstill, without a baseline, a keyframe adds nothing.
        if moved < 0.1 * self.settings.keyframe_baseline:
            return False
        return (
            moved > self.settings.keyframe_baseline
            or inliers < self.settings.keyframe_share * self._reference_inliers
        )

    def _take_up(self, landmarks: LandmarkMap, changed: LandmarkMap) -> None:
        """Take up the map with its newest keyframe mapped."""
        landmarks.take_up(changed)
        self._reference_inliers = _count_reference(landmarks.keyframes[-1])

    def _change_poses(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Apply a change of the map to those poses in the world that are not its keyframes'."""
        self._pose = change(self._pose)
        for reference in (self._reference, self._last_known):
            if reference is not None:
                reference.pose = change(reference.pose)

    def _new_keyframe(self, view: View, landmark_of: np.ndarray) -> Keyframe:
        self._keyframe_count += 1
        return Keyframe(
            self._keyframe_count, view, self._pose, landmark_of, self._covariance.copy()
        )

    def _lose_scale(self, landmarks: LandmarkMap) -> None:
        """Begin another map with the newest keyframe; its landmarks stay, as they may be right."""
        newest = landmarks.keyframes[-1]
        newest.covariance = newest.covariance + self._scale_covariance(newest.center)
        self._begin_scale(newest.center)
        self._trust_depths(False)
        self._trajectory.freeze(landmarks.keyframes)

    def _begin_scale(self, origin: np.ndarray) -> None:
        """Count another map, whose scale holds from a position (3,) on."""
        self._map_number += 1
        self._heights.clear()
        self._scale_sigma, self._scale_origin = _RESTART_SCALE_SIGMA, origin

    def _scale_covariance(self, center: np.ndarray) -> np.ndarray:
        """Return the covariance (6, 6) of a position (3,) by the unknown scale of the map."""
        covariance = np.zeros((6, 6))
        error = self._scale_sigma * (center - self._scale_origin)
        covariance[:3, :3] = np.outer(error, error)
        return covariance

    def _propagate_covariance(
        self, keyframe: Keyframe, pose: np.ndarray, scale_drift: float
    ) -> np.ndarray:
        """Return the covariance of a pose, propagated from a keyframe's to the frame's position."""
        step = camera_center(pose) - keyframe.center
        carry = np.eye(6)
        carry[:3, 3:] = -cross_matrix(step)
        covariance = carry @ keyframe.covariance @ carry.T + self._frame_covariance
        covariance[:3, :3] += scale_drift**2 * np.outer(step, step)
        return covariance

    def _correct_scale(self, landmarks: LandmarkMap, keyframe: Keyframe) -> None:
        """Scale the map so that the ground lies ``camera_height`` below the camera.

        A map of measured depths is not scaled, but its height is compared.

        One keyframe may take a kerb or a car's roof for the ground, hence the median of many.
        """
        if self.settings.camera_height is None:
            return
        rows = landmarks.seen_by(landmarks.keyframes[-self.settings.window :])
        seen = transform_points(keyframe.pose, landmarks.positions[rows])
        spreads = np.linalg.norm(landmarks.spreads[rows], axis=1)
        height = camera_height(seen[spreads < _MAX_RELATIVE_SPREAD * seen[:, 2]])
        if height is None:
            return
        self._heights.append(height)
        if len(self._heights) >= _MIN_HEIGHTS:
            factor = self.settings.camera_height / float(np.median(self._heights))
            if self._is_metric:
                self._depth_monitor.height_ratio = 1 / factor
                return
            self._heights = deque((factor * each for each in self._heights), _HEIGHT_WINDOW)
            self._rescale(landmarks, factor, keyframe.center)
            self._scale_sigma = 0.0

    def _rescale(self, landmarks: LandmarkMap, factor: float, about: np.ndarray) -> None:
        """Scale map, trajectory and covariances by ``factor`` about a fixed point (3,)."""
        landmarks.rescale(factor, about)
        self._change_poses(lambda pose: rescale_pose(pose, factor, about))
        self._trajectory.rescale(factor)
        self._median_depth *= factor
        self._scale_origin = about + factor * (self._scale_origin - about)
        if self._motion is not None:
            self._motion[:3, 3] *= factor
        stretch = np.outer(*2 * [np.repeat([factor, 1.0], 3)])
        self._covariance = stretch * self._covariance
        self._frame_covariance = stretch * self._frame_covariance
        for keyframe in landmarks.keyframes:
            keyframe.covariance = stretch * keyframe.covariance

    # Without a map, or lost

    def _track_without_map(self, view: View, stamp: float, begin: float) -> Estimate:
        """Start a map as soon as two views determine it; until then estimate the rotation."""
        state = State.INITIALIZING if self._map is None else State.LOST
        if self._reference is None and self._map is not None:
            # A turn on the spot can be followed from the map's newest keyframe.
            newest = self._map.keyframes[-1]
            self._reference = _Reference(newest.view, newest.pose, True, stamp)
        can_start = makes_landmarks(view).sum() >= self.settings.min_landmarks
        if self._reference is None:
            if can_start:
                return self._start_measured_map(view, stamp, True, begin)
            return self._set_first_view(view, stamp, begin)
        reference, views, share = self._match_reference(self._reference, view)
        if share < _MIN_REFERENCE_SHARE and self._last_known is not None:
            # The reference is nearly out of view: go on from the last frame of known rotation.
            reference, views, share = self._match_reference(self._last_known, view)
        self._reference = reference
        waited = self._map is None or self._lost_frames > self.settings.restart_after
        structure = views.structure
        if structure is not None and not can_start:
            clear = reference.is_known and structure.inlier_ratio > _IMMEDIATE_START_RATIO
            if waited or clear:
                return self._start_map(reference, view, stamp, views, structure, begin)
        if self._map is None:
            self._waiting.append((stamp, view.without_depths()))
        rotation = views.rotation if reference.is_known else None
        known = rotation is not None
        if rotation is not None:
            self._pose = make_transform(rotation, np.zeros(3)) @ reference.pose
        if can_start and waited:
            return self._start_measured_map(view, stamp, known, begin)
        if known:
            self._trajectory.add_fixed(stamp, self._pose)
            self._motion, self._pose_stamp = None, stamp
            self._last_known = _Reference(view, self._pose, True, stamp)
            # The translation is held: a smaller one than shows as parallax is not observed.
            unseen = np.radians(self.settings.min_parallax) * self._median_depth
            self._frame_covariance = _isotropic_covariance(unseen, _ROTATION_ONLY_SIGMA)
        if len(view) and share < _MIN_REFERENCE_SHARE:
            self._reference = _Reference(view, self._pose, known, stamp)
            self._last_known = None
        reason = views.reason or "waiting for a second view"
        if state is State.LOST:
            reason = f"lost: {reason}" if not known else f"rotation only: {reason}"
        return self._estimate(
            stamp, state, known, 0, len(views.pairs), False, reason, time.perf_counter() - begin
        )  # fmt: skip

    def _match_reference(
        self, reference: _Reference, view: View
    ) -> tuple[_Reference, TwoViewEstimate, float]:
        """Return a reference, what it and the view give, and the share of features matched."""
        views = estimate_two_view(reference.view, view, self._camera.focal_length, self.settings)
        return reference, views, len(views.pairs) / max(1, min(len(view), len(reference.view)))

    def _set_first_view(self, view: View, stamp: float, begin: float) -> Estimate:
        """Take this view as the first of the two that a map is made from."""
        known = len(view) > 0
        if known:
            self._reference = _Reference(view, self._pose, True, stamp)
            self._frame_covariance = np.zeros((6, 6))
            self._trajectory.add_fixed(stamp, self._pose)
            self._pose_stamp = stamp
        reason = "first view" if known else "no features in the image"
        return self._estimate(
            stamp, State.INITIALIZING, known, 0, 0, False, reason, time.perf_counter() - begin
        )

    def _start_measured_map(
        self, view: View, stamp: float, is_known: bool, begin: float
    ) -> Estimate:
        """Make a map of the measured depths of one frame, in place of the former map if any."""
        tracked = time.perf_counter()
        is_restart = self._map is not None
        if self._map is not None:
            self._trajectory.freeze(self._map.keyframes)
            center = camera_center(self._pose)
            # How far the camera has moved meanwhile is unknown.
            rotation = _ROTATION_ONLY_SIGMA if is_known else 0.1
            moved = _isotropic_covariance(self._median_depth, rotation)
            self._covariance = self._covariance + self._scale_covariance(center) + moved
            self._begin_scale(center)
        self._scale_sigma, self._has_scale = 0.0, True
        keyframe = self._new_keyframe(view, np.full(len(view), -1))
        self._map = measured_map(keyframe)
        self._trust_depths(True)
        self._median_depth = float(
            np.median(transform_points(keyframe.pose, self._map.positions)[:, 2])
        )
        self._pose_stamp, self._motion = stamp, None
        self._lost_frames, self._reference, self._last_known = 0, None, None
        self._waiting.clear()
        self._reference_inliers = _count_reference(keyframe)
        self._frame_covariance = np.zeros((6, 6))
        self._trajectory.add(stamp, keyframe, keyframe.pose)
        self._mapping_seconds = time.perf_counter() - tracked
        return self._estimate(
            stamp, State.TRACKING, True, len(self._map), len(self._map), True,
            "new map" if is_restart else "map begun",
            tracked - begin,
        )  # fmt: skip

    def _start_map(
        self,
        reference: _Reference,
        view: View,
        stamp: float,
        views: TwoViewEstimate,
        structure: TwoViewStructure,
        begin: float,
    ) -> Estimate:
        """Make a map of two keyframes, in place of the former map if there is one."""
        tracked = time.perf_counter()
        is_restart = self._map is not None
        if self._map is not None:
            self._trajectory.freeze(self._map.keyframes)
            center = camera_center(reference.pose)
            self._covariance = self._covariance + self._scale_covariance(center)
            self._begin_scale(center)
            if not reference.is_known:  # the motion in between is unknown
                self._covariance = self._covariance + _isotropic_covariance(self._median_depth, 0.1)
        good = structure.triangulation.is_good
        points, pairs = structure.triangulation.points[good], views.pairs[good]
        # After a restart the scene is assumed as deep as it was before.
        depth = self._median_depth if is_restart else self.settings.initial_scale
        scale = depth / float(np.median(points[:, 2]))
        motion = structure.motion.copy()
        motion[:3, 3] *= scale
        landmarks = LandmarkMap(
            transform_points(inverse(reference.pose), scale * points),
            np.zeros_like(points),  # until the adjustment
            view.features.descriptors[pairs[:, 1]],
        )
        self._map = landmarks
        self._trust_depths(False)
        for seen, pose, column in (
            (reference.view, reference.pose, 0),
            (view, motion @ reference.pose, 1),
        ):
            self._pose = pose
            landmark_of = np.full(len(seen), -1)
            landmark_of[pairs[:, column]] = np.arange(len(pairs))
            # The map has another unit than measured depths.
            landmarks.keyframes.append(self._new_keyframe(seen.without_depths(), landmark_of))
        adjust_window(landmarks, self.settings)
        landmarks.cull(landmarks.observations() >= 2)
        first, second = landmarks.keyframes
        # The adjustment fixes the first camera only, so the scale is set again.
        depths = transform_points(first.pose, landmarks.positions)[:, 2]
        if len(depths):
            landmarks.rescale(depth / float(np.median(depths)), first.center)
        self._correct_scale(landmarks, second)
        second.covariance = self._covariance = self._second_covariance(landmarks, first, second)
        self._pose, self._pose_stamp, self._motion = second.pose, stamp, None
        self._median_depth = depth
        self._lost_frames, self._reference, self._last_known = 0, None, None
        self._has_scale = True
        inliers = int((second.landmark_of >= 0).sum())
        self._reference_inliers = inliers
        self._mapping_seconds = time.perf_counter() - tracked
        if not is_restart:
            self._locate_waiting(landmarks, reference.stamp, stamp)
        self._trajectory.add(stamp, second, second.pose)
        return self._estimate(
            stamp, State.TRACKING, True, inliers, len(pairs), True,
            "new map" if is_restart else "map begun",
            tracked - begin,
        )  # fmt: skip

    def _locate_waiting(self, landmarks: LandmarkMap, begin: float, end: float) -> None:
        """Add the poses of the frames between the first two keyframes to the trajectory."""
        first, second = landmarks.keyframes
        localizer = Localizer(landmarks, self._camera.focal_length, self.settings)
        waiting = [(stamp, view) for stamp, view in self._waiting if stamp > begin]
        known = [(begin, first.pose), (end, second.pose)]
        for stamp, view in waiting[:: len(waiting) // _MAX_LOCATED + 1]:
            predicted = _interpolate(known[-2:], stamp)
            found = localizer.locate(view, predicted, np.inf, self._median_depth)
            if found is not None:
                known.insert(-1, (stamp, found.pose.pose))
        self._trajectory.drop_after(begin)
        stamps = [stamp for stamp, _ in known]
        for stamp, _ in waiting:
            after = bisect_left(stamps, stamp)
            pose = _interpolate(known[after - 1 : after + 1], stamp)
            self._trajectory.add(stamp, first, pose)
        self._waiting.clear()

    def _second_covariance(
        self, landmarks: LandmarkMap, first: Keyframe, second: Keyframe
    ) -> np.ndarray:
        """Return the covariance of the second keyframe of a new map."""
        seen = np.flatnonzero(second.landmark_of >= 0)
        rows = second.landmark_of[seen]
        self._frame_covariance = world_covariance(
            refine_pose(
                second.pose, second.view.rays[seen], second.view.sigmas[seen],
                landmarks.positions[rows], landmarks.spreads[rows],
            )
        )  # fmt: skip
        return self._propagate_covariance(first, second.pose, self.settings.scale_drift)

    def _estimate(
        self,
        stamp: float,
        state: State,
        is_known: bool,
        inliers: int,
        matches: int,
        is_keyframe: bool,
        reason: str,
        tracking_seconds: float,
    ) -> Estimate:
        # Without a map the frame's uncertainty does not accumulate.
        is_held = state is not State.TRACKING
        covariance = self._covariance + is_held * self._frame_covariance
        covariance += self._scale_covariance(camera_center(self._pose))
        mapping_seconds, self._mapping_seconds = self._mapping_seconds, 0.0
        return Estimate(
            stamp,
            state,
            inverse(self._pose) if is_known else None,
            covariance if is_known else None,
            self._frame_covariance.copy() if is_known else None,
            inliers,
            matches,
            0 if self._map is None else len(self._map),
            is_keyframe,
            self._map_number,
            self._is_metric,
            reason,
            tracking_seconds,
            mapping_seconds,
        )


def _map_keyframe(landmarks: LandmarkMap, settings: OdometrySettings) -> tuple[LandmarkMap, float]:
    """Return the map with its newest keyframe mapped, and the time that this took [s]."""
    begin = time.perf_counter()
    return map_keyframe(landmarks, settings), time.perf_counter() - begin


def _interpolate(poses: list[tuple[float, np.ndarray]], stamp: float) -> np.ndarray:
    """Return the pose (4, 4) at a time between two poses, at constant velocity."""
    (begin, first), (end, second) = poses
    share = (stamp - begin) / (end - begin)
    return scale_motion(second @ inverse(first), share) @ first


def _count_reference(keyframe: Keyframe) -> int:
    """Return the landmarks that the next frames may find, 0 if the next frame tells.

    With measured depths every feature is a landmark at once, whether it will be found again or not.
    """
    if keyframe.view.inverse_depths is not None:
        return 0
    return int((keyframe.landmark_of >= 0).sum())


def _isotropic_covariance(position: float, rotation: float) -> np.ndarray:
    """Return the covariance (6, 6) of standard deviations that are equal in all directions."""
    return np.diag(np.repeat([position**2, rotation**2], 3))
