# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Balanced bits: batch normalization before the signs, and signs that become hard while training.

A bit that is the same for most features tells little. So each output is normalized over the batch,
without affine parameters, and its sign is positive for about half of the features. The weights that
are saved have the normalization in their last layer.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..booster import FeatureBooster
from ..booster.descriptors import network_input
from .datasets.batches import PairBatch
from .losses import soft_signs

MOMENT_BATCHES = 20
"""Batches over which the moments of the saved weights are measured."""
EPSILON = 1e-5
"""Added to variances, so that a constant output stays finite."""
HARD_SHARE = 0.3
"""Share of the steps, at the end, in which the loss sees hard signs."""
MIN_GAIN, MAX_GAIN = 1.0, 3.0
"""Gain of the tanh in the first step, and in the first of the steps with hard signs."""


def normalize_outputs(outputs: Tensor, padding: Tensor) -> Tensor:
    """Normalize outputs to mean 0 and variance 1 over the features of a batch.

    Args:
        outputs: (W, N, D).
        padding: (W, N) bool, True where there is no feature.
    """
    mean, variance = _moments(outputs, padding)
    return (outputs - mean) * (variance + EPSILON).rsqrt()


def ramped_signs(outputs: Tensor, progress: float) -> Tensor:
    """Return tanh(gain x output) with a growing gain, then signs with the gradient of the last one.

    Args:
        outputs: (..., D) normalized outputs.
        progress: Share of the steps that are done, 0 to 1.
    """
    ramp = min(1.0, progress / (1 - HARD_SHARE))
    soft = soft_signs(outputs, MIN_GAIN + (MAX_GAIN - MIN_GAIN) * ramp)
    if ramp < 1:
        return soft
    signs = torch.where(outputs >= 0, 1.0, -1.0)
    return soft + (signs - soft).detach()


@torch.no_grad()
def fold_normalization(network: FeatureBooster, batches: Iterable[PairBatch]) -> None:
    """Put the normalization of the outputs into the last layer.

    Args:
        network: Network without activation after the last layer; changed in place.
        batches: Features to measure the moments over, on the network's device.
    """
    network.eval()
    moments = []
    for batch in batches:
        inputs = network_input(batch.descriptors, network.config)
        mean, variance = _moments(network(inputs, batch.keypoints, batch.padding), batch.padding)
        moments.append(torch.stack([mean, variance + mean.square()]))
    mean, square = torch.stack(moments).mean(0)
    deviation = (square - mean.square() + EPSILON).sqrt()
    last = network.final_proj
    last.weight.div_(deviation.unsqueeze(-1))
    last.bias.sub_(mean).div_(deviation)


def _moments(outputs: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance (D,) of the outputs of features."""
    present = (~padding).unsqueeze(-1).to(outputs.dtype)
    count = present.sum().clamp_min(1)
    mean = (outputs * present).sum((0, 1)) / count
    variance = ((outputs - mean).square() * present).sum((0, 1)) / count
    return mean, variance
