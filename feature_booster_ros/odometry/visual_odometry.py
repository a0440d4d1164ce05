# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a known camera is, from its features alone."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from ..camera import Camera
from ..features import Features, check_comparable, check_features
from .absolute_pose import refine_pose, world_covariance
from .ground_plane import camera_height
from .initialization import TwoViews, relate
from .landmark_map import Keyframe, LandmarkMap
from .localization import Localizer, Location
from .mapping import adjust_window, insert_keyframe
from .rigid import cross_matrix, fraction_of, inverse, rigid, rotation_angle, transformed
from .settings import OdometrySettings
from .trajectory import Trajectory
from .types import Estimate, Landmarks, State
from .view import View, view_of

_TURNED_AWAY = 0.6
"""With less than this share a keyframe is due even without a baseline to the last one."""
_TURN = 15.0
"""Degrees by which the camera turns from the last keyframe when another is due."""
_SURPRISES = 3.0
"""Of the last frame's error of prediction: so far is the next frame's motion looked for."""
_CLEAR = 0.7
"""A frame of which so many matches agree with one motion may begin a new map at once, if there is
no gap before it."""
_HEIGHTS = 20
"""Newest heights above the ground whose median sets the scale ..."""
_FEWEST_HEIGHTS = 3
"""... once there are so many."""
_WELL_PLACED = 0.1
"""Standard deviation of a landmark of the ground at most, as a share of its depth."""
_GUESSED_SCALE = 0.5
"""Relative standard deviation of the scale of a map that takes another's place."""
_HELD_TURN = np.radians(0.1)
"""Standard deviation of a rotation that is followed without a map."""


@dataclass(eq=False)
class _Reference:
    """The first of the two views that a map is to begin from.

    ``pose`` is world to camera. ``is_known``: there is no gap between the pose and what was tracked
    before.
    """

    view: View
    pose: np.ndarray
    is_known: bool


class VisualOdometry:
    """Monocular visual odometry on keyframes and a local map.

    The world is the first frame's optical frame (REP 103: x right, y down, z forward). Scale is
    free with one camera: see :class:`OdometrySettings` for how to set it.

    Args:
        camera_matrix: (3, 3) intrinsics in pixels.
        distortion: OpenCV's coefficients, or None for none.
        distortion_model: as sensor_msgs/CameraInfo names it: "plumb_bob", "rational_polynomial" or
            "equidistant".
        settings: what can be tuned.

    Raises:
        ValueError: the intrinsics are not valid.
    """

    def __init__(
        self,
        camera_matrix: np.ndarray,
        distortion: np.ndarray | None = None,
        distortion_model: str = "plumb_bob",
        settings: OdometrySettings | None = None,
    ) -> None:
        self.settings = settings or OdometrySettings()
        self._camera = Camera(0, 0, camera_matrix, distortion, distortion_model)
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next frame is the world's origin."""
        self._map: LandmarkMap | None = None
        self._map_number = 0
        self._reference: _Reference | None = None
        self._pose = np.eye(4)  # world to camera, the last one known
        self._motion: np.ndarray | None = None  # the last camera to the one after it
        self._interval = 0.0
        self._uncertainty = np.inf  # of a predicted pose, in pixels
        self._stamp: float | None = None  # of the last frame
        self._pose_stamp: float | None = None  # of the last frame with a pose
        self._covariance = np.zeros((6, 6))  # of the last pose
        self._frame_covariance = np.zeros((6, 6))  # of it in the map alone
        self._lost_frames = 0
        self._median_depth = self.settings.initial_scale
        self._keyframe_count = 0
        self._heights: deque[float] = deque(maxlen=_HEIGHTS)  # above the ground, in map units
        self._reference_inliers = 0
        self._trajectory = Trajectory(self.settings.trajectory_length)
        self._described: Features | None = None  # without rows; what the descriptors are

    def set_camera(
        self,
        camera_matrix: np.ndarray,
        distortion: np.ndarray | None = None,
        distortion_model: str = "plumb_bob",
    ) -> None:
        """Take the frames to come as from these intrinsics (zoom, another calibration). The map
        stays: it is made of rays, not of pixels.

        Raises:
            ValueError: the intrinsics are not valid; the old ones stay.
        """
        self._camera = Camera(0, 0, camera_matrix, distortion, distortion_model)

    def track(self, features: Features, stamp: float) -> Estimate:
        """The pose of the camera that saw these features.

        Args:
            features: of the frame, of one detector and model throughout.
            stamp: of the frame, in seconds.

        Raises:
            ValueError: the stamp is not after the last one's, or the descriptors are not of the
                kind and the model of the frames before. Nothing has changed then.
        """
        check_features("features", features)
        if not (isinstance(stamp, (int, float, np.number)) and np.isfinite(stamp)):
            raise ValueError(f"stamp must be a number of seconds, not {stamp!r}")
        if self._stamp is not None and not stamp > self._stamp:
            raise ValueError(
                f"stamp {stamp:.6f} is not after the last frame's, {self._stamp:.6f}: leave such "
                "frames out, or reset() for a new sequence"
            )
        if self._described is not None:
            try:
                check_comparable(self._described, features)
            except ValueError as error:
                raise ValueError(f"{error}, or reset() to go on with these") from None
        begin = time.perf_counter()
        self._described, self._stamp = features.select(slice(0)), stamp
        view = view_of(features, self._camera, self.settings.pixel_sigma)
        if self._map is not None:
            found, how = self._locate(view, stamp)
            if found is not None:
                return self._tracked(view, stamp, found, how, begin)
            self._lost_frames += 1
        return self._without_map(view, stamp, begin)

    def trajectory(self) -> list[tuple[float, np.ndarray]]:
        """Stamps and poses (4, 4), camera to world, of all frames whose pose is known, as refined
        with their keyframes since; at most ``trajectory_length``, the newest.
        """
        return self._trajectory.poses()

    def landmarks(self) -> Landmarks:
        """The landmarks of the map."""
        if self._map is None:
            return Landmarks(np.zeros((0, 3)), np.zeros(0, np.int64))
        return Landmarks(self._map.positions.copy(), self._map.observations())

    # Finding a frame in the map

    def _locate(self, view: View, stamp: float) -> tuple[Location | None, str]:
        """Where the frame is, and how that was found."""
        localizer = Localizer(self._map, self._camera.focal_length, self.settings)
        if self._lost_frames:
            return localizer.relocate(view, self._median_depth, self._lost_frames), "relocalized"
        predicted = self._predicted(stamp)
        found = localizer.locate(view, predicted, self._uncertainty, self._median_depth)
        if found is not None:
            surprise = rotation_angle(found.pose.pose @ inverse(predicted))
            self._uncertainty = _SURPRISES * surprise * self._camera.focal_length
        return found, ""

    def _predicted(self, stamp: float) -> np.ndarray:
        """World to camera, if the camera goes on as it did."""
        if self._motion is None or self._interval <= 0:
            return self._pose
        passed = stamp - self._pose_stamp
        if passed > self.settings.max_gap:
            return self._pose
        return fraction_of(self._motion, passed / self._interval) @ self._pose

    # What follows from a pose

    def _tracked(
        self,
        view: View,
        stamp: float,
        found: Location,
        reason: str,
        begin: float,
    ) -> Estimate:
        pose, seen = found.pose.pose, found.pose.inliers
        was_lost = self._lost_frames > 0
        self._lost_frames = 0
        self._reference = None
        newest = self._map.keyframes[-1]
        self._frame_covariance = world_covariance(found.pose)
        covariance = self._grown_covariance(newest, pose, self.settings.scale_drift)
        if not was_lost and self._pose_stamp is not None:
            self._motion = pose @ inverse(self._pose)
            self._interval = stamp - self._pose_stamp
        else:
            self._motion = None
        self._pose, self._pose_stamp, self._covariance = pose, stamp, covariance
        depths = transformed(pose, self._map.positions[found.rows[seen]])[:, 2]
        if len(depths) >= self.settings.min_inliers:
            self._median_depth = float(np.median(depths))
        tracked = time.perf_counter()
        is_keyframe = was_lost or self._is_keyframe_due(found.inliers, pose)
        if is_keyframe:
            landmark_of = np.full(len(view), -1)
            landmark_of[found.features[seen]] = found.rows[seen]
            keyframe = self._new_keyframe(view, landmark_of)
            # The poses that hang on the oldest are final.
            self._trajectory.settle(self._map.drop_oldest(self.settings.max_keyframes - 1))
            insert_keyframe(self._map, keyframe, self.settings)
            self._trajectory.add(stamp, keyframe, keyframe.pose)
            self._correct_scale(keyframe)
            self._pose = keyframe.pose
            self._reference_inliers = int((keyframe.landmark_of >= 0).sum())
        else:
            self._trajectory.add(stamp, newest, pose)
        return self._estimate(
            stamp, State.TRACKING, True, found.inliers, len(found.rows), is_keyframe, reason,
            tracked - begin, time.perf_counter() - tracked,
        )  # fmt: skip

    def _is_keyframe_due(self, inliers: int, pose: np.ndarray) -> bool:
        newest = self._map.keyframes[-1]
        center = -pose[:3, :3].T @ pose[:3, 3]
        moved = np.linalg.norm(center - newest.center) / self._median_depth
        if inliers < _TURNED_AWAY * self._reference_inliers:
            return True
        turned = pose[2, :3] @ newest.pose[2, :3]
        if np.degrees(np.arccos(np.clip(turned, -1, 1))) > _TURN:
            return True
        # Without any baseline a keyframe adds nothing: a standstill.
        if moved < 0.1 * self.settings.keyframe_baseline:
            return False
        return (
            moved > self.settings.keyframe_baseline
            or inliers < self.settings.keyframe_share * self._reference_inliers
        )

    def _new_keyframe(self, view: View, landmark_of: np.ndarray) -> Keyframe:
        self._keyframe_count += 1
        return Keyframe(
            self._keyframe_count, view, self._pose, landmark_of, self._covariance.copy()
        )

    def _grown_covariance(
        self, keyframe: Keyframe, pose: np.ndarray, scale_drift: float
    ) -> np.ndarray:
        """The keyframe's covariance carried on to this pose, plus what is uncertain in between."""
        center = -pose[:3, :3].T @ pose[:3, 3]
        step = center - keyframe.center
        carry = np.eye(6)
        carry[:3, 3:] = -cross_matrix(step)
        covariance = carry @ keyframe.covariance @ carry.T + self._frame_covariance
        covariance[:3, :3] += scale_drift**2 * np.outer(step, step)
        return covariance

    def _correct_scale(self, keyframe: Keyframe) -> None:
        """Bring the map to the scale in which the ground lies ``camera_height`` below. One keyframe
        may take a kerb or a car's roof for the ground, hence the median of many.
        """
        if self.settings.camera_height is None:
            return
        rows = self._map.seen_by(self._map.keyframes[-self.settings.window :])
        seen = transformed(keyframe.pose, self._map.positions[rows])
        well = np.linalg.norm(self._map.spreads[rows], axis=1) < _WELL_PLACED * seen[:, 2]
        height = camera_height(seen[well])
        if height is None:
            return
        self._heights.append(height)
        if len(self._heights) >= _FEWEST_HEIGHTS:
            factor = self.settings.camera_height / float(np.median(self._heights))
            self._heights = deque((factor * each for each in self._heights), _HEIGHTS)
            self._rescale(factor, keyframe.center)

    def _rescale(self, factor: float, about: np.ndarray) -> None:
        """Make everything ``factor`` times as large about a point (3,) that stays."""
        self._map.rescale(factor, about)
        self._trajectory.rescale(factor)
        self._median_depth *= factor
        if self._motion is not None:
            self._motion[:3, 3] *= factor
        stretch = np.outer(*2 * [np.repeat([factor, 1.0], 3)])
        self._covariance = stretch * self._covariance
        self._frame_covariance = stretch * self._frame_covariance
        for keyframe in self._map.keyframes:
            keyframe.covariance = stretch * keyframe.covariance

    # Before there is a map, and after it is lost

    def _without_map(self, view: View, stamp: float, begin: float) -> Estimate:
        """Begin a map as soon as two views allow it; until then follow the camera's rotation."""
        state = State.INITIALIZING if self._map is None else State.LOST
        if self._reference is None:
            return self._begin_reference(view, stamp, state, begin)
        reference = self._reference
        views = relate(reference.view, view, self._camera.focal_length, self.settings)
        waited = self._map is None or self._lost_frames > self.settings.restart_after
        clear = reference.is_known and views.agreeing > _CLEAR
        if views.motion is not None and (waited or clear):
            return self._begin_map(reference, view, stamp, views, begin)
        known = views.turn is not None and reference.is_known
        if known:
            self._pose = rigid(views.turn, np.zeros(3)) @ reference.pose
            self._trajectory.add_fixed(stamp, self._pose)
            self._motion, self._pose_stamp = None, stamp
            # The translation is held: less of it than would have shown as parallax is not seen.
            unseen = np.radians(self.settings.min_parallax) * self._median_depth
            self._frame_covariance = _isotropic(unseen, _HELD_TURN)
        shares = len(views.pairs) / max(1, min(len(view), len(reference.view)))
        if len(view) and (shares < 0.2 or (known and shares < 0.4)):
            # The reference is out of sight, or nearly so. Where the rotation is known the chain
            # goes on unbroken.
            self._reference = _Reference(view, self._pose, known)
        reason = views.reason or "waiting for a second view"
        if state is State.LOST:
            reason = f"lost: {reason}" if not known else f"rotation only: {reason}"
        return self._estimate(
            stamp, state, known, 0, len(views.pairs), False, reason,
            time.perf_counter() - begin, 0.0,
        )  # fmt: skip

    def _begin_reference(self, view: View, stamp: float, state: State, begin: float) -> Estimate:
        """Take this view as the first of two; after a loss, the map's newest keyframe is tried
        first, from which a turn on the spot can be followed.
        """
        if self._map is not None:
            newest = self._map.keyframes[-1]
            self._reference = _Reference(newest.view, newest.pose, True)
            return self._without_map(view, stamp, begin)
        known = len(view) > 0
        if known:
            self._reference = _Reference(view, self._pose, True)
            self._frame_covariance = np.zeros((6, 6))
            self._trajectory.add_fixed(stamp, self._pose)
            self._pose_stamp = stamp
        reason = "first view" if known else "no features in the image"
        return self._estimate(
            stamp, state, known, 0, 0, False, reason, time.perf_counter() - begin, 0.0
        )

    def _begin_map(
        self, reference: _Reference, view: View, stamp: float, views: TwoViews, begin: float
    ) -> Estimate:
        """The map of two keyframes, in place of the old one if there was one."""
        tracked = time.perf_counter()
        is_restart = self._map is not None
        if is_restart:
            self._trajectory.settle(self._map.keyframes)
            self._map_number += 1
            self._heights.clear()
            if not reference.is_known:  # what was covered in between is not
                self._covariance = self._covariance + _isotropic(self._median_depth, 0.1)
        good = views.triangulation.is_good
        points, pairs = views.triangulation.points[good], views.pairs[good]
        # After a restart the scene is assumed as deep as it was before.
        depth = self._median_depth if is_restart else self.settings.initial_scale
        scale = depth / float(np.median(points[:, 2]))
        motion = views.motion.copy()
        motion[:3, 3] *= scale
        landmarks = LandmarkMap(
            transformed(inverse(reference.pose), scale * points),
            np.zeros_like(points),  # until the adjustment
            view.features.descriptors[pairs[:, 1]],
        )
        self._map = landmarks
        for seen, pose, column in (
            (reference.view, reference.pose, 0),
            (view, motion @ reference.pose, 1),
        ):
            self._pose = pose
            landmark_of = np.full(len(seen), -1)
            landmark_of[pairs[:, column]] = np.arange(len(pairs))
            landmarks.keyframes.append(self._new_keyframe(seen, landmark_of))
        adjust_window(landmarks, self.settings)
        landmarks.cull(landmarks.observations() >= 2)
        first, second = landmarks.keyframes
        # The adjustment holds the first camera only: set the depth anew.
        depths = transformed(first.pose, landmarks.positions)[:, 2]
        if len(depths):
            landmarks.rescale(depth / float(np.median(depths)), first.center)
        self._correct_scale(second)
        second.covariance = self._covariance = self._second_covariance(first, second, is_restart)
        self._pose, self._pose_stamp, self._motion = second.pose, stamp, None
        self._median_depth = depth
        self._lost_frames, self._reference = 0, None
        inliers = int((second.landmark_of >= 0).sum())
        self._reference_inliers = inliers
        self._trajectory.add(stamp, second, second.pose)
        return self._estimate(
            stamp, State.TRACKING, True, inliers, len(pairs), True,
            "new map" if is_restart else "map begun",
            tracked - begin, time.perf_counter() - tracked,
        )  # fmt: skip

    def _second_covariance(self, first: Keyframe, second: Keyframe, is_restart: bool) -> np.ndarray:
        """Of the second keyframe of a new map: the first one's, and what the two views leave open.
        The first map's scale is right by definition; a later one's is a guess.
        """
        seen = np.flatnonzero(second.landmark_of >= 0)
        rows = second.landmark_of[seen]
        self._frame_covariance = world_covariance(
            refine_pose(
                second.pose, second.view.rays[seen], second.view.sigmas[seen],
                self._map.positions[rows], self._map.spreads[rows],
            )
        )  # fmt: skip
        scale = _GUESSED_SCALE if is_restart else self.settings.scale_drift
        return self._grown_covariance(first, second.pose, scale)

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
        mapping_seconds: float,
    ) -> Estimate:
        # Without a map the frame's own uncertainty does not add up from one to the next.
        is_held = state is not State.TRACKING
        covariance = self._covariance + is_held * self._frame_covariance
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
            reason,
            tracking_seconds,
            mapping_seconds,
        )


def _isotropic(position: float, rotation: float) -> np.ndarray:
    """(6, 6) covariance of standard deviations that are alike in all directions."""
    return np.diag(np.repeat([position**2, rotation**2], 3))
