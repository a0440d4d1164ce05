# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The poses so far, refined with the keyframes that they are relative to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .landmark_map import Keyframe
from .rigid import inverse


@dataclass(eq=False)
class _RecordedPose:
    """A pose relative to a keyframe of the map, or in the world where it is no longer refined."""

    stamp: float
    keyframe: Keyframe | None
    pose: np.ndarray  # camera to keyframe, or camera to world


class Trajectory:
    """The poses of the newest frames.

    Args:
        length: the largest number of poses kept.
    """

    def __init__(self, length: int) -> None:
        self._records: deque[_RecordedPose] = deque(maxlen=length)

    def add(self, stamp: float, keyframe: Keyframe, pose: np.ndarray) -> None:
        """Add a pose (4, 4), world to camera, that moves with a keyframe."""
        self._records.append(_RecordedPose(stamp, keyframe, keyframe.pose @ inverse(pose)))

    def add_fixed(self, stamp: float, pose: np.ndarray) -> None:
        """Add a pose (4, 4), world to camera, that is not refined."""
        self._records.append(_RecordedPose(stamp, None, inverse(pose)))

    def drop_after(self, stamp: float) -> None:
        """Remove the poses of later frames."""
        while self._records and self._records[-1].stamp > stamp:
            self._records.pop()

    def freeze(self, leaving: Iterable[Keyframe]) -> None:
        """Stop refining the poses relative to these keyframes, which leave the map."""
        gone = {id(keyframe) for keyframe in leaving}
        if not gone:
            return
        for record in self._records:
            if record.keyframe is not None and id(record.keyframe) in gone:
                record.pose = inverse(record.keyframe.pose) @ record.pose
                record.keyframe = None

    def rescale(self, factor: float) -> None:
        """Scale the poses relative to keyframes as the map was scaled, by ``factor``."""
        for record in self._records:
            if record.keyframe is not None:
                record.pose[:3, 3] *= factor

    def poses(self) -> list[tuple[float, np.ndarray]]:
        """Return stamps [s] and poses (4, 4), camera to world."""
        return [
            (
                record.stamp,
                record.pose
                if record.keyframe is None
                else inverse(record.keyframe.pose) @ record.pose,
            )
            for record in self._records
        ]
