# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every kind of training data comes down to: features of two images, and where each is seen in
the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ...features import Features

NOWHERE = np.inf
"""Coordinate of a point that the other image surely does not show."""
UNKNOWN = np.nan
"""Coordinate of a point of which nobody knows whether the other image shows it."""


@dataclass(frozen=True, eq=False)
class FeaturePair:
    """The features of two images of one scene.

    Attributes:
        features: of the first and of the second image, M and N of them.
        shapes: (height, width) of both images in pixels.
        seen_at: (M, 2) float32, the pixels of the second image that show the points of the first
            image's features, and (N, 2) the other way round. A point outside the other image may
            have the pixel where it would be; one that is hidden there is at ``NOWHERE``; a point
            whose depth is not known is at ``UNKNOWN``, and takes no part in the loss.
    """

    features: tuple[Features, Features]
    shapes: tuple[tuple[int, int], tuple[int, int]]
    seen_at: tuple[np.ndarray, np.ndarray]


class PairSource(ABC):
    """Pairs from one kind of data.

    Attributes:
        detector: name of the extractor whose features the pairs hold.
    """

    detector: str

    @abstractmethod
    def __len__(self) -> int:
        """Pairs that make an epoch."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> FeaturePair | None:
        """A random pair; the same for the same state of ``rng``, whatever was drawn before.

        None where the draw came to nothing: an image that cannot be read, no overlap, no
        correspondences. The caller counts that and draws again.
        """
