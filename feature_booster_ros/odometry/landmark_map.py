# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The map: keyframes, landmarks, and which keyframe sees which landmark."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .rigid import inverse
from .view import View


@dataclass(eq=False)
class Keyframe:
    """A frame in the map.

    Attributes:
        number: counts the keyframes.
        view: its features as rays.
        pose: (4, 4), world to camera.
        landmark_of: (N,) int64, the map's row of the landmark that each feature sees, or -1.
        covariance: (6, 6) of the pose in the world, as accumulated when it was added.
    """

    number: int
    view: View
    pose: np.ndarray
    landmark_of: np.ndarray
    covariance: np.ndarray

    @property
    def center(self) -> np.ndarray:
        """The camera's position (3,) in the world."""
        return -self.pose[:3, :3].T @ self.pose[:3, 3]


@dataclass(eq=False)
class LandmarkMap:
    """Landmarks as rows of arrays, and the keyframes that see them, oldest first.

    Attributes:
        positions: (M, 3) float64, world.
        spreads: (M, 3) float64, one standard deviation of each position along the line on which it
            is least known: that of sight.
        descriptors: (M, D) float32 or uint8, from the newest keyframe that saw each.
        keyframes: in order of time.
    """

    positions: np.ndarray
    spreads: np.ndarray
    descriptors: np.ndarray
    keyframes: list[Keyframe] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.positions)

    def add_landmarks(
        self, positions: np.ndarray, spreads: np.ndarray, descriptors: np.ndarray
    ) -> np.ndarray:
        """Append landmarks; their rows."""
        rows = np.arange(len(self), len(self) + len(positions))
        self.positions = np.concatenate([self.positions, positions])
        self.spreads = np.concatenate([self.spreads, spreads])
        self.descriptors = np.concatenate([self.descriptors, descriptors])
        return rows

    def observations(self) -> np.ndarray:
        """(M,) how many keyframes see each landmark."""
        counts = np.zeros(len(self), np.int64)
        for keyframe in self.keyframes:
            seen = keyframe.landmark_of
            counts[seen[seen >= 0]] += 1
        return counts

    def seen_by(self, keyframes: list[Keyframe]) -> np.ndarray:
        """Rows of the landmarks that any of these keyframes sees, ascending."""
        if not keyframes:
            return np.zeros(0, np.int64)
        rows = np.unique(np.concatenate([keyframe.landmark_of for keyframe in keyframes]))
        return rows[rows >= 0]

    def drop_oldest(self, kept: int) -> list[Keyframe]:
        """Take all but the newest ``kept`` keyframes out; they are returned."""
        dropped = self.keyframes[:-kept] if len(self.keyframes) > kept else []
        self.keyframes = self.keyframes[len(dropped) :]
        return dropped

    def cull(self, is_kept: np.ndarray) -> None:
        """Remove the landmarks that are not marked in ``is_kept`` (M,) bool."""
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
        """Make the whole map ``factor`` times as large about a point (3,) that stays."""
        self.positions = about + factor * (self.positions - about)
        self.spreads = factor * self.spreads
        for keyframe in self.keyframes:
            pose = inverse(keyframe.pose)
            pose[:3, 3] = about + factor * (pose[:3, 3] - about)
            keyframe.pose = inverse(pose)
