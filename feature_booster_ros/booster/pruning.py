# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Removal of the units of a network that have no effect.

Weights that are exactly 0 take as much time as others. The shipped SIFT+Boost-F and -B, whose
weights are 0 for units that never fire, need seven eighths of their arithmetic without them.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from .network import AttentionalLayer, FeatureBooster


@torch.no_grad()
def without_dead_units(network: FeatureBooster) -> FeatureBooster:
    """Return a copy in evaluation mode with the same results and less arithmetic.

    Its MLPs lack the hidden units that are not used, and those that are the same for all features.
    Only zeros are removed, so nothing is approximated.
    """
    pruned = copy.deepcopy(network).eval().requires_grad_(False)
    for encoder in (pruned.kenc, pruned.denc):
        if encoder is not None:
            encoder.encoder = prune_mlp(encoder.encoder)
    if pruned.attn_proj is not None:
        for layer in pruned.attn_proj.layers:
            assert isinstance(layer, AttentionalLayer)
            layer.ffn.mlp = prune_mlp(layer.ffn.mlp)
    return pruned


def prune_mlp(mlp: nn.Sequential) -> nn.Sequential:
    """Return an MLP of linear layers and ReLUs without the hidden units that have no effect."""
    weights: list[Tensor] = [layer.weight for layer in mlp if isinstance(layer, nn.Linear)]
    biases: list[Tensor] = [layer.bias for layer in mlp if isinstance(layer, nn.Linear)]
    for k in range(len(weights) - 1):
        # A unit that is the same for all features is a part of the next layer's bias.
        constant = ~weights[k].any(dim=1)
        constants = functional.relu(biases[k]) * constant
        biases[k + 1] = biases[k + 1] + weights[k + 1] @ constants
        _drop(weights, biases, k, constant)
    for k in reversed(range(len(weights) - 1)):
        _drop(weights, biases, k, ~weights[k + 1].any(dim=0))
    layers: list[nn.Module] = []
    for weight, bias in zip(weights, biases, strict=True):
        linear = nn.Linear(1, 1, device="meta")
        linear.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        linear.bias = nn.Parameter(bias.contiguous(), requires_grad=False)
        linear.in_features, linear.out_features = weight.shape[1], weight.shape[0]
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _drop(weights: list[Tensor], biases: list[Tensor], k: int, dropped: Tensor) -> None:
    """Remove units of hidden layer ``k``; one is kept, as a layer without units is not valid."""
    if dropped.all():
        dropped = dropped.clone()
        dropped[0] = False
        weights[k + 1] = torch.where(dropped, weights[k + 1], 0.0)
    weights[k], biases[k] = weights[k][~dropped], biases[k][~dropped]
    weights[k + 1] = weights[k + 1][:, ~dropped]
