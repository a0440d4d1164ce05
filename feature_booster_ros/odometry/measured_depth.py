# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Landmarks from measured depths, and the comparison of these depths with the map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .landmark_map import Keyframe, LandmarkMap
from .localization import Location
from .rigid import camera_center, inverse, transform_points
from .view import View

_MAX_DEPTH_SIGMA = 0.2
"""Largest standard deviation of a depth that makes a landmark at once, as a share of the depth. A
point of a less certain depth is triangulated, and tells no scale, as it agrees with any."""
_MIN_COMPARED = 20
"""Least number of landmarks whose depths are compared with measured ones."""
_MAX_ERROR = 3.0
"""Difference of two depths above which they disagree [sigmas]."""
_MODEL_SIGMA = 0.03
"""Relative standard deviation of depths that is added to that of the sensor's model, as sensors are
biased, and a keypoint at an edge has the depth of either side."""
_LOSS_WIDTH = 2.0
"""Width of the loss by which a residual lowers a depth's weight, as in the adjustment [sigmas]."""
_MAX_DISAGREEING = 0.5
"""Share of depths that disagree above which they contradict the map, and are not used."""
_MAX_SCATTERED = 0.15
"""Share of depths that disagree but for a common factor above which it does not scale the map."""
_MAX_MEAN_DISAGREEING = 0.1
"""Mean share of depths that disagree above which the user is told; good ones have 0.03 to 0.06."""
_MAX_MEAN_RATIO = 1.05
"""Mean ratio of measured depth to the map's, and its inverse, above which the user is told."""
_PLAUSIBLE_DEPTHS = (0.03, 300.0)
"""Least and largest plausible median depth [m]. One factor of all depths, as by a wrong unit or
baseline, makes a map of another size, which parallax does not contradict."""
_MAX_HEIGHT_RATIO = 1.25
"""Largest ratio of the camera's height by measured depth to the one it is known to have, and its
inverse, that is not told to the user."""
_FORGETTING = 0.1
"""Weight of a frame in these means."""


@dataclass(frozen=True, eq=False)
class DepthComparison:
    """A frame's measured depths beside those of the landmarks that it observes.

    Attributes:
        count: number of depths compared.
        median: of the measured depths [m].
        ratio: median of measured depth by the landmark's.
        disagreeing: share of the depths that differ from the landmarks' by more than their
            uncertainty.
        scattered: the same after division by ``ratio``.
    """

    count: int
    median: float
    ratio: float
    disagreeing: float
    scattered: float

    @property
    def is_compared(self) -> bool:
        """Whether enough depths were compared."""
        return self.count >= _MIN_COMPARED

    @property
    def contradicts(self) -> bool:
        """Whether the depths contradict the map."""
        return self.is_compared and self.disagreeing > _MAX_DISAGREEING

    @property
    def is_scale(self) -> bool:
        """Whether the depths are those of the map but for one factor."""
        return self.is_compared and self.scattered <= _MAX_SCATTERED

    @property
    def lack_of_scale(self) -> str:
        """Why they do not scale the map, for the user."""
        if not self.is_compared:
            return (
                f"depths give no scale: {self.count} landmarks have one that is certain enough, of "
                f"{_MIN_COMPARED} needed; check its unit and the noise parameters"
            )
        return f"depths give no scale: {100 * self.scattered:.0f} % differ but for a factor"


class DepthMonitor:
    """Tells what is suspicious of the depths of many frames, though none contradicts the map.

    Depths of another time, or of a wrong disparity, make a map that is bent.
    """

    def __init__(self) -> None:
        self.height_ratio = 1.0
        """Height of the camera above the ground by measured depth, by its known height."""
        self._disagreeing = 0.0
        self._log_ratio = 0.0

    def add(self, comparison: DepthComparison) -> str:
        """Add a frame's comparison; return what to tell the user, or ""."""
        if comparison.is_compared:
            self._disagreeing += _FORGETTING * (comparison.disagreeing - self._disagreeing)
            self._log_ratio += _FORGETTING * (np.log(comparison.ratio) - self._log_ratio)
            least, most = _PLAUSIBLE_DEPTHS
            if not least <= comparison.median <= most:
                return (
                    f"the median of the measured depths is {comparison.median:.3g} m; check "
                    "whether they are in meters"
                )
        if abs(np.log(self.height_ratio)) > np.log(_MAX_HEIGHT_RATIO):
            return (
                f"by measured depth the camera is {self.height_ratio:.2f} times as high above the "
                "ground as camera_height; check unit and baseline"
            )
        if self._disagreeing <= _MAX_MEAN_DISAGREEING and abs(self._log_ratio) <= np.log(
            _MAX_MEAN_RATIO
        ):
            return ""
        return (
            f"depths fit parallax badly: {100 * self._disagreeing:.0f} % differ, by a mean factor "
            f"of {np.exp(self._log_ratio):.2f}; check their stamps, alignment and baseline"
        )


def makes_landmarks(view: View) -> np.ndarray:
    """Return whether (N,) each feature's depth is measured well enough for a landmark."""
    if view.inverse_depths is None or view.inverse_depth_sigmas is None:
        return np.zeros(len(view), bool)
    # Comparisons with NaN are false.
    return np.asarray(view.inverse_depth_sigmas < _MAX_DEPTH_SIGMA * view.inverse_depths)


def measured_points(
    view: View, pose: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of features of measured depth, and their spreads, both (M, 3), world.

    Args:
        view: with depths.
        pose: (4, 4) of the camera, world to camera.
        rows: (M,) of the features.
    """
    assert view.inverse_depths is not None and view.inverse_depth_sigmas is not None
    inverse_depths = view.inverse_depths[rows, None]
    seen = np.hstack([view.rays[rows], np.ones((len(rows), 1))]) / inverse_depths
    points = transform_points(inverse(pose), seen)
    relative = view.inverse_depth_sigmas[rows, None] / inverse_depths
    return points, relative * (points - camera_center(pose))


def measured_map(keyframe: Keyframe) -> LandmarkMap:
    """Return a map of one keyframe, with the landmarks whose depth it measured."""
    none = np.zeros((0, 3))
    landmarks = LandmarkMap(none, none, keyframe.view.features.descriptors[:0])
    add_measured_landmarks(landmarks, keyframe)
    landmarks.keyframes.append(keyframe)
    return landmarks


def add_measured_landmarks(landmarks: LandmarkMap, keyframe: Keyframe) -> None:
    """Add a landmark for each feature of measured depth that observes none."""
    rows = np.flatnonzero(makes_landmarks(keyframe.view) & (keyframe.landmark_of < 0))
    if len(rows) == 0:
        return
    points, spreads = measured_points(keyframe.view, keyframe.pose, rows)
    keyframe.landmark_of[rows] = landmarks.add_landmarks(
        points, spreads, keyframe.view.features.descriptors[rows]
    )


def compare_depths(
    landmarks: LandmarkMap, view: View, found: Location, is_metric: bool
) -> DepthComparison:
    """Compare a frame's measured depths with the landmarks that agree with its pose.

    Args:
        landmarks: the map.
        view: with depths.
        found: its location in the map.
        is_metric: whether the map is in meters; else only depths that can tell its scale count.
    """
    none = DepthComparison(0, 1.0, 1.0, 0.0, 0.0)
    if view.inverse_depths is None or view.inverse_depth_sigmas is None:
        return none
    seen = found.pose.inliers
    rows, features = found.rows[seen], found.features[seen]
    pose = found.pose.pose
    depths = transform_points(pose, landmarks.positions[rows])[:, 2]
    is_usable = np.isfinite(view.inverse_depths) if is_metric else makes_landmarks(view)
    known = is_usable[features] & (depths > 0)
    # Landmarks of one keyframe have the depth that it measured, and no parallax.
    confirmed = known & (landmarks.observations()[rows] >= 2)
    if confirmed.sum() >= _MIN_COMPARED:
        known = confirmed
    if not known.any():
        return none
    rows, features, depths = rows[known], features[known], depths[known]
    spreads = landmarks.spreads[rows] @ pose[2, :3] / depths
    measured = view.inverse_depths[features]
    # A far depth is certain of not being near: errors are those of the nearer one, if in one unit.
    nearer = np.maximum(measured, 1 / depths) if is_metric else measured
    sensor = view.inverse_depth_sigmas[features] / nearer
    sigmas = np.sqrt(spreads**2 + sensor**2 + _MODEL_SIGMA**2)
    logarithms = -np.log(measured * depths)
    ratio = float(np.median(logarithms))
    return DepthComparison(
        len(depths),
        float(np.median(1 / measured)),
        float(np.exp(ratio)),
        float((np.abs(logarithms) > _MAX_ERROR * sigmas).mean()),
        float((np.abs(logarithms - ratio) > _MAX_ERROR * sigmas).mean()),
    )


def measured_depths(
    keyframes: list[Keyframe], features: list[np.ndarray]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the inverse depths (O,) of the keyframes' features, and their standard deviations.

    NaN where a depth is unknown; None if no keyframe has depths.

    Args:
        keyframes: that observe.
        features: rows of the features of each, O in all.
    """
    if all(keyframe.view.inverse_depths is None for keyframe in keyframes):
        return None, None
    depths, sigmas = [], []
    for keyframe, rows in zip(keyframes, features, strict=True):
        view, unknown = keyframe.view, np.full(len(rows), np.nan)
        depths.append(unknown if view.inverse_depths is None else view.inverse_depths[rows])
        sigmas.append(
            unknown if view.inverse_depth_sigmas is None else view.inverse_depth_sigmas[rows]
        )
    return np.concatenate(depths), np.concatenate(sigmas)


def distance_information(
    keyframes: list[Keyframe], features: list[np.ndarray], depth_residuals: np.ndarray
) -> np.ndarray | None:
    """Return the inverse variance (O,) of the features' measured distances from their camera.

    It is 0 where none was measured, and less for those that the adjustment gave less weight; None
    if no keyframe has depths.

    Args:
        keyframes: that observe.
        features: rows of the features of each, O in all.
        depth_residuals: (O,) of the adjustment [sigmas].
    """
    depths, sigmas = measured_depths(keyframes, features)
    if depths is None or sigmas is None:
        return None
    rays = np.concatenate(
        [keyframe.view.rays[rows] for keyframe, rows in zip(keyframes, features, strict=True)]
    )
    deviations = np.sqrt(1 + (rays**2).sum(axis=1)) * sigmas / depths**2
    information = 1 / (deviations**2 * (1 + (depth_residuals / _LOSS_WIDTH) ** 2))
    return np.where(np.isfinite(information), information, 0.0)


def carry_landmarks(landmarks: LandmarkMap, keyframes: list[Keyframe], poses: np.ndarray) -> None:
    """Move the landmarks that one keyframe alone observes with it.

    Args:
        landmarks: the map.
        keyframes: K, with their poses before.
        poses: (K, 4, 4) after, world to camera.
    """
    observations = landmarks.observations()
    for keyframe, pose in zip(keyframes, poses, strict=True):
        rows = keyframe.landmark_of[keyframe.landmark_of >= 0]
        rows = rows[observations[rows] == 1]
        motion = inverse(pose) @ keyframe.pose
        landmarks.positions[rows] = transform_points(motion, landmarks.positions[rows])
