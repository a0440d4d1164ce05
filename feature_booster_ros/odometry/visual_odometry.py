# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a known camera is, from its features alone."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from ..features import Features
from ..matching import match
from ..matching.guided import match_near
from .absolute_pose import AbsolutePose, estimate_pose, refine_pose, world_covariance
from .camera_model import CameraModel
from .ground_plane import camera_height
from .initialization import TwoViews, relate
from .landmark_map import Keyframe, LandmarkMap
from .mapping import adjust_window, insert_keyframe
from .rigid import cross_matrix, fraction_of, inverse, rigid, transformed
from .settings import OdometrySettings
from .types import Estimate, Landmarks, State
from .view import View, view_of

_LOCAL_KEYFRAMES = 6
"""Keyframes whose landmarks are looked for."""
_NEWEST_KEYFRAMES = 2
"""Keyframes whose landmarks are looked for at first, in the wider radius: enough for a pose."""
_FEW = 0.4
"""With less than this share of the last keyframe's landmarks, the motion may be another."""
_TURNED_AWAY = 0.6
"""With less than this share a keyframe is due even without a baseline to the last one."""
_RANSAC_PIXELS = 4.0
_NEAR_SHARE = 0.2
"""The second, narrower search, as a share of the first one's radius."""
_RELOCALISATION_KEYFRAMES = 8
"""Keyframes that one lost frame is compared with."""
_SCALE_GAIN = 0.3
"""Share of the ground plane's correction of the scale that one keyframe makes."""


@dataclass(eq=False)
class _Reference:
    """The first of the two views that a map is to begin from.

    ``pose`` is world to camera. ``is_known``: there is no gap between the pose and what was tracked
    before.
    """

    view: View
    pose: np.ndarray
    is_known: bool


@dataclass(eq=False)
class _Record:
    """One pose of the trajectory: relative to a keyframe of the map, or fixed for good."""

    stamp: float
    keyframe: Keyframe | None
    pose: np.ndarray  # camera to keyframe, or camera to world


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
        self._camera = CameraModel(camera_matrix, distortion, distortion_model)
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next frame is the world's origin."""
        self._map: LandmarkMap | None = None
        self._map_number = 0
        self._reference: _Reference | None = None
        self._pose = np.eye(4)  # world to camera, the last one known
        self._motion: np.ndarray | None = None  # the last camera to the one after it
        self._interval = 0.0
        self._stamp: float | None = None  # of the last frame
        self._pose_stamp: float | None = None  # of the last frame with a pose
        self._covariance = np.zeros((6, 6))  # of the last pose
        self._lost_frames = 0
        self._median_depth = self.settings.initial_scale
        self._keyframe_count = 0
        self._reference_inliers = 0
        self._records: deque[_Record] = deque(maxlen=self.settings.trajectory_length)
        self._kind: tuple[bool, int] | None = None

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
        self._camera = CameraModel(camera_matrix, distortion, distortion_model)

    def track(self, features: Features, stamp: float) -> Estimate:
        """The pose of the camera that saw these features.

        Args:
            features: of the frame, of one detector and model throughout.
            stamp: of the frame, in seconds.

        Raises:
            ValueError: the stamp is not after the last one's, or the descriptors are not of the
                kind of the frames before. Nothing has changed then.
        """
        if self._stamp is not None and not stamp > self._stamp:
            raise ValueError(
                f"stamp {stamp:.6f} is not after the last frame's, {self._stamp:.6f}: leave such "
                "frames out, or reset() for a new sequence"
            )
        kind = features.is_binary, features.descriptor_length
        if self._kind is not None and kind != self._kind:
            raise ValueError(
                f"descriptors ({'binary' if kind[0] else 'float'} of {kind[1]}) are of another "
                f"kind than before ({'binary' if self._kind[0] else 'float'} of {self._kind[1]}): "
                "reset() to go on with these"
            )
        begin = time.perf_counter()
        self._kind, self._stamp = kind, stamp
        view = view_of(features, self._camera, self.settings.pixel_sigma)
        if self._map is not None:
            found = self._locate(view, stamp)
            if found is not None:
                return self._tracked(view, stamp, *found, begin)
            self._lost_frames += 1
        return self._without_map(view, stamp, begin)

    def trajectory(self) -> list[tuple[float, np.ndarray]]:
        """Stamps and poses (4, 4), camera to world, of all frames whose pose is known, as refined
        with their keyframes since; at most ``trajectory_length``, the newest.
        """
        return [
            (
                record.stamp,
                record.pose
                if record.keyframe is None
                else inverse(record.keyframe.pose) @ record.pose,
            )
            for record in self._records
        ]

    def landmarks(self) -> Landmarks:
        """The landmarks of the map."""
        if self._map is None:
            return Landmarks(np.zeros((0, 3)), np.zeros(0, np.int64))
        return Landmarks(self._map.positions.copy(), self._map.observations())

    # Finding a frame in the map

    def _locate(
        self, view: View, stamp: float
    ) -> tuple[AbsolutePose, np.ndarray, np.ndarray, str] | None:
        """The pose, the landmarks' rows and the features that were matched, and how."""
        rows = self._map.seen_by(self._map.keyframes[-_LOCAL_KEYFRAMES:])
        if self._lost_frames == 0:
            predicted = self._predicted(stamp)
            newest = self._map.seen_by(self._map.keyframes[-_NEWEST_KEYFRAMES:])
            found = self._near_prediction(view, newest, predicted)
            if found is None or found.inliers.sum() < _FEW * self._reference_inliers:
                found = _better(found, self._by_descriptors(view, rows))
            reason = ""
        else:
            found, reason = self._relocalised(view), "relocalised"
        if found is None:
            return None
        pose, matched_rows, matched = self._narrowed(view, rows, found)
        if pose.inliers.sum() < self.settings.minimum_inliers:
            return None
        return pose, matched_rows, matched, reason

    def _predicted(self, stamp: float) -> np.ndarray:
        """World to camera, if the camera goes on as it did."""
        if self._motion is None or self._interval <= 0:
            return self._pose
        passed = stamp - self._pose_stamp
        if passed > self.settings.maximum_gap:
            return self._pose
        return fraction_of(self._motion, passed / self._interval) @ self._pose

    def _project(self, rows: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those rows whose landmarks lie in front of the camera, and their rays (M, 2)."""
        seen = transformed(pose, self._map.positions[rows])
        in_front = seen[:, 2] > 1e-3 * self._median_depth
        return rows[in_front], seen[in_front, :2] / seen[in_front, 2:]

    def _near_prediction(
        self, view: View, rows: np.ndarray, predicted: np.ndarray
    ) -> AbsolutePose | None:
        rows, rays = self._project(rows, predicted)
        radius = self.settings.search_radius / self._camera.focal_length
        pairs = match_near(
            rays, self._map.descriptors[rows], view.rays, view.features.descriptors, radius, 0.85
        )
        return self._pose_from(view, rows[pairs[:, 0]], pairs[:, 1])

    def _by_descriptors(self, view: View, rows: np.ndarray) -> AbsolutePose | None:
        """Wherever the landmarks are in the image: the motion was not as predicted."""
        pairs = match(view.features, self._as_features(rows), ratio=0.85).indices
        return self._pose_from(view, rows[pairs[:, 1]], pairs[:, 0])

    def _relocalised(self, view: View) -> AbsolutePose | None:
        """The pose from whichever keyframe's landmarks agree most."""
        keyframes = self._map.keyframes
        step = max(1, len(keyframes) // _RELOCALISATION_KEYFRAMES)
        offset = self._lost_frames % step
        best = None
        for keyframe in keyframes[::-1][offset::step][:_RELOCALISATION_KEYFRAMES]:
            found = self._by_descriptors(view, self._map.seen_by([keyframe]))
            best = _better(best, found)
        return best

    def _pose_from(self, view: View, rows: np.ndarray, features: np.ndarray) -> AbsolutePose | None:
        """The robust pose, if enough landmarks agree with it."""
        if len(rows) < self.settings.minimum_inliers:
            return None
        found = estimate_pose(
            view.rays[features],
            view.sigmas[features],
            self._map.positions[rows],
            self._camera.focal_length,
            _RANSAC_PIXELS,
            self.settings.seed,
        )
        if found is None or found.inliers.sum() < self.settings.minimum_inliers:
            return None
        return found

    def _narrowed(
        self, view: View, rows: np.ndarray, found: AbsolutePose
    ) -> tuple[AbsolutePose, np.ndarray, np.ndarray]:
        """Once the pose is known, more landmarks are found close to where it puts them."""
        rows, rays = self._project(rows, found.pose)
        radius = _NEAR_SHARE * self.settings.search_radius / self._camera.focal_length
        pairs = match_near(
            rays, self._map.descriptors[rows], view.rays, view.features.descriptors, radius, 0.95
        )
        rows, features = rows[pairs[:, 0]], pairs[:, 1]
        if len(rows) < self.settings.minimum_inliers:
            nothing = np.zeros(len(rows), bool)
            return AbsolutePose(found.pose, nothing, np.eye(6)), rows, features
        refined = refine_pose(
            found.pose, view.rays[features], view.sigmas[features], self._map.positions[rows]
        )
        return refined, rows, features

    def _as_features(self, rows: np.ndarray) -> Features:
        """Landmarks in the form that match() takes."""
        zeros = np.zeros(len(rows), np.float32)
        return Features(
            np.zeros((len(rows), 2), np.float32), zeros, zeros, zeros, self._map.descriptors[rows]
        )

    # What follows from a pose

    def _tracked(
        self,
        view: View,
        stamp: float,
        found: AbsolutePose,
        rows: np.ndarray,
        features: np.ndarray,
        reason: str,
        begin: float,
    ) -> Estimate:
        was_lost = self._lost_frames > 0
        self._lost_frames = 0
        self._reference = None
        newest = self._map.keyframes[-1]
        covariance = self._grown_covariance(newest, found)
        if not was_lost and self._pose_stamp is not None:
            self._motion = found.pose @ inverse(self._pose)
            self._interval = stamp - self._pose_stamp
        else:
            self._motion = None
        self._pose, self._pose_stamp, self._covariance = found.pose, stamp, covariance
        depths = transformed(found.pose, self._map.positions[rows[found.inliers]])[:, 2]
        self._median_depth = float(np.median(depths))
        tracked = time.perf_counter()
        inliers = int(found.inliers.sum())
        is_keyframe = self._is_keyframe_due(inliers, found.pose)
        if is_keyframe:
            landmark_of = np.full(len(view), -1)
            landmark_of[features[found.inliers]] = rows[found.inliers]
            keyframe = self._new_keyframe(view, landmark_of)
            self._forget_keyframes(self.settings.maximum_keyframes - 1)
            insert_keyframe(self._map, keyframe, self.settings)
            self._records.append(_Record(stamp, keyframe, np.eye(4)))
            self._correct_scale(keyframe)
            self._pose = keyframe.pose
            self._reference_inliers = int((keyframe.landmark_of >= 0).sum())
        else:
            self._records.append(_Record(stamp, newest, newest.pose @ inverse(found.pose)))
        return self._estimate(
            stamp, State.TRACKING, True, inliers, len(rows), is_keyframe, reason,
            tracked - begin, time.perf_counter() - tracked,
        )  # fmt: skip

    def _is_keyframe_due(self, inliers: int, pose: np.ndarray) -> bool:
        newest = self._map.keyframes[-1]
        centre = -pose[:3, :3].T @ pose[:3, 3]
        moved = np.linalg.norm(centre - newest.centre) / self._median_depth
        if inliers < _TURNED_AWAY * self._reference_inliers:
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

    def _forget_keyframes(self, kept: int) -> None:
        """Let the oldest keyframes go; the poses that hang on them are final."""
        leaving = {id(keyframe) for keyframe in self._map.drop_oldest(kept)}
        if leaving:
            self._settle(leaving)

    def _settle(self, leaving: set[int]) -> None:
        for record in self._records:
            if record.keyframe is not None and id(record.keyframe) in leaving:
                record.pose = inverse(record.keyframe.pose) @ record.pose
                record.keyframe = None

    def _grown_covariance(self, keyframe: Keyframe, found: AbsolutePose) -> np.ndarray:
        """The keyframe's covariance carried on to this pose, plus what is uncertain in between."""
        centre = -found.pose[:3, :3].T @ found.pose[:3, 3]
        step = centre - keyframe.centre
        carry = np.eye(6)
        carry[:3, 3:] = -cross_matrix(step)
        covariance = carry @ keyframe.covariance @ carry.T + world_covariance(found)
        covariance[:3, :3] += self.settings.scale_drift**2 * np.outer(step, step)
        return covariance

    def _correct_scale(self, keyframe: Keyframe) -> None:
        """Draw the map towards the scale in which the ground lies ``camera_height`` below."""
        if self.settings.camera_height is None:
            return
        rows = self._map.seen_by(self._map.keyframes[-self.settings.window :])
        height = camera_height(transformed(keyframe.pose, self._map.positions[rows]))
        if height is not None:
            factor = (self.settings.camera_height / height) ** _SCALE_GAIN
            self._map.rescale(factor, keyframe.centre)
            self._scale_records(factor)

    def _scale_records(self, factor: float) -> None:
        for record in self._records:
            if record.keyframe is not None:
                record.pose[:3, 3] *= factor
        self._median_depth *= factor
        if self._motion is not None:
            self._motion[:3, 3] *= factor

    # Before there is a map, and after it is lost

    def _without_map(self, view: View, stamp: float, begin: float) -> Estimate:
        """Begin a map as soon as two views allow it; until then follow the camera's rotation."""
        state = State.INITIALIZING if self._map is None else State.LOST
        if self._reference is None:
            return self._begin_reference(view, stamp, state, begin)
        reference = self._reference
        views = relate(reference.view, view, self._camera.focal_length, self.settings)
        waited = (
            self._map is None
            or reference.is_known
            or (self._lost_frames > self.settings.restart_after)
        )
        if views.motion is not None and waited:
            return self._begin_map(reference, view, stamp, views, begin)
        known = views.turn is not None and reference.is_known
        if known:
            self._pose = rigid(views.turn, np.zeros(3)) @ reference.pose
            self._records.append(_Record(stamp, None, inverse(self._pose)))
            self._motion, self._pose_stamp = None, stamp
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
            self._records.append(_Record(stamp, None, inverse(self._pose)))
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
            self._settle({id(keyframe) for keyframe in self._map.keyframes})
            self._map_number += 1
            # What was covered in between is not known.
            self._covariance = self._covariance + np.eye(6) * np.repeat(
                [self._median_depth**2, 0.1**2], 3
            ) * (not reference.is_known)
        good = views.triangulation.is_good
        points, pairs = views.triangulation.points[good], views.pairs[good]
        # After a restart the scene is assumed as deep as it was before.
        depth = self._median_depth if is_restart else self.settings.initial_scale
        scale = depth / float(np.median(points[:, 2]))
        motion = views.motion.copy()
        motion[:3, 3] *= scale
        landmarks = LandmarkMap(
            transformed(inverse(reference.pose), scale * points),
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
            landmarks.rescale(depth / float(np.median(depths)), first.centre)
        self._correct_scale(second)
        self._pose, self._pose_stamp, self._motion = second.pose, stamp, None
        self._median_depth = depth
        self._lost_frames, self._reference = 0, None
        inliers = int((second.landmark_of >= 0).sum())
        self._reference_inliers = inliers
        self._records.append(_Record(stamp, second, np.eye(4)))
        return self._estimate(
            stamp, State.TRACKING, True, inliers, len(pairs), True,
            "new map" if is_restart else "map begun",
            tracked - begin, time.perf_counter() - tracked,
        )  # fmt: skip

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
        return Estimate(
            stamp,
            state,
            inverse(self._pose) if is_known else None,
            self._covariance.copy() if is_known else None,
            inliers,
            matches,
            0 if self._map is None else len(self._map),
            is_keyframe,
            self._map_number,
            reason,
            tracking_seconds,
            mapping_seconds,
        )


def _better(a: AbsolutePose | None, b: AbsolutePose | None) -> AbsolutePose | None:
    """The one with more inliers; ``a`` where they have as many."""
    if a is None or b is None:
        return b if a is None else a
    return b if b.inliers.sum() > a.inliers.sum() else a
