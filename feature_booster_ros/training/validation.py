# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Score raw and boosted features on pairs that training does not see."""

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
from .datasets.pairs import FixedPairs, ViewGroup


@dataclass(frozen=True)
class Validation:
    """Scores by the name of the source, of those sources that have pairs to validate on.

    Attributes:
        raw: Scores of the raw features.
        boosted: Scores of the boosted features.
    """

    raw: Mapping[str, MatchingScore]
    boosted: Mapping[str, MatchingScore]

    def summary(self) -> dict[str, dict[str, float]]:
        """Return what the log shows of each source."""
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
        """Return the measure by which the best weights of a run are chosen.

        Returns:
            Correct matches relative to the raw features', averaged over the sources. None, which is
            never the best, if the mean matching accuracy is below the raw features': more matches
            that are less often right are no gain.
        """
        entries = self.summary().values()
        if not entries:
            return None
        gain = np.mean([entry["accuracy"] - entry["accuracy_raw"] for entry in entries])
        ratio = float(np.mean([entry["correct_ratio"] for entry in entries]))
        return ratio if gain >= 0 else None


class Validator:
    """Scores weights on the pairs of several sources.

    Args:
        pairs: Pairs by the name of their source.
        device: Device of the network and of matching.
    """

    def __init__(self, pairs: Mapping[str, FixedPairs], device: torch.device) -> None:
        self._pairs = {name: fixed.pairs for name, fixed in pairs.items() if fixed.pairs}
        self._device = str(device)
        self._raw = {
            name: score_pairs(fixed, device=self._device) for name, fixed in self._pairs.items()
        }

    def __call__(self, config: ModelConfig, weights: Mapping[str, Tensor]) -> Validation:
        """Return the scores of a network's weights."""
        network = FeatureBooster(config)
        network.load_state_dict(dict(weights))
        # The weights serve for a few pairs only, so compiling for them does not pay.
        booster = Booster(network, self._device, "fp32", "eager")
        boosted = {
            name: score_pairs(pairs, booster, self._device) for name, pairs in self._pairs.items()
        }
        return Validation(self._raw, boosted)


def score_pairs(
    pairs: Sequence[ViewGroup],
    boost: Callable[[Features, tuple[int, int]], Features] | None = None,
    device: str = "cpu",
) -> MatchingScore:
    """Score the mutual nearest neighbors of pairs by where the other image shows their points.

    A match of a feature whose place in the other image is unknown does not count.

    Args:
        pairs: At least one pair.
        boost: Function from features and image shape to features, such as a Booster, or None for
            raw features.
        device: Device of matching.
    """
    errors, counts, points = [], [], []
    for pair in pairs:
        first, second = (
            features if boost is None else boost(features, shape)
            for features, shape in zip(pair.features, pair.shapes, strict=True)
        )
        matches = match(first, second, device=device).indices
        truth = pair.seen_at[0][0][matches[:, 0], :2]
        known = ~np.isnan(truth).any(axis=1)
        found = second.keypoints[matches[:, 1]]
        errors.append(np.linalg.norm(truth[known] - found[known], axis=1))
        points.append(first.keypoints[matches[known, 0]])
        counts.append((len(first) + len(second)) / 2)
    return score_matches(counts, errors, points)
