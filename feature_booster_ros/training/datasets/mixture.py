# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Batches of pairs of which every one has a random generator of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch

from .batches import PairBatch, collate
from .feature_pair import FeaturePair, PairSource

MOST_DRAWS = 100
"""Draws in a row that may come to nothing."""


def pair_batches(
    source: PairSource,
    batch: int,
    features: int,
    keypoint_dim: int,
    seed: int,
    device: torch.device,
) -> Iterator[PairBatch]:
    """Endless batches; pair i of step s is drawn with the generator of [seed, s, i]."""
    for step in count(1):
        generators = [np.random.default_rng([seed, step, item]) for item in range(batch)]
        pairs = [draw_pair(source, rng) for rng in generators]
        yield collate(pairs, features, keypoint_dim, np.random.default_rng([seed, step]), device)


def draw_pair(source: PairSource, rng: np.random.Generator) -> FeaturePair:
    """The first draw that comes to something; ValueError if none of 100 does."""
    for _ in range(MOST_DRAWS):
        pair = source.draw(rng)
        if pair is not None:
            return pair
    raise ValueError(f"none of {MOST_DRAWS} draws in a row gave a pair")
