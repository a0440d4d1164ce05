# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Units of the encoders that training has left without use, set to exactly zero.

A ReLU that no feature makes fire adds nothing, and gets no gradient that would change it; of
SIFT+Boost-F's descriptor encoder that is half of the first layer and nearly all of the second. Set
to zero, an engine leaves them out (:mod:`feature_booster_ros.booster.pruning`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..booster import FeatureBooster
from ..booster.descriptors import network_input
from .datasets.batches import PairBatch

SILENCE_BATCHES = 30
"""Batches of pairs to look for units by: hundreds of thousands of features."""

_KEYPOINTS = 1 << 18
_POSITION, _SMALLEST, _LARGEST = 2.0, 0.3, 300.0
"""Random keypoints lie within this square, and within these scales: beyond what cameras give."""


@torch.no_grad()
def silence_units(network: FeatureBooster, batches: Iterable[PairBatch]) -> int:
    """Sets to zero what leads into and out of hidden units that never fire; returns how many.

    The keypoint encoder's must not fire for random keypoints either, of any place, scale and angle:
    photographs of one size show few of them.

    Args:
        network: changed in place; gives the same for every feature in ``batches``.
        batches: features to look by.
    """
    fires: dict[nn.Linear, Tensor] = {}
    for batch in batches:
        present = ~batch.padding
        if network.denc is not None:
            descriptors = network_input(batch.descriptors[present], network.config)
            _watch(network.denc.encoder, descriptors, fires)
        if network.kenc is not None:
            _watch(network.kenc.encoder, batch.keypoints[present], fires)
    if network.kenc is not None and network.config.keypoint_dim == 4:
        _watch(network.kenc.encoder, _any_keypoints(), fires)
    silenced = 0
    for encoder in (network.denc, network.kenc):
        if encoder is None:
            continue
        layers = [layer for layer in encoder.encoder if isinstance(layer, nn.Linear)]
        for layer, following in zip(layers[:-1], layers[1:], strict=True):
            silent = ~fires[layer]
            layer.weight[silent] = 0
            layer.bias[silent] = 0
            following.weight[:, silent] = 0
            silenced += int(silent.sum())
    return silenced


def _watch(mlp: nn.Sequential, inputs: Tensor, fires: dict[nn.Linear, Tensor]) -> None:
    """Notes which units of the hidden layers fire for inputs (M, K)."""
    layers = [layer for layer in mlp if isinstance(layer, nn.Linear)]
    for layer in layers[:-1]:
        inputs = torch.relu(layer(inputs))
        fired = (inputs > 0).any(dim=0)
        fires[layer] = fires[layer] | fired if layer in fires else fired


def _any_keypoints() -> Tensor:
    """(M, 4) of any place, scale and angle."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(_KEYPOINTS, 4, generator=generator)
    drawn[:, :2] = _POSITION * (2 * drawn[:, :2] - 1)
    drawn[:, 2] = _SMALLEST * (_LARGEST / _SMALLEST) ** drawn[:, 2]
    drawn[:, 3] *= 2 * math.pi
    return drawn
