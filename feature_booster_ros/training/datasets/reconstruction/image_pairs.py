# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which images of a collection are worth matching."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ....features import Features
from ....matching import match
from ....progress import Progress

EXHAUSTIVE_LIMIT = 60
"""Up to so many images, every pair is matched."""
NEIGHBOURS = 10
"""Else: images after an image, by name, with which it is matched..."""
CANDIDATES = 20
"""... and others that look most like it."""
COARSE_FEATURES = 200
FEWEST_COARSE_MATCHES = 4


def choose_pairs(features: Sequence[Features], ratio: float, device: str) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of images to be matched, sorted.

    All of them in a small collection. In a larger one the images that follow one another, and for
    each image those that share most matches among the coarsest features, which are few and are
    seen from afar (preemptive matching: Wu, "Towards Linear-Time Incremental Structure from
    Motion", 3DV 2013). No vocabulary has to be learnt or downloaded, and any descriptor will do.

    Args:
        features: of the images, in the order in which they were taken, if there is one.
        ratio: of the ratio test.
        device: where to match.
    """
    count = len(features)
    if count <= EXHAUSTIVE_LIMIT:
        return list(itertools.combinations(range(count), 2))
    pairs = {
        (first, second)
        for first in range(count)
        for second in range(first + 1, min(first + 1 + NEIGHBOURS, count))
    }
    return sorted(pairs | _look_alike(features, ratio, device))


def _look_alike(features: Sequence[Features], ratio: float, device: str) -> set[tuple[int, int]]:
    count = len(features)
    coarse = [
        each.select(np.argsort(-each.scales, kind="stable")[:COARSE_FEATURES]) for each in features
    ]
    shared = np.zeros((count, count), np.int32)
    total = count * (count - 1) // 2
    for first, second in Progress(itertools.combinations(range(count), 2), "retrieval", total):
        matches = match(coarse[first], coarse[second], ratio=ratio, device=device)
        shared[first, second] = shared[second, first] = len(matches)
    best = np.argsort(-shared, axis=1, kind="stable")[:, :CANDIDATES]
    return {
        (min(first, second), max(first, second))
        for first in range(count)
        for second in best[first].tolist()
        if shared[first, second] >= FEWEST_COARSE_MATCHES
    }
