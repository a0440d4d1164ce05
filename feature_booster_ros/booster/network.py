# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""FeatureBooster, the network (arXiv 2211.15069, section 3).

Parameters are named as in the authors' checkpoints, so that those load unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .model_config import ModelConfig

LAYER_NORM_EPS = 1e-6
_ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class FeatureBooster(nn.Module):
    """Boosts the descriptors of one image, first each alone and then all together.

    Self-boosting adds the output of an MLP of the descriptor, and that of an MLP of the keypoint's
    geometry, to the descriptor (equations 1 to 3). Cross-boosting passes the sum through
    transformer layers over all features of the image (equations 4 to 6). A linear projection gives
    the result.

    Args:
        config: the architecture.
        dropout: probability of dropping an element while training, as in the authors' ``dropout``
            switch.
    """

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        width = config.descriptor_dim
        self.kenc = (
            KeypointEncoder(config.keypoint_dim, width, config.keypoint_encoder, dropout)
            if config.use_kenc
            else None
        )
        self.denc = (
            DescriptorEncoder(width, config.descriptor_encoder, dropout)
            if config.descriptor_encoder
            else None
        )
        self.layer_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn_proj = CrossBooster(config, dropout) if config.use_cross else None
        self.final_proj = nn.Linear(width, config.output_dim)
        self.dropout = nn.Dropout(dropout)
        activation = _ACTIVATIONS.get(config.last_activation)
        self.last_activation = activation() if activation else None

    def forward(
        self, descriptors: Tensor, keypoints: Tensor, padding_mask: Tensor | None = None
    ) -> Tensor:
        """Boost descriptors.

        Args:
            descriptors: (..., N, D): rows of unit length, or bits as +1 and -1. N may be 0.
            keypoints: (..., N, K): normalized geometry, K as in the configuration.
            padding_mask: (..., N) bool, True for padding, or None. Padding does not change the
                other rows; the results of its rows are undefined.

        Returns:
            (..., N, output_dim), before any binarization.
        """
        if self.denc is not None:
            descriptors = self.denc(descriptors)
        if self.kenc is not None:
            descriptors = self.dropout(descriptors + self.kenc(keypoints))
        if self.attn_proj is not None:
            descriptors = self.attn_proj(self.layer_norm(descriptors), padding_mask)
        boosted = self.final_proj(descriptors)
        if self.last_activation is not None:
            boosted = self.last_activation(boosted)
        if self.config.l2_normalization:
            boosted = functional.normalize(boosted, dim=-1)
        return boosted


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers from ``widths[0]`` to ``widths[-1]``, with a ReLU after each but the last."""
    layers: list[nn.Module] = []
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class KeypointEncoder(nn.Module):
    """MLP of the keypoints' geometry (..., N, K) to the descriptors' width (equation 2)."""

    def __init__(
        self, keypoint_dim: int, width: int, hidden: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.encoder = mlp([keypoint_dim, *hidden, width])
        self.dropout = nn.Dropout(dropout)

    def forward(self, keypoints: Tensor) -> Tensor:
        return self.dropout(self.encoder(keypoints))


class DescriptorEncoder(nn.Module):
    """Descriptors (..., N, D) plus an MLP of them (equation 1)."""

    def __init__(self, width: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.encoder = mlp([width, *hidden, width])
        self.dropout = nn.Dropout(dropout)

    def forward(self, descriptors: Tensor) -> Tensor:
        return descriptors + self.dropout(self.encoder(descriptors))


class CrossBooster(nn.Module):
    """The transformer layers over all features of an image."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            AttentionalLayer(config, dropout) for _ in range(config.attentional_layers)
        )

    def forward(self, descriptors: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            descriptors = layer(descriptors, padding_mask)
        return descriptors


class AttentionalLayer(nn.Module):
    """Attention, then a position-wise feed-forward network, each with residual and layer norm."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        width = config.descriptor_dim
        self.attn: Attention
        if config.use_mha:
            self.attn = MultiHeadAttention(width, config.attention_heads, dropout)
        else:
            self.attn = AttentionFreeAttention(width, dropout)
        self.ffn = PositionwiseFeedForward(width, dropout)

    def forward(self, descriptors: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        return self.ffn(self.attn(descriptors, padding_mask))


class Attention(nn.Module):
    """Base class of both kinds of attention: projections, residual and layer norm."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)
        self.layer_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, descriptors: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        message = self.proj(self.attend(descriptors, padding_mask))
        return self.layer_norm(self.dropout(message) + descriptors)

    def attend(self, descriptors: Tensor, padding_mask: Tensor | None) -> Tensor:
        """Return the message (..., N, D) of all features to each."""
        raise NotImplementedError


class AttentionFreeAttention(Attention):
    """AFT-simple (Zhai et al., arXiv 2105.14103; equation 5): linear in N in time and memory.

    For each channel the values are averaged over all features, weighted by a softmax of the keys;
    the query of a feature is a gate for each channel.
    """

    def attend(self, descriptors: Tensor, padding_mask: Tensor | None) -> Tensor:
        keys = self.key(descriptors)
        if padding_mask is not None:
            # The lowest finite number: -inf would give NaN for a set of only padding.
            keys = keys.masked_fill(padding_mask.unsqueeze(-1), torch.finfo(keys.dtype).min)
        weights = torch.softmax(keys, dim=-2)
        context = (weights * self.value(descriptors)).sum(dim=-2, keepdim=True)
        return torch.sigmoid(self.query(descriptors)) * context


class MultiHeadAttention(Attention):
    """Scaled dot-product attention (Vaswani et al., 2017), as in the paper's ablation."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__(width, dropout)
        self.heads = heads

    def attend(self, descriptors: Tensor, padding_mask: Tensor | None) -> Tensor:
        query, key, value = (
            layer(descriptors).unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for layer in (self.query, self.key, self.value)
        )
        bias = None
        if padding_mask is not None:
            # As above, finite for a set of only padding.
            bias = torch.zeros_like(padding_mask, dtype=query.dtype)
            bias = bias.masked_fill(padding_mask, torch.finfo(query.dtype).min)[..., None, None, :]
        message = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return message.transpose(-3, -2).flatten(-2)


class PositionwiseFeedForward(nn.Module):
    """A two-layer MLP of each feature, with residual and layer norm (equation 6)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.mlp = mlp([width, 2 * width, width])
        self.layer_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, descriptors: Tensor) -> Tensor:
        return self.layer_norm(self.dropout(self.mlp(descriptors)) + descriptors)
