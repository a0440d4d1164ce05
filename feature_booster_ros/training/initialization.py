# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Prepare the weights that training starts from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ..booster import FeatureBooster, ModelConfig, load_checkpoint
from ..booster.descriptors import network_input
from ..booster.network import AttentionalLayer
from .datasets.batches import PairBatch

SMALL = 0.01
"""Factor of the last layers of the residual branches; smaller is nearer to the identity."""

PROJECTION_BATCHES = 6
"""Batches of pairs whose features a projection is fitted to."""
PROJECTION_ITERATIONS = 30
"""Iterations of iterative quantization."""

SILENCE_BATCHES = 30
"""Batches of pairs to look for silent units with: hundreds of thousands of features."""
_KEYPOINTS = 1 << 18
"""Random keypoints to look for silent units with."""
_MAX_POSITION = 2.0
"""Half width of the square of random keypoints, in the network's input; images have 0.7."""
_MIN_SCALE, _MAX_SCALE = 0.3, 300.0
"""Range of the scales of random keypoints [px]; cameras give less."""


@torch.no_grad()
def start_near_identity(network: FeatureBooster) -> None:
    """Make a new network pass its input on almost unchanged.

    Random weights first destroy the descriptors, and it takes about a million pairs to learn them
    again; from the identity, training improves what the descriptors have. The last layer of every
    residual branch is made small, and the final projection an identity: orthonormal rows. If the
    output is wider than the input, blocks of other directions follow, so that the signs are the
    bits of a random-hyperplane hash.
    """
    for branch in residual_branches(network):
        branch.weight.mul_(SMALL)
        branch.bias.mul_(SMALL)
    weight = network.final_proj.weight
    rows, columns = weight.shape
    weight[:columns] = torch.eye(columns)[:rows]
    if rows > columns:
        # The signs of an identity are bits of single coordinates; all directions should count.
        for start in range(0, rows, columns):
            block = weight[start : start + columns]
            block.copy_(torch.linalg.qr(torch.randn(columns, columns))[0][: len(block)])
    network.final_proj.bias.zero_()


def residual_branches(network: FeatureBooster) -> list[nn.Linear]:
    """Return the last layer of every branch whose output is added to the network's state."""
    branches: list[nn.Linear] = []
    if network.kenc is not None:
        branches.append(mlp_layers(network.kenc.encoder)[-1])
    if network.denc is not None:
        branches.append(mlp_layers(network.denc.encoder)[-1])
    if network.attn_proj is not None:
        for layer in network.attn_proj.modules():
            if isinstance(layer, AttentionalLayer):
                branches += [layer.attn.proj, mlp_layers(layer.ffn.mlp)[-1]]
    return branches


def mlp_layers(mlp: nn.Sequential) -> list[nn.Linear]:
    """Return the linear layers of an MLP in order."""
    return [layer for layer in mlp if isinstance(layer, nn.Linear)]


def load_start(config: ModelConfig, name_or_path: str | Path) -> FeatureBooster:
    """Load a trained network that another can start from.

    Args:
        config: The network that starts.
        name_or_path: Model name or file of the trained network.

    Raises:
        FileNotFoundError: There is no such model or file.
        ValueError: The file cannot be read, or its network takes descriptors of another length.
    """
    source = load_checkpoint(name_or_path)
    if source.config.descriptor_dim != config.descriptor_dim:
        raise ValueError(
            f"{config.name} cannot start from {name_or_path}, whose descriptors "
            f"({source.config.detector}) have {source.config.descriptor_dim} elements and not "
            f"{config.descriptor_dim}"
        )
    return source


@torch.no_grad()
def start_from_trained(
    network: FeatureBooster, source: FeatureBooster, batches: Iterator[PairBatch]
) -> list[str]:
    """Copy every tensor that a trained network has with the same name and shape.

    A binary network can start from the float network of the same feature: its projection is then
    the float one's, rotated so that the signs lose least (:func:`sign_projection`).

    Args:
        network: Network to change.
        source: Trained network, from :func:`load_start`.
        batches: Features that the rotation is fitted to.

    Returns:
        Names of the tensors that were not copied.
    """
    given, target = source.state_dict(), network.state_dict()
    fitting = {
        name: tensor
        for name, tensor in given.items()
        if name in target and tensor.shape == target[name].shape
    }
    network.load_state_dict(fitting, strict=False)
    if network.config.binary and not source.config.binary:
        projected = _projected(source, batches)
        frame = sign_projection(
            torch.nn.functional.normalize(projected, dim=-1), network.config.output_dim
        )
        # The signs do not depend on the scale, but tanh does: neither flat nor saturated.
        frame /= (projected @ frame).std()
        network.final_proj.weight.copy_(frame.T @ source.final_proj.weight)
        network.final_proj.bias.copy_(frame.T @ source.final_proj.bias)
    return [name for name in target if name not in fitting]


def sign_projection(vectors: Tensor, bits: int) -> Tensor:
    """Return the tight frame whose signs represent unit vectors with least error.

    This is iterative quantization (Gong and Lazebnik, CVPR 2011) for more bits than dimensions: the
    signs of the frame, and the frame of the signs by orthogonal Procrustes, in turn.

    Args:
        vectors: (M, D) unit rows.
        bits: Number of bits.

    Returns:
        (D, bits), to be multiplied from the right.
    """
    dimensions = vectors.shape[1]
    blocks = [
        torch.linalg.qr(torch.randn(dimensions, dimensions))[0]
        for _ in range(-(-bits // dimensions))
    ]
    frame = torch.cat(blocks, dim=1)[:, :bits]
    for _ in range(PROJECTION_ITERATIONS):
        signs = torch.sign(vectors @ frame)
        left, _, right = torch.linalg.svd(vectors.T @ signs, full_matrices=False)
        frame = left @ right
    return frame


def _projected(network: FeatureBooster, batches: Iterator[PairBatch]) -> Tensor:
    """Return the network's output (M, D) before normalization, for the features of batches."""
    config = dataclasses.replace(network.config, l2_normalization=False)
    unnormalized = FeatureBooster(config).eval()
    unnormalized.load_state_dict(network.state_dict())
    projected = []
    for _ in range(PROJECTION_BATCHES):
        batch = next(batches)
        descriptors, keypoints, padding = (
            tensor.cpu() for tensor in (batch.descriptors, batch.keypoints, batch.padding)
        )
        output = unnormalized(network_input(descriptors, config), keypoints, padding)
        projected.append(output[~padding])
    return torch.cat(projected)


@torch.no_grad()
def silence_units(network: FeatureBooster, batches: Iterable[PairBatch]) -> int:
    """Set the weights of the encoders' hidden units that never fire to exactly zero.

    A ReLU that no feature makes fire adds nothing, and has no gradient that would change it. Of
    SIFT+Boost-F's descriptor encoder this is half of the first layer and nearly all of the second.
    An engine leaves out units of zeros (:mod:`feature_booster_ros.booster.pruning`). Units of the
    keypoint encoder must not fire for random keypoints either, since photographs of one size show
    few places and scales.

    Args:
        network: Changed in place; its output for the features in ``batches`` stays the same.
        batches: Features to look for units with.

    Returns:
        Number of units set to zero.
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
        layers = mlp_layers(encoder.encoder)
        for layer, following in zip(layers[:-1], layers[1:], strict=True):
            silent = ~fires[layer]
            layer.weight[silent] = 0
            layer.bias[silent] = 0
            following.weight[:, silent] = 0
            silenced += int(silent.sum())
    return silenced


def _watch(mlp: nn.Sequential, inputs: Tensor, fires: dict[nn.Linear, Tensor]) -> None:
    """Note which units of the hidden layers fire for inputs (M, K)."""
    for layer in mlp_layers(mlp)[:-1]:
        inputs = torch.relu(layer(inputs))
        fired = (inputs > 0).any(dim=0)
        fires[layer] = fires[layer] | fired if layer in fires else fired


def _any_keypoints() -> Tensor:
    """Return random keypoints (M, 4) of any place, scale and angle."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(_KEYPOINTS, 4, generator=generator)
    drawn[:, :2] = _MAX_POSITION * (2 * drawn[:, :2] - 1)
    drawn[:, 2] = _MIN_SCALE * (_MAX_SCALE / _MIN_SCALE) ** drawn[:, 2]
    drawn[:, 3] *= 2 * math.pi
    return drawn
