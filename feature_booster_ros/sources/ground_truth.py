# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth of a moving camera: poses over time, and the pose at the time of a frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .source import logger


class GroundTruth:
    """Poses at increasing times, interpolated in between.

    Args:
        stamps_ns: Times (N,) in nanoseconds, in any order.
        translations: (N, 3) in meters.
        quaternions: (N, 4) in the order x, y, z, w, of length 1 but for rounding.
        longest_gap_ns: A time between two poses further apart than this has no pose.

    Raises:
        ValueError: The lengths differ, a value is not finite, or a quaternion is not of length 1.
    """

    def __init__(
        self,
        stamps_ns: Sequence[int],
        translations: np.ndarray,
        quaternions: np.ndarray,
        longest_gap_ns: int = 100_000_000,
    ) -> None:
        stamps = np.asarray(stamps_ns, dtype=np.int64)
        translations = np.asarray(translations, dtype=np.float64).reshape(-1, 3)
        quaternions = np.asarray(quaternions, dtype=np.float64).reshape(-1, 4)
        if not len(stamps) == len(translations) == len(quaternions):
            raise ValueError(
                f"{len(stamps)} stamps, {len(translations)} translations and "
                f"{len(quaternions)} quaternions"
            )
        norms = np.linalg.norm(quaternions, axis=1, keepdims=True)
        if not (np.isfinite(translations).all() and np.isfinite(norms).all()):
            raise ValueError("a pose is not finite")
        # Rounding to two digits stays within; columns of something else seldom do.
        wrong = np.flatnonzero(np.abs(norms - 1) > 0.05)
        if len(wrong):
            raise ValueError(
                f"pose {wrong[0] + 1} has a quaternion of length {norms[wrong[0], 0]:.3g}, not 1: "
                "are the columns in the order that is expected?"
            )
        order = np.argsort(stamps, kind="stable")
        self._stamps = stamps[order]
        self._translations = translations[order]
        self._quaternions = (quaternions / norms)[order]
        self._longest_gap_ns = longest_gap_ns

    def __len__(self) -> int:
        return len(self._stamps)

    def poses(self, stamps_ns: Sequence[int], name: object) -> list[np.ndarray | None]:
        """Return the pose at each frame's time, warning of frames that have none.

        Args:
            stamps_ns: Times (N,) of the frames in nanoseconds.
            name: What the poses were read from, for the warning.
        """
        poses = [self.pose(stamp_ns) for stamp_ns in stamps_ns]
        missing = sum(pose is None for pose in poses)
        if missing == len(poses):
            logger.warning(
                "%s has no pose at the time of any of the %d frames: its %d poses are of %s, the "
                "frames of %s. Are both of one recording, on one clock and in one unit?",
                name,
                len(poses),
                len(self),
                _span(self._stamps),
                _span(stamps_ns),
            )
        elif missing:
            logger.warning("%s has no pose for %d of %d frames", name, missing, len(poses))
        return poses

    def pose(self, stamp_ns: int) -> np.ndarray | None:
        """Interpolate the pose (4, 4), linearly in translation and spherically in rotation.

        It is None before the first and after the last pose, and within gaps.
        """
        after = int(np.searchsorted(self._stamps, stamp_ns))
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return rigid_transform(self._translations[after], self._quaternions[after])
        if after in (0, len(self._stamps)):
            return None
        before = after - 1
        gap = int(self._stamps[after] - self._stamps[before])
        if gap > self._longest_gap_ns:
            return None
        share = int(stamp_ns - self._stamps[before]) / gap
        translation = (1 - share) * self._translations[before] + share * self._translations[after]
        rotation = _slerp(self._quaternions[before], self._quaternions[after], share)
        return rigid_transform(translation, rotation)


def rigid_transform(translation: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    """Return (4, 4) of a translation (3,) and a unit quaternion x, y, z, w."""
    x, y, z, w = quaternion
    transform = np.eye(4)
    transform[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    transform[:3, 3] = translation
    return transform


def _span(stamps_ns: Sequence[int] | np.ndarray) -> str:
    if not len(stamps_ns):
        return "no time"
    return f"{min(stamps_ns) / 1e9:.3f} to {max(stamps_ns) / 1e9:.3f} s"


def _slerp(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """Interpolate unit quaternions along the shorter way (Shoemake, SIGGRAPH 1985)."""
    cosine = float(a @ b)
    if cosine < 0:  # q and -q are the same rotation; take the nearer of the two
        b, cosine = -b, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:  # nearly equal: sin(angle) would divide zero by zero
        blend = (1 - share) * a + share * b
    else:
        blend = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    return blend / np.linalg.norm(blend)
