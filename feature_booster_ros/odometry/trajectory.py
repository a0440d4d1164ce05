# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The way so far, in poses that go on being refined with the keyframes they hang on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .landmark_map import Keyframe
from .rigid import inverse


@dataclass(eq=False)
class _Record:
    """A pose relative to a keyframe of the map, or fixed for good."""

    stamp: float
    keyframe: Keyframe | None
    pose: np.ndarray  # camera to keyframe, or camera to world


class Trajectory:
    """The newest poses, at most ``length``."""

    def __init__(self, length: int) -> None:
        self._records: deque[_Record] = deque(maxlen=length)

    def add(self, stamp: float, keyframe: Keyframe, pose: np.ndarray) -> None:
        """A pose (4, 4), world to camera, that moves with a keyframe from here on."""
        self._records.append(_Record(stamp, keyframe, keyframe.pose @ inverse(pose)))

    def add_fixed(self, stamp: float, pose: np.ndarray) -> None:
        """A pose (4, 4), world to camera, that stays."""
        self._records.append(_Record(stamp, None, inverse(pose)))

    def settle(self, leaving: Iterable[Keyframe]) -> None:
        """Fix what hangs on these keyframes: they will not be refined any more."""
        gone = {id(keyframe) for keyframe in leaving}
        if not gone:
            return
        for record in self._records:
            if record.keyframe is not None and id(record.keyframe) in gone:
                record.pose = inverse(record.keyframe.pose) @ record.pose
                record.keyframe = None

    def rescale(self, factor: float) -> None:
        """Follow the map, which has become ``factor`` times as large."""
        for record in self._records:
            if record.keyframe is not None:
                record.pose[:3, 3] *= factor

    def poses(self) -> list[tuple[float, np.ndarray]]:
        """Stamps and poses (4, 4), camera to world."""
        return [
            (
                record.stamp,
                record.pose
                if record.keyframe is None
                else inverse(record.keyframe.pose) @ record.pose,
            )
            for record in self._records
        ]
