# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The map: keyframes, landmarks, and the observations that connect them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .rigid import camera_center, rescale_pose
from .view import View


@dataclass(eq=False)
class Keyframe:
    """A frame in the map.

    Attributes:
        number: of the keyframe, in order of time.
        view: its features as rays.
        pose: (4, 4), world to camera.
        landmark_of: (N,) int64, row of the landmark that each feature observes, or -1.
        covariance: (6, 6) of the pose in the world when the keyframe was added.
    """

    number: int
    view: View
    pose: np.ndarray
    landmark_of: np.ndarray
    covariance: np.ndarray

    @property
    def center(self) -> np.ndarray:
        """Position of the camera in the world (3,)."""
        return camera_center(self.pose)


@dataclass(eq=False)
class LandmarkMap:
    """Landmarks as rows of arrays, and the keyframes that observe them.

    Attributes:
        positions: (M, 3) float64, world.
        spreads: (M, 3) float64, one standard deviation of each position along its line of sight,
            where it is least certain.
        descriptors: (M, D) float32 or uint8, from the newest keyframe that observes each.
        keyframes: oldest first.
    """

    positions: np.ndarray
    spreads: np.ndarray
    descriptors: np.ndarray
    keyframes: list[Keyframe] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.positions)

    def copy(self) -> LandmarkMap:
        """Return a copy that shares only the keyframes' views."""
        return LandmarkMap(
            self.positions.copy(),
            self.spreads.copy(),
            self.descriptors.copy(),
            [replace(each, landmark_of=each.landmark_of.copy()) for each in self.keyframes],
        )

    def take_up(self, changed: LandmarkMap) -> None:
        """Take up a changed copy with the same keyframes; the map's objects for them stay."""
        self.positions, self.spreads = changed.positions, changed.spreads
        self.descriptors = changed.descriptors
        for mine, theirs in zip(self.keyframes, changed.keyframes, strict=True):
            mine.pose, mine.landmark_of = theirs.pose, theirs.landmark_of

    def add_landmarks(
        self, positions: np.ndarray, spreads: np.ndarray, descriptors: np.ndarray
    ) -> np.ndarray:
        """Append landmarks and return their rows."""
        rows = np.arange(len(self), len(self) + len(positions))
        self.positions = np.concatenate([self.positions, positions])
        self.spreads = np.concatenate([self.spreads, spreads])
        self.descriptors = np.concatenate([self.descriptors, descriptors])
        return rows

    def observations(self) -> np.ndarray:
        """Return the number of keyframes (M,) that observe each landmark."""
        counts = np.zeros(len(self), np.int64)
        for keyframe in self.keyframes:
            seen = keyframe.landmark_of
            counts[seen[seen >= 0]] += 1
        return counts

    def seen_by(self, keyframes: list[Keyframe]) -> np.ndarray:
        """Return the rows of the landmarks that any of these keyframes observes, ascending."""
        if not keyframes:
            return np.zeros(0, np.int64)
        rows = np.unique(np.concatenate([keyframe.landmark_of for keyframe in keyframes]))
        return rows[rows >= 0]

    def drop_oldest(self, kept: int) -> list[Keyframe]:
        """Remove all but the newest ``kept`` keyframes, and return the removed ones."""
        dropped = self.keyframes[:-kept] if len(self.keyframes) > kept else []
        self.keyframes = self.keyframes[len(dropped) :]
        return dropped

    def cull(self, is_kept: np.ndarray) -> None:
        """Remove the landmarks that ``is_kept`` (M,) bool does not mark."""
        if is_kept.all():
            return
        row = np.where(is_kept, np.cumsum(is_kept) - 1, -1)
        self.positions = self.positions[is_kept]
        self.spreads = self.spreads[is_kept]
        self.descriptors = self.descriptors[is_kept]
        for keyframe in self.keyframes:
            seen = keyframe.landmark_of >= 0
            keyframe.landmark_of[seen] = row[keyframe.landmark_of[seen]]

    def rescale(self, factor: float, about: np.ndarray) -> None:
        """Scale the map by ``factor`` about a fixed point (3,)."""
        self.positions = about + factor * (self.positions - about)
        self.spreads = factor * self.spreads
        for keyframe in self.keyframes:
            keyframe.pose = rescale_pose(keyframe.pose, factor, about)
