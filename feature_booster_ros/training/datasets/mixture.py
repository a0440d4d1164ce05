# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Mix sources by weight and draw the pairs of each step.

A pair depends on the seed, the step and its place in the batch alone, not on the pairs before it or
the process that draws it. So a resumed run draws the pairs that it would have drawn without the
interruption, and any number of processes share the pairs of one.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from .batches import POSITIVE_RADIUS
from .pairs import PairSource, ViewGroup
from .sources import OpeningContext, PairSourceSpecification, open_training

logger = logging.getLogger(__name__)

MAX_DRAWS = 100
"""Draws in a row that may fail."""
CHUNK = 64
"""Features whose correspondences are searched at a time."""


@dataclass(frozen=True, eq=False)
class StepPairs:
    """A process's pairs of a step.

    Attributes:
        pairs: The views of each draw.
        skipped: (S,) number of draws of each source that gave no pair.
    """

    pairs: list[ViewGroup]
    skipped: np.ndarray


class PairMixture:
    """Pairs of several sources.

    Args:
        sources: Sources to draw from.
        names: Names of the sources, for messages.
        weights: Weights of the sources, above 0.
        seed: Seed of the draws.
        features: Most features of an image; of more, this many are drawn at random.
    """

    def __init__(
        self,
        sources: Sequence[PairSource],
        names: Sequence[str],
        weights: Sequence[float],
        seed: int,
        features: int,
    ) -> None:
        self.sources = sources
        self.names = names
        self._shares = np.asarray(weights, float) / np.sum(weights)
        self._seed = seed
        self._features = features
        self._warned: set[int] = set()

    def __len__(self) -> int:
        """Return the number of pairs of an epoch."""
        return sum(map(len, self.sources))

    def draw_step(self, step: int, items: Iterable[int]) -> StepPairs:
        """Draw the pairs at some places of a step's batch.

        A draw that fails, or that gives a pair without correspondences, is counted and repeated.

        Raises:
            ValueError: None of ``MAX_DRAWS`` draws in a row gave a pair; the message names the
                source.
        """
        skipped = np.zeros(len(self.sources), np.int64)
        pairs = []
        for item in items:
            rng = np.random.default_rng([self._seed, step, item])
            chosen = int(rng.choice(len(self.sources), p=self._shares))
            pair, draws = self._draw(chosen, rng)
            skipped[chosen] += draws
            pairs.append(pair)
        return StepPairs(pairs, skipped)

    def _draw(self, chosen: int, rng: np.random.Generator) -> tuple[ViewGroup, int]:
        broken: Exception | None = None
        for draws in range(MAX_DRAWS):
            try:
                pair = self.sources[chosen].draw(rng)
            except (OSError, ValueError, cv2.error) as error:
                pair, broken = None, error
                self._warn(chosen, error)
            if pair is not None:
                pair = thin(pair, self._features, rng)
                if has_correspondence(pair):
                    return pair, draws
        raise ValueError(
            f"{self.names[chosen]}: none of {MAX_DRAWS} pairs in a row can be used"
            + (f": {broken}" if broken else "; they are empty or have no correspondences")
        ) from broken

    def _warn(self, chosen: int, error: Exception) -> None:
        if chosen not in self._warned:
            self._warned.add(chosen)
            logger.warning(
                "%s: a pair is broken: %s; others are counted", self.names[chosen], error
            )


def thin(group: ViewGroup, features: int, rng: np.random.Generator) -> ViewGroup:
    """Return views with at most so many features of each, drawn at random."""
    kept = [rng.permutation(len(whole))[:features] for whole in group.features]
    return ViewGroup(
        tuple(whole.select(rows) for whole, rows in zip(group.features, kept, strict=True)),
        group.shapes,
        tuple(
            (there[kept[first]], back[kept[second]])
            for (first, second), (there, back) in zip(group.pairs, group.seen_at, strict=True)
        ),
    )


def has_correspondence(group: ViewGroup) -> bool:
    """Return whether any two features are positive, as :func:`.batches.label_pairs` defines it."""
    for pair, (there, back) in zip(group.pairs, group.seen_at, strict=True):
        first, second = (group.features[view].keypoints for view in pair)
        for start in range(0, len(first), CHUNK):  # mostly the first chunk has one
            rows = slice(start, start + CHUNK)
            in_second = np.abs(there[rows, None, :2] - second) <= POSITIVE_RADIUS
            in_first = np.abs(first[rows, None] - back[:, :2]) <= POSITIVE_RADIUS
            if (in_second & in_first).all(axis=-1).any():
                return True
    return False


def open_mixture(
    specifications: Sequence[PairSourceSpecification],
    context: OpeningContext,
    seed: int,
    features: int,
) -> PairMixture:
    """Open the sources that a run names.

    Raises:
        FileNotFoundError, ValueError: As :func:`.sources.open_training`.
    """
    return PairMixture(
        [open_training(specification, context) for specification in specifications],
        source_names(specifications),
        [specification.weight for specification in specifications],
        seed,
        features,
    )


def source_names(specifications: Sequence[PairSourceSpecification]) -> list[str]:
    """Return a short and unique name of each source."""
    labels = [specification.label for specification in specifications]
    return [
        label if labels.count(label) == 1 else f"{label}#{number}"
        for number, label in enumerate(labels, 1)
    ]


class _StepDataset(Dataset):
    """The pairs of every step by its number; each worker process opens the sources."""

    def __init__(self, open_sources: Callable[[], PairMixture], items: range) -> None:
        self._open = open_sources
        self._items = items
        self._mixture: PairMixture | None = None

    def __getitem__(self, step: int) -> StepPairs:
        if self._mixture is None:
            self._mixture = self._open()
        return self._mixture.draw_step(step, self._items)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mixture": None}


def step_loader(
    open_sources: Callable[[], PairMixture], steps: range, items: range, workers: int
) -> DataLoader:
    """Return a loader of the :class:`StepPairs` of some steps, in order.

    Args:
        open_sources: Function that opens the mixture; picklable if there are workers.
        steps: Numbers of the steps.
        items: Places in the batch that this process fills.
        workers: Processes that draw ahead; 0 to draw in this one.
    """
    return DataLoader(
        _StepDataset(open_sources, items),
        sampler=steps,
        batch_size=None,
        num_workers=workers,
        collate_fn=_unchanged,
        worker_init_fn=_quiet_worker,
        # Spawned and not forked: a fork of a process whose OpenCV has threads may hang.
        multiprocessing_context="spawn" if workers else None,
        # Without its generator, the loader draws from the one that dropout uses.
        generator=torch.Generator(),
    )


def _unchanged(pairs: Any) -> Any:
    return pairs


def _quiet_worker(_: int) -> None:
    cv2.setNumThreads(1)
    # Ctrl-C reaches every process of the terminal, and `timeout` sends SIGTERM to all of a group;
    # the trainer ends the workers when it stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
