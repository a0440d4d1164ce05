# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matches between the features of two images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Matches:
    """M pairs of features, the nearest descriptors first.

    Attributes:
        indices: (M, 2) int64, the feature's index in the first and in the second image.
        distances: (M,) float32, L2 distance of float descriptors, Hamming distance in bits of
            binary ones.
    """

    indices: np.ndarray
    distances: np.ndarray

    def __post_init__(self) -> None:
        if self.indices.ndim != 2 or self.indices.shape[1] != 2:
            raise ValueError(f"indices must have shape (M, 2), not {self.indices.shape}")
        if self.distances.shape != (len(self.indices),):
            raise ValueError(
                f"distances must have shape ({len(self.indices)},), not {self.distances.shape}"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def select(self, which: np.ndarray) -> Matches:
        """The matches at ``which``: integer indices in the order wanted, or a boolean mask (M,)."""
        return Matches(self.indices[which], self.distances[which])

    @staticmethod
    def empty() -> Matches:
        """No matches."""
        return Matches(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
