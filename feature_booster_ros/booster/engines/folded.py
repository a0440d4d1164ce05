# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network's arithmetic in fewer, larger operations.

All foldings are exact except for rounding:

- units without effect are removed (:mod:`..pruning`);
- no values are computed: the context of a channel is the mean of its value over the features,
  weighted by the keys' softmax, and the mean of a linear map is the map of the means. With E the
  exponentials of the keys (N, D), E^T X (D, D) contains all weighted means of the descriptors X, to
  which the value's weights are applied row by row;
- the context scales the projection's columns instead of each feature's gates;
- the last bias of a residual branch is added to that of the norm before it, and subtracted in the
  branch's first bias;
- tanh is removed where only the signs are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..network import (
    LAYER_NORM_EPS,
    AttentionalLayer,
    AttentionFreeAttention,
    CrossBooster,
    DescriptorEncoder,
    FeatureBooster,
    KeypointEncoder,
    PositionwiseFeedForward,
)
from ..pruning import without_dead_units

Linear = tuple[Tensor, Tensor]
"""Weight (in, out) and bias (out,)."""


@dataclass(eq=False)
class Gate:
    """Attention-free attention: adds P (sigmoid(Q x) * context) to x."""

    query: Linear
    key: Linear
    value: Tensor
    value_bias: Tensor
    projection: Tensor


@dataclass(eq=False)
class FeedForward:
    """Adds an MLP of x to x."""

    hidden: Linear
    out: Tensor


@dataclass(eq=False)
class Step:
    """A residual branch, None for the norm before the first one, and the norm after it."""

    branch: Gate | FeedForward | None
    branch_bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor


class Buffers:
    """Memory for sets of up to ``capacity`` features, which is reused; unused buffers are empty."""

    def __init__(
        self, folded: FoldedNetwork, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.capacity = capacity

        def rows(width: int, kind: torch.dtype = dtype) -> Tensor:
            return torch.empty(capacity, width, dtype=kind, device=device)

        self.hidden = {
            id(layer): rows(layer[0].shape[1])
            for mlp in (folded.descriptor_mlp, folded.keypoint_mlp)
            for layer in mlp
        }
        gates = folded.width if folded.has_gates else 0
        self.queries, self.keys = rows(gates), rows(gates)
        self.weights = self.keys if dtype == torch.float32 else self.keys.float()
        self.wide = rows(folded.wide)


class FoldedNetwork:
    """The folded weights, and the computation with them.

    Args:
        network: with attention-free cross-boosting, or without cross-boosting.
        dtype: of the matrix products; the context is computed in float32.
        device: of the weights.
    """

    def __init__(self, network: FeatureBooster, dtype: torch.dtype, device: torch.device) -> None:
        pruned = without_dead_units(network).cpu().double()
        self.config = network.config
        self.width = network.config.descriptor_dim
        self._fold_encoders(pruned)
        self.steps: list[Step] = []
        if pruned.attn_proj is not None:
            self.steps = _steps(pruned.layer_norm, pruned.attn_proj)
        self.final = _transposed(pruned.final_proj)
        self.has_gates = any(isinstance(step.branch, Gate) for step in self.steps)
        self.wide = max(
            (
                step.branch.hidden[0].shape[1]
                for step in self.steps
                if isinstance(step.branch, FeedForward)
            ),
            default=0,
        )
        self._to(dtype, device)

    @staticmethod
    def refusal(network: FeatureBooster) -> str | None:
        """Return why a network cannot be folded, or None if it can."""
        return "it has multi-head attention" if network.config.use_mha else None

    def __call__(
        self,
        descriptors: Tensor,
        keypoints: Tensor,
        buffers: Buffers,
        padding: Tensor | None = None,
    ) -> Tensor:
        """Compute the network's output.

        Args:
            descriptors: (N, D), input of the network; overwritten.
            keypoints: (N, K).
            buffers: for at least N features.
            padding: (N,) bool, True where there is no feature, or None.

        Returns:
            (N, output_dim) in new memory; of binary networks the numbers before tanh.
        """
        x = self._encode(descriptors, keypoints, buffers)
        for step in self.steps:
            if isinstance(step.branch, Gate):
                self._gate(step.branch, x, buffers, padding)
            elif step.branch is not None:
                hidden = _linear(x, step.branch.hidden, buffers.wide).relu_()
                x.addmm_(hidden, step.branch.out)
            x = functional.layer_norm(
                x, (self.width,), step.norm_weight, step.norm_bias, LAYER_NORM_EPS
            )
        x = torch.addmm(self.final[1], x, self.final[0])
        activation = self.config.last_activation
        if activation != "none" and not (activation == "tanh" and self.config.binary):
            x = getattr(torch, f"{activation}_")(x)
        if self.config.l2_normalization:
            x = functional.normalize(x.float(), dim=-1)
        return x

    def _encode(self, descriptors: Tensor, keypoints: Tensor, buffers: Buffers) -> Tensor:
        """Compute self-boosting up to the first norm."""
        hidden = []
        for mlp, x, out in (
            (self.descriptor_mlp, descriptors, self.descriptor_out),
            (self.keypoint_mlp, keypoints, self.keypoint_out),
        ):
            if out is not None:
                for layer in mlp:
                    x = _linear(x, layer, buffers.hidden[id(layer)]).relu_()
                hidden.append((x, out))
        # Not before: the first layer takes the descriptors as they are.
        for x, out in hidden:
            descriptors.addmm_(x, out)
        return descriptors.add_(self.encoder_bias)

    def _gate(self, gate: Gate, x: Tensor, buffers: Buffers, padding: Tensor | None) -> None:
        keys = _linear(x, gate.key, buffers.keys)
        if padding is not None:
            # The lowest finite number: -inf would give NaN for a set of only padding.
            keys.masked_fill_(padding.unsqueeze(1), torch.finfo(keys.dtype).min)
        weights = buffers.weights[: len(x)]
        torch.sub(keys, keys.amax(dim=0), out=weights).exp_()
        means = (weights.T @ x.float()) / weights.sum(dim=0).unsqueeze(1)
        context = (gate.value * means).sum(dim=1).add_(gate.value_bias)
        projection = (gate.projection * context.unsqueeze(1)).to(x.dtype)
        x.addmm_(_linear(x, gate.query, buffers.queries).sigmoid_(), projection)

    def _fold_encoders(self, pruned: FeatureBooster) -> None:
        """Fold the encoders to hidden layers, and last weights of the elements that they change."""
        self.descriptor_mlp, descriptor = _mlp(pruned.denc)
        self.keypoint_mlp, keypoint = _mlp(pruned.kenc)
        self.descriptor_out, self.keypoint_out = (
            None if last is None else last[0] for last in (descriptor, keypoint)
        )
        self.encoder_bias = sum(
            (last[1] for last in (descriptor, keypoint) if last is not None),
            torch.zeros(self.width, dtype=torch.float64),
        )

    def _to(self, dtype: torch.dtype, device: torch.device) -> None:
        def cast(value: Tensor, kind: torch.dtype = dtype) -> Tensor:
            return value.to(device, kind)

        def cast_linear(layer: Linear) -> Linear:
            return cast(layer[0]), cast(layer[1])

        self.descriptor_mlp = [cast_linear(layer) for layer in self.descriptor_mlp]
        self.keypoint_mlp = [cast_linear(layer) for layer in self.keypoint_mlp]
        self.descriptor_out, self.keypoint_out = (
            None if out is None else cast(out) for out in (self.descriptor_out, self.keypoint_out)
        )
        self.encoder_bias = cast(self.encoder_bias)
        self.final = cast_linear(self.final)
        for step in self.steps:
            step.norm_weight, step.norm_bias = cast(step.norm_weight), cast(step.norm_bias)
            branch = step.branch
            if isinstance(branch, Gate):
                branch.query, branch.key = cast_linear(branch.query), cast_linear(branch.key)
                branch.value = cast(branch.value, torch.float32)
                branch.value_bias = cast(branch.value_bias, torch.float32)
                branch.projection = cast(branch.projection, torch.float32)
            elif branch is not None:
                branch.hidden, branch.out = cast_linear(branch.hidden), cast(branch.out)


def _linear(x: Tensor, layer: Linear, buffer: Tensor) -> Tensor:
    weight, bias = layer
    out = buffer[: len(x), : weight.shape[1]]
    return torch.addmm(bias, x, weight, out=out)


def _mlp(
    encoder: KeypointEncoder | DescriptorEncoder | None,
) -> tuple[list[Linear], Linear | None]:
    """Return the hidden layers and the last layer of an encoder."""
    if encoder is None:
        return [], None
    layers = [_transposed(layer) for layer in encoder.encoder if isinstance(layer, nn.Linear)]
    return layers[:-1], layers[-1]


def _transposed(layer: nn.Linear) -> Linear:
    return layer.weight.T.contiguous(), layer.bias


def _steps(first_norm: nn.LayerNorm, cross: CrossBooster) -> list[Step]:
    """Return the branches and norms of cross-boosting in order, with folded biases."""
    steps = [Step(None, torch.zeros_like(first_norm.bias), first_norm.weight, first_norm.bias)]
    for layer in cross.layers:
        assert isinstance(layer, AttentionalLayer)
        steps += [_step(layer.attn), _step(layer.ffn)]
    for before, step in zip(steps[:-1], steps[1:], strict=True):
        before.norm_bias = before.norm_bias + step.branch_bias
        if isinstance(step.branch, Gate):
            for name in ("query", "key"):
                weight, bias = getattr(step.branch, name)
                setattr(step.branch, name, (weight, bias - step.branch_bias @ weight))
            step.branch.value_bias = step.branch.value_bias - step.branch.value @ step.branch_bias
        elif isinstance(step.branch, FeedForward):
            weight, bias = step.branch.hidden
            step.branch.hidden = weight, bias - step.branch_bias @ weight
    return steps


def _step(part: nn.Module) -> Step:
    """Return a residual branch with its last bias and its norm."""
    branch: Gate | FeedForward
    if isinstance(part, AttentionFreeAttention):
        query, key = _transposed(part.query), _transposed(part.key)
        (projection, bias), norm = _transposed(part.proj), part.layer_norm
        branch = Gate(query, key, part.value.weight, part.value.bias, projection)
    elif isinstance(part, PositionwiseFeedForward):
        hidden, out = (_transposed(layer) for layer in part.mlp if isinstance(layer, nn.Linear))
        branch, bias, norm = FeedForward(hidden, out[0]), out[1], part.layer_norm
    else:
        raise TypeError(f"{type(part).__name__} cannot be folded")
    return Step(branch, bias, norm.weight, norm.bias)
