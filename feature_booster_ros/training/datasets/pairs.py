# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Views of one scene with features and ground truth, which every kind of training data gives."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ...features import Features
from ...photos import warp_points

NOWHERE = np.inf
"""Coordinate of a point that the other image certainly does not show."""
UNKNOWN = np.nan
"""Coordinate of a point that the other image may or may not show."""
MIN_FEATURES = 16
"""A view with fewer features is not used."""


@dataclass(frozen=True, eq=False)
class ViewGroup:
    """The features of V views of one scene, of which every two make a pair to match.

    Attributes:
        features: Features of each view.
        shapes: (height, width) of each view [px].
        seen_at: For each of :attr:`pairs`, with M features in its first view and N in its second:
            (M, 3) float32 x, y [px] in the second view of the points of the first view's features,
            and the zoom there [octaves]: how much larger their surroundings are than in the first;
            and (N, 3) the reverse. A point outside the other view may have the pixel where it would
            be; a hidden point is at ``NOWHERE``; a point of unknown depth is at ``UNKNOWN``, and
            does not count in the loss.
    """

    features: tuple[Features, ...]
    shapes: tuple[tuple[int, int], ...]
    seen_at: tuple[tuple[np.ndarray, np.ndarray], ...]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The numbers of the two views of each pair: V (V - 1) / 2 pairs."""
        return list(itertools.combinations(range(len(self.features)), 2))


def seen_through(points: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Return where the other view of a plane shows points, and its zoom there.

    Args:
        points: (M, 2) pixels.
        homography: (3, 3) from them to pixels of the other view.

    Returns:
        (M, 3) as in :attr:`ViewGroup.seen_at`; points behind the camera are at ``NOWHERE``.
    """
    points = points.astype(np.float64)
    pixels = np.nan_to_num(warp_points(points, homography), nan=NOWHERE)
    depths = np.abs(points @ homography[2, :2] + homography[2, 2])
    # The determinant of the map's derivative is that of the homography over the depth cubed.
    with np.errstate(divide="ignore"):
        zooms = 0.5 * np.log2(np.abs(np.linalg.det(homography)) / depths**3)
    return np.column_stack([pixels, zooms]).astype(np.float32)


class PairSource(ABC):
    """Views of scenes from one kind of data; mostly two of a scene, which make one pair.

    Attributes:
        detector: Name of the extractor of the features.
    """

    detector: str

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of draws of an epoch."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> ViewGroup | None:
        """Draw views of a random scene.

        They are the same for the same state of ``rng``, whatever was drawn before.

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
    pairs: tuple[ViewGroup, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def draw(self, rng: np.random.Generator) -> ViewGroup | None:
        """Return any of the pairs, or None if there are none."""
        return self.pairs[rng.integers(len(self.pairs))] if self.pairs else None


def fix_pairs(source: PairSource, count: int) -> FixedPairs:
    """Draw at most ``count`` pairs from a source, always the same; failed draws are left out."""
    drawn = (source.draw(np.random.default_rng([VALIDATION_SEED, i])) for i in range(count))
    return FixedPairs(source.detector, tuple(pair for pair in drawn if pair is not None))
