# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An inverted index: for each word, the images that have it."""

from __future__ import annotations

from array import array
from collections import defaultdict

import numpy as np

from .vocabulary import BagOfWords


class ImageIndex:
    """Images to query by their words. Images are numbered in the order in which they are added."""

    def __init__(self) -> None:
        # Arrays grow as lists do, and NumPy reads them without a copy.
        self._images: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        self._values: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, image: BagOfWords) -> int:
        """Add an image and return its number."""
        for word, value in zip(image.words.tolist(), image.values.tolist(), strict=True):
            self._images[word].append(self._count)
            self._values[word].append(value)
        self._count += 1
        return self._count - 1

    def query(self, image: BagOfWords, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the most similar images.

        Args:
            image: To find.
            count: Most images to return.

        Returns:
            Their numbers (M,) int64, the most similar first, and their scores (M,) as
            :func:`.vocabulary.similarity`. Images without a word in common are left out.
        """
        scores = np.zeros(self._count)
        for word, value in zip(image.words.tolist(), image.values.tolist(), strict=True):
            if word in self._images:
                values = np.frombuffer(self._values[word], np.float64)
                scores[np.frombuffer(self._images[word], np.int64)] += np.minimum(values, value)
        best = np.argsort(-scores, kind="stable")[:count]
        best = best[scores[best] > 0]
        return best, scores[best]
