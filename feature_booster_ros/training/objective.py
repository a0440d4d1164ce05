# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of a step of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..booster import FeatureBooster
from ..booster.descriptors import network_input
from ..features.extractor import extractor_class
from .bits import normalize_outputs, ramped_signs
from .datasets.batches import PairBatch
from .losses import (
    booster_loss,
    fast_ap,
    generalized_cross_entropy,
    matching_reward,
    pairwise_distances,
    soft_signs,
    straight_through_signs,
)
from .settings import TrainingSettings

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Measures:
    """A process's share of the batch; the shares of all processes sum to the batch's values.

    Attributes:
        loss: Loss, with its gradient.
        logged: What the log shows beside it. Of fastap and reward, the mean average precisions
            ``ap`` of the boosted and ``raw_ap`` of the raw descriptors; of gce, for each positive,
            the expected number of ``wrong`` matches and the ``probability`` of the right one.
    """

    loss: Tensor
    logged: Mapping[str, Tensor]


def label_counts(batch: PairBatch) -> Tensor:
    """Return what the loss is divided by.

    Returns:
        (3,) counts of what has a positive: features of the first images, of the second, and pairs.
    """
    return torch.stack(
        [
            batch.positive.any(-1).sum(),
            batch.positive.any(-2).sum(),
            batch.positive.flatten(1).any(-1).sum(),
        ]
    ).float()


def training_objective(
    network: FeatureBooster,
    batch: PairBatch,
    settings: TrainingSettings,
    counts: Tensor | None = None,
    progress: float = 0.0,
) -> Measures:
    """Return the loss of some pairs.

    Args:
        network: Network in training mode.
        batch: Pairs of this process.
        settings: Precision, losses and their weights.
        counts: :func:`label_counts` of the whole batch, if other processes have pairs of it.
        progress: Share of the run's steps that are done, 0 to 1.
    """
    boosted = boost_batch(network, batch, settings, progress)
    counts = label_counts(batch) if counts is None else counts
    if settings.loss == "gce":
        if network.config.binary:
            boosted = boosted / boosted.shape[-1] ** 0.5
        # The reward's temperature is that of a quarter of the largest distance: half a cosine.
        first, second = boosted[batch.pairs]
        loss, wrong, probability = generalized_cross_entropy(
            first,
            second,
            batch.positive,
            batch.negative,
            2 * settings.temperature,
            settings.wrong_weight,
            counts[0],
        )
        return Measures(loss, {"wrong": wrong, "probability": probability})
    return _ranking_objective(network, batch, settings, counts, boosted)


def _ranking_objective(
    network: FeatureBooster,
    batch: PairBatch,
    settings: TrainingSettings,
    counts: Tensor,
    boosted: Tensor,
) -> Measures:
    """Return the paper's loss and the matching reward, by their weights."""
    config = network.config
    first, second = batch.pairs
    distances, largest = pairwise_distances(boosted[first], boosted[second], config.binary)
    with torch.no_grad():
        raw_distances, raw_largest = pairwise_distances(
            batch.descriptors[first],
            batch.descriptors[second],
            extractor_class(config.detector).is_binary,
        )
    fastap_weight, boost_weight, reward_weight = settings.loss_weights
    loss = boosted.new_zeros(())
    ap_sum, raw_ap_sum = boosted.new_zeros(()), boosted.new_zeros(())
    for back in (False, True):
        positive, negative, d, raw_d = (
            t.transpose(-1, -2) if back else t
            for t in (batch.positive, batch.negative, distances, raw_distances)
        )
        queries = counts[int(back)].clamp_min(1)
        valid = positive.any(-1)
        with torch.no_grad():
            raw_ap = fast_ap(raw_d, positive, negative, raw_largest, settings.bins)
        # Without a weight the average precision is only logged.
        with torch.set_grad_enabled(fastap_weight + boost_weight > 0):
            ap = fast_ap(d, positive, negative, largest, settings.bins)
        if ap.requires_grad:
            loss = loss + 0.5 * booster_loss(
                ap, raw_ap, valid, boost_weight, fastap_weight, queries
            )
        ap_sum = ap_sum + torch.where(valid, ap.detach(), 0.0).sum() / queries / 2
        raw_ap_sum = raw_ap_sum + torch.where(valid, raw_ap, 0.0).sum() / queries / 2
    if reward_weight:
        rewards = matching_reward(
            distances,
            largest,
            batch.positive,
            batch.negative,
            batch.padding[batch.pairs],
            settings.temperature,
            settings.wrong_weight,
        )
        # Pairs without positives have only wrong matches; they are left out, as their queries are.
        counted = batch.positive.flatten(1).any(-1)
        reward = torch.where(counted, rewards, 0.0).sum() / counts[2].clamp_min(1)
        loss = loss - reward_weight * reward
    return Measures(loss, {"ap": ap_sum, "raw_ap": raw_ap_sum})


def boost_batch(
    network: FeatureBooster, batch: PairBatch, settings: TrainingSettings, progress: float = 0.0
) -> Tensor:
    """Return the boosted descriptors with their gradient.

    Returns:
        (W, N, D) float32: unit rows, or the signs or soft signs of a binary model.
    """
    config, precision = network.config, settings.precision
    inputs = network_input(batch.descriptors, config)
    dtype = _AUTOCAST.get(precision, torch.bfloat16)
    with torch.autocast(inputs.device.type, dtype, enabled=precision in _AUTOCAST):
        boosted = network(inputs, batch.keypoints, batch.padding)
    boosted = boosted.float()
    if config.binary and settings.loss == "gce":
        return ramped_signs(normalize_outputs(boosted, batch.padding), progress)
    if config.binary:
        gain = settings.soft_signs
        return soft_signs(boosted, gain) if gain else straight_through_signs(boosted)
    return torch.nn.functional.normalize(boosted, dim=-1) if config.l2_normalization else boosted
