# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Networks without the parts that do nothing.

A weight that is exactly 0 costs as much as any other. The shipped ORB+Boost-B, whose cross-boosting
is all zeros, has a twentieth of its arithmetic left after this.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from .network import FeatureBooster


class BiasedNorm(nn.Module):
    """What is left of a residual branch whose last weights are all 0: its bias, and the norm."""

    def __init__(self, bias: Tensor, layer_norm: nn.LayerNorm) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias.clone(), requires_grad=False)
        self.layer_norm = layer_norm

    def forward(self, descriptors: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        return self.layer_norm(descriptors + self.bias)


@torch.no_grad()
def without_dead_parts(network: FeatureBooster) -> FeatureBooster:
    """A copy in evaluation mode that computes the same with less.

    Left out are units of an MLP that nothing is made of, units that are the same for every feature,
    attention and feed-forward networks whose last weights are all 0, and encoders of which nothing
    is left. Only zeros are left out, so nothing is approximated.
    """
    pruned = copy.deepcopy(network).eval().requires_grad_(False)
    for name in ("kenc", "denc"):
        encoder = getattr(pruned, name)
        if encoder is not None:
            encoder.encoder = prune_mlp(encoder.encoder)
    if pruned.attn_proj is not None:
        for layer in pruned.attn_proj.layers:
            if not layer.attn.proj.weight.any():
                layer.attn = BiasedNorm(layer.attn.proj.bias, layer.attn.layer_norm)
            layer.ffn.mlp = prune_mlp(layer.ffn.mlp)
            if not layer.ffn.mlp[-1].weight.any():
                layer.ffn = BiasedNorm(layer.ffn.mlp[-1].bias, layer.ffn.layer_norm)
    return pruned


def prune_mlp(mlp: nn.Sequential) -> nn.Sequential:
    """Linear layers with a ReLU between, without the hidden units that change nothing."""
    weights = [layer.weight for layer in mlp if isinstance(layer, nn.Linear)]
    biases = [layer.bias for layer in mlp if isinstance(layer, nn.Linear)]
    for k in range(len(weights) - 1):
        # The same for every feature: what the next layer makes of it is a part of its bias.
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
    """Takes units out of hidden layer ``k``, but for one: a product over no units is no layer."""
    if dropped.all():
        dropped = dropped.clone()
        dropped[0] = False
        weights[k + 1] = torch.where(dropped, weights[k + 1], 0.0)
    weights[k], biases[k] = weights[k][~dropped], biases[k][~dropped]
    weights[k + 1] = weights[k + 1][:, ~dropped]
