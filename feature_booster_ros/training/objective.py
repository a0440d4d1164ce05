# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of a step of training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..booster import FeatureBooster
from ..booster.descriptors import network_input
from ..features.extractor import extractor_class
from .datasets.batches import PairBatch
from .losses import (
    booster_loss,
    fast_ap,
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
        loss: Loss of both directions, with its gradient.
        ap: Mean average precision of the boosted descriptors.
        raw_ap: Mean average precision of the raw descriptors.
    """

    loss: Tensor
    ap: Tensor
    raw_ap: Tensor


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
) -> Measures:
    """Return the loss of some pairs.

    Args:
        network: Network in training mode.
        batch: Pairs of this process.
        settings: Precision, losses and their weights.
        counts: :func:`label_counts` of the whole batch, if other processes have pairs of it.
    """
    config = network.config
    boosted = boost_batch(network, batch, settings)
    distances, largest = pairwise_distances(boosted[0], boosted[1], config.binary)
    with torch.no_grad():
        raw_distances, raw_largest = pairwise_distances(
            batch.descriptors[0],
            batch.descriptors[1],
            extractor_class(config.detector).is_binary,
        )
    counts = label_counts(batch) if counts is None else counts
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
            batch.padding,
            settings.temperature,
            settings.wrong_weight,
        )
        # Pairs without positives have only wrong matches; they are left out, as their queries are.
        counted = batch.positive.flatten(1).any(-1)
        reward = torch.where(counted, rewards, 0.0).sum() / counts[2].clamp_min(1)
        loss = loss - reward_weight * reward
    return Measures(loss, ap_sum, raw_ap_sum)


def boost_batch(network: FeatureBooster, batch: PairBatch, settings: TrainingSettings) -> Tensor:
    """Return the boosted descriptors with their gradient.

    Returns:
        (2, B, N, D) float32: unit rows, or the signs or soft signs of a binary model.
    """
    config, precision = network.config, settings.precision
    inputs = network_input(batch.descriptors, config)
    dtype = _AUTOCAST.get(precision, torch.bfloat16)
    with torch.autocast(inputs.device.type, dtype, enabled=precision in _AUTOCAST):
        boosted = network(inputs, batch.keypoints, batch.padding)
    boosted = boosted.float()
    if config.binary:
        gain = settings.soft_signs
        return soft_signs(boosted, gain) if gain else straight_through_signs(boosted)
    return torch.nn.functional.normalize(boosted, dim=-1) if config.l2_normalization else boosted
