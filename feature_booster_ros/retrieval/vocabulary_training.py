# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train a vocabulary by k-medians in Hamming space, level by level.

The median of a cluster has each bit as most of its descriptors have it, which minimizes the sum of
the Hamming distances. The first medians are chosen as k-means++ does (Arthur and Vassilvitskii,
SODA 2007). Descriptors stay packed, 32 bytes each of 256 bits, so that ten million take 320 MB.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..progress import Progress
from .vocabulary import Vocabulary

MAX_ITERATIONS = 10
"""Most rounds of k-medians; further ones hardly move a median."""
_CHUNK = 65_536
"""Descriptors that are unpacked together, or of which the first medians are chosen."""


def check_tree(branching: int, depth: int) -> None:
    """Raise a ValueError if a vocabulary cannot have such a tree."""
    if branching < 2 or depth < 1:
        raise ValueError(
            f"branching must be at least 2 and depth at least 1, not {branching} and {depth}"
        )


def train_vocabulary(
    images: Sequence[np.ndarray], branching: int = 10, depth: int = 4, seed: int = 0
) -> Vocabulary:
    """Train a vocabulary with TF-IDF weights.

    Args:
        images: Descriptors (M, B) uint8 of each image.
        branching: Children of a node, 2 or more.
        depth: Levels below the root; there are at most branching ** depth words.
        seed: Of the first medians.

    Raises:
        ValueError: There are too few descriptors, or an argument is out of range.
    """
    check_tree(branching, depth)
    total = sum(map(len, images))
    if total <= branching:
        raise ValueError(
            f"{total} descriptors are too few for a vocabulary of {branching} children a node: "
            "give more images"
        )
    rows = np.concatenate(images)
    rng = np.random.default_rng(seed)
    parents, medians = [-1], [np.zeros(rows.shape[1], np.uint8)]
    level = [(0, np.arange(len(rows)))]
    with Progress(desc="vocabulary: descriptors placed", total=len(rows) * depth) as progress:
        for _ in range(depth):
            following = []
            for node, members in level:
                clusters, labels = _cluster(rows[members], branching, rng)
                for label, median in enumerate(clusters):
                    parents.append(node)
                    medians.append(median)
                    # A child of one kind of descriptor is a word already.
                    inside = members[labels == label]
                    if len(clusters) > 1 and len(inside) > 1:
                        following.append((len(parents) - 1, inside))
                progress.update(len(members))
            level = following
    tree = Vocabulary(
        branching, depth, np.array(parents), np.array(medians), np.zeros(len(parents))
    )
    return _weighted(tree, images)


def _weighted(tree: Vocabulary, images: Sequence[np.ndarray]) -> Vocabulary:
    """Return the vocabulary with the inverse document frequency of each word, 0 if it is unseen."""
    seen = np.zeros(len(tree))
    for rows in Progress(images, "vocabulary: weights"):
        seen[np.unique(tree.words(rows))] += 1
    weights = np.zeros(len(tree.parents))
    weights[tree.leaves] = np.where(seen > 0, np.log(len(images) / np.maximum(seen, 1)), 0.0)
    return Vocabulary(tree.branching, tree.depth, tree.parents, tree.descriptors, weights)


def _cluster(
    rows: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return at most ``count`` medians (K, B) uint8, none empty, and the label (M,) of each row."""
    if len(rows) <= count:
        medians, labels = np.unique(rows, axis=0, return_inverse=True)
        return medians, labels.ravel()
    medians = _first_medians(rows, count, rng)
    labels = np.full(len(rows), -1)
    for _ in range(MAX_ITERATIONS):
        before = labels
        _, nearest = cv2.batchDistance(rows, medians, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=1)
        used, labels = np.unique(nearest, return_inverse=True)
        labels = labels.ravel()
        if np.array_equal(before, labels):
            medians = medians[used]
            break
        medians = np.stack([_median(rows[labels == label]) for label in range(len(used))])
    return medians, labels


def _median(rows: np.ndarray) -> np.ndarray:
    """Return (B,) uint8, each bit as at least half of the rows (M, B) have it."""
    ones = np.zeros(8 * rows.shape[1], np.int64)
    for start in range(0, len(rows), _CHUNK):
        ones += np.unpackbits(rows[start : start + _CHUNK], axis=1).sum(axis=0, dtype=np.int64)
    return np.packbits(2 * ones >= len(rows))


def _first_medians(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return up to ``count`` different rows, each drawn by its squared distance from the others."""
    sample = rows if len(rows) <= _CHUNK else rows[rng.choice(len(rows), _CHUNK, replace=False)]
    chosen = [int(rng.integers(len(sample)))]
    nearest = np.full(len(sample), np.inf)
    while len(chosen) < count:
        last = sample[chosen[-1]][None]
        bits, _ = cv2.batchDistance(sample, last, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=1)
        nearest = np.minimum(nearest, bits[:, 0].astype(np.float64) ** 2)
        if nearest.sum() == 0:
            break
        chosen.append(int(rng.choice(len(sample), p=nearest / nearest.sum())))
    return sample[chosen]
