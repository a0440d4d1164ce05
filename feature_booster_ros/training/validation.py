# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How well raw and boosted features match, on pairs that training does not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..booster import Booster, FeatureBooster, ModelConfig
from ..evaluation.metrics import MatchingScore, score_matches
from ..features import Features
from ..matching import match
from .datasets.feature_pair import FeaturePair
from .datasets.fixed_pairs import FixedPairs


@dataclass(frozen=True)
class Validation:
    """Of each source by name that has pairs to validate on, the raw and the boosted score."""

    raw: Mapping[str, MatchingScore]
    boosted: Mapping[str, MatchingScore]

    def summary(self) -> dict[str, dict[str, float]]:
        """By source, what a log shows."""
        return {
            name: {
                "correct": round(boosted.correct, 1),
                "correct_ratio": round(boosted.correct / max(self.raw[name].correct, 1e-9), 4),
                "accuracy": round(boosted.accuracy, 4),
                "accuracy_raw": round(self.raw[name].accuracy, 4),
            }
            for name, boosted in self.boosted.items()
        }

    def standing(self) -> float | None:
        """What the best weights of a run have most of: correct matches, as a multiple of raw's,
        averaged over the sources.

        None, never the best, where the matching accuracy averaged over the sources is below raw's:
        more matches that are less often right are no gain.
        """
        entries = self.summary().values()
        if not entries:
            return None
        gain = np.mean([entry["accuracy"] - entry["accuracy_raw"] for entry in entries])
        ratio = float(np.mean([entry["correct_ratio"] for entry in entries]))
        return ratio if gain >= 0 else None


class Validator:
    """Validates on the pairs of several sources.

    Args:
        pairs: of each source by name.
        device: where the network runs and matching is done.
    """

    def __init__(self, pairs: Mapping[str, FixedPairs], device: torch.device) -> None:
        self._pairs = {name: fixed.pairs for name, fixed in pairs.items() if fixed.pairs}
        self._device = str(device)
        self._raw = {
            name: score_pairs(fixed, device=self._device) for name, fixed in self._pairs.items()
        }

    def __call__(self, config: ModelConfig, weights: Mapping[str, Tensor]) -> Validation:
        """The score of a network's weights."""
        network = FeatureBooster(config)
        network.load_state_dict(dict(weights))
        # The weights are new each time, and used for some pairs: nothing to compile for.
        booster = Booster(network, self._device, "fp32", "eager")
        boosted = {
            name: score_pairs(pairs, booster, self._device) for name, pairs in self._pairs.items()
        }
        return Validation(self._raw, boosted)


def score_pairs(
    pairs: Sequence[FeaturePair],
    boost: Callable[[Features, tuple[int, int]], Features] | None = None,
    device: str = "cpu",
) -> MatchingScore:
    """Mutual nearest neighbors, raw or boosted, against where the other image shows them.

    A match of a feature of which that is not known counts neither as right nor as wrong.

    Args:
        pairs: at least one.
        boost: features and image shape in, features out, as a Booster; None for the features as
            they are.
        device: where matching is done.
    """
    errors, counts, points = [], [], []
    for pair in pairs:
        first, second = (
            features if boost is None else boost(features, shape)
            for features, shape in zip(pair.features, pair.shapes, strict=True)
        )
        matches = match(first, second, device=device).indices
        truth = pair.seen_at[0][matches[:, 0]]
        known = ~np.isnan(truth).any(axis=1)
        found = second.keypoints[matches[:, 1]]
        errors.append(np.linalg.norm(truth[known] - found[known], axis=1))
        points.append(first.keypoints[matches[known, 0]])
        counts.append((len(first) + len(second)) / 2)
    return score_matches(counts, errors, points)
