# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of images with features and ground truth, which every kind of training data gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ...features import Features

NOWHERE = np.inf
"""Coordinate of a point that the other image certainly does not show."""
UNKNOWN = np.nan
"""Coordinate of a point that the other image may or may not show."""
MIN_FEATURES = 16
"""A view with fewer features is not used."""


@dataclass(frozen=True, eq=False)
class FeaturePair:
    """The features of two images of one scene.

    Attributes:
        features: M features of the first image and N of the second.
        shapes: (height, width) of both images [px].
        seen_at: (M, 2) float32 pixels of the second image that show the points of the first image's
            features, and (N, 2) the reverse. A point outside the other image may have the pixel
            where it would be; a hidden point is at ``NOWHERE``; a point of unknown depth is at
            ``UNKNOWN``, and does not count in the loss.
    """

    features: tuple[Features, Features]
    shapes: tuple[tuple[int, int], tuple[int, int]]
    seen_at: tuple[np.ndarray, np.ndarray]


class PairSource(ABC):
    """Pairs from one kind of data.

    Attributes:
        detector: Name of the extractor of the features.
    """

    detector: str

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of pairs of an epoch."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> FeaturePair | None:
        """Draw a random pair; the same for the same state of ``rng``, whatever was drawn before.

        Returns:
            None if the draw failed: an image that cannot be read, no overlap, no correspondences.
            The caller counts it and draws again.
        """


VALIDATION_SEED = 1
"""Seed of the pairs that :func:`fix_pairs` draws."""


@dataclass(frozen=True, eq=False)
class FixedPairs(PairSource):
    """Pairs that stay the same, to validate on.

    Attributes:
        pairs: All pairs.
    """

    detector: str
    pairs: tuple[FeaturePair, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def draw(self, rng: np.random.Generator) -> FeaturePair | None:
        """Return any of the pairs, or None if there are none."""
        return self.pairs[rng.integers(len(self.pairs))] if self.pairs else None


def fix_pairs(source: PairSource, count: int) -> FixedPairs:
    """Draw at most ``count`` pairs from a source, always the same; failed draws are left out."""
    drawn = (source.draw(np.random.default_rng([VALIDATION_SEED, i])) for i in range(count))
    return FixedPairs(source.detector, tuple(pair for pair in drawn if pair is not None))
