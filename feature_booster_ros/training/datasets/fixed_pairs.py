# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs that stay the same, to validate on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .feature_pair import FeaturePair, PairSource

VALIDATION_SEED = 1


@dataclass(frozen=True, eq=False)
class FixedPairs(PairSource):
    """Some pairs, each as it was made once.

    Attributes:
        pairs: all of them.
    """

    detector: str
    pairs: tuple[FeaturePair, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def draw(self, rng: np.random.Generator) -> FeaturePair | None:
        """Any of them; None if there are none."""
        return self.pairs[rng.integers(len(self.pairs))] if self.pairs else None


def fix_pairs(source: PairSource, count: int) -> FixedPairs:
    """At most ``count`` pairs drawn from a source, the same whenever it is asked; draws that come
    to nothing are left out.
    """
    drawn = (source.draw(np.random.default_rng([VALIDATION_SEED, i])) for i in range(count))
    return FixedPairs(source.detector, tuple(pair for pair in drawn if pair is not None))
