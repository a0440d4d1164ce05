# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A hierarchical vocabulary of binary descriptors (Galvez-Lopez and Tardos, TRO 2012).

Descriptors become visual words by descending a tree to the child that is nearest in bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..features import Features
from ..matching.nearest import ONES_OF_BYTE


@dataclass(frozen=True, eq=False)
class BagOfWords:
    """The words of an image, as a sparse vector of norm 1 (the sum of its values).

    Attributes:
        words: (M,) int64, rising.
        values: (M,) float64, share of each word, weighted by its inverse document frequency.
    """

    words: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A tree of binary descriptors. Node 0 is the root; a parent precedes its children.

    Attributes:
        branching: Most children of a node (k of DBoW2).
        depth: Most levels below the root (L of DBoW2).
        parents: (N,) int64 of each node; -1 for the root.
        descriptors: (N, B) uint8 packed bits; those of the root are not used.
        weights: (N,) float64, inverse document frequency of a leaf, 0 of other nodes.

    Raises:
        ValueError: The arrays do not describe such a tree.
    """

    branching: int
    depth: int
    parents: np.ndarray
    descriptors: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.parents)
        if len(self.descriptors) != count or len(self.weights) != count or count < 2:
            raise ValueError(
                f"a vocabulary needs 2 nodes or more, and a descriptor and a weight of each, not "
                f"{count} parents, {len(self.descriptors)} and {len(self.weights)}"
            )
        wrong = (self.parents >= np.arange(count)) | (self.parents < 0)
        if self.parents[0] != -1 or wrong[1:].any():
            raise ValueError("a vocabulary's parents must precede their children")
        if np.bincount(self.parents[1:]).max() > self.branching:
            raise ValueError(f"a node of the vocabulary has more than {self.branching} children")

    @cached_property
    def leaves(self) -> np.ndarray:
        """(W,) int64 node of each word, in the order of the nodes."""
        is_leaf = np.ones(len(self.parents), bool)
        is_leaf[self.parents[1:]] = False
        return np.flatnonzero(is_leaf)

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self.leaves)

    @cached_property
    def _children(self) -> np.ndarray:
        """(N, k) int64 children of each node, -1 for none."""
        children = np.full((len(self.parents), self.branching), -1)
        order = np.argsort(self.parents[1:], kind="stable") + 1
        parents = self.parents[order]
        first = np.searchsorted(parents, parents)
        children[parents, np.arange(len(order)) - first] = order
        return children

    @cached_property
    def _word_of_node(self) -> np.ndarray:
        words = np.full(len(self.parents), -1)
        words[self.leaves] = np.arange(len(self.leaves))
        return words

    def words(self, descriptors: np.ndarray) -> np.ndarray:
        """Return the word (M,) int64 of each descriptor (M, B) uint8.

        Raises:
            ValueError: The descriptors are of another length or type.
        """
        width = self.descriptors.shape[1]
        if descriptors.dtype != np.uint8 or descriptors.shape[1:] != (width,):
            raise ValueError(
                f"descriptors must have shape (M, {width}) and type uint8, as the vocabulary's, "
                f"not {descriptors.shape} and {descriptors.dtype}"
            )
        nodes = np.zeros(len(descriptors), np.int64)
        active = np.arange(len(descriptors))
        while len(active):
            children = self._children[nodes[active]]
            bits = self.descriptors[children] ^ descriptors[active, None]
            distances = ONES_OF_BYTE[bits].sum(axis=2, dtype=np.int64)
            distances[children < 0] = 8 * width + 1
            best = distances.argmin(axis=1)
            nodes[active] = children[np.arange(len(active)), best]
            active = active[self._word_of_node[nodes[active]] < 0]
        return self._word_of_node[nodes]

    def describe(self, features: Features) -> BagOfWords:
        """Return the weighted words of an image; those without weight are left out.

        Raises:
            ValueError: The descriptors are not binary or of another length.
        """
        words, counts = np.unique(self.words(features.descriptors), return_counts=True)
        values = counts * self.weights[self.leaves[words]]
        words, values = words[values > 0], values[values > 0]
        return BagOfWords(words, values / values.sum() if len(values) else values)


def similarity(a: BagOfWords, b: BagOfWords) -> float:
    """Return the L1 score of two images, from 0 (no word in common) to 1 (equal).

    It is 1 - |a - b| / 2, which is the sum of the smaller values of the common words.
    """
    _, in_a, in_b = np.intersect1d(a.words, b.words, assume_unique=True, return_indices=True)
    return float(np.minimum(a.values[in_a], b.values[in_b]).sum())
