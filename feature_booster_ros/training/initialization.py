# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where training starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ..booster import FeatureBooster, load_checkpoint
from ..booster.descriptors import network_input
from .datasets.batches import PairBatch

SMALL = 0.01
"""Factor of the residual branches' last layers."""

PROJECTION_BATCHES = 6
PROJECTION_ITERATIONS = 30


@torch.no_grad()
def start_near_identity(network: FeatureBooster) -> None:
    """Makes a fresh network pass its input on almost unchanged.

    From random weights the descriptors are first destroyed and learnt anew, which takes about a
    million pairs; from here training improves on what is there. The last layer of every residual
    branch is made small, and the final projection an identity: orthonormal rows, repeated with
    other directions where the output is wider than the input, so that its signs are the bits of a
    random-hyperplane hash.
    """
    for branch in residual_branches(network):
        branch.weight.mul_(SMALL)
        branch.bias.mul_(SMALL)
    weight = network.final_proj.weight
    rows, columns = weight.shape
    weight[:columns] = torch.eye(columns)[:rows]
    if rows > columns:
        # An identity would make bits of single coordinates; all directions should be alike.
        for start in range(0, rows, columns):
            block = weight[start : start + columns]
            block.copy_(torch.linalg.qr(torch.randn(columns, columns))[0][: len(block)])
    network.final_proj.bias.zero_()


def residual_branches(network: FeatureBooster) -> list[nn.Linear]:
    """The last layer of every branch whose output is added to what the network passes on."""
    branches: list[nn.Linear] = []
    if network.kenc is not None:
        branches.append(network.kenc.encoder[-1])
    if network.denc is not None:
        branches.append(network.denc.encoder[-1])
    if network.attn_proj is not None:
        for layer in network.attn_proj.layers:
            branches += [layer.attn.proj, layer.ffn.mlp[-1]]
    return branches


@torch.no_grad()
def start_from_checkpoint(
    network: FeatureBooster, name_or_path: str | Path, batches: Iterator[PairBatch]
) -> list[str]:
    """Copies every tensor that a trained network shares by name and shape.

    Returns the names of the others.

    A binary network may so start from the float one of the same feature: its projection is then the
    float one's, turned so that the signs lose least (:func:`sign_projection`).

    Args:
        network: gets the tensors.
        name_or_path: of the trained network.
        batches: features to turn the projection by.

    Raises:
        ValueError: the trained network takes descriptors of another length.
    """
    source = load_checkpoint(name_or_path)
    if source.config.descriptor_dim != network.config.descriptor_dim:
        raise ValueError(
            f"{network.config.name} cannot start from {name_or_path}, a {source.config.detector} "
            f"network of {source.config.descriptor_dim} elements"
        )
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
    """The tight frame (D, bits) whose signs stand for unit vectors (M, D) with least error.

    Iterative quantization (Gong and Lazebnik, CVPR 2011): the signs for the frame, then the frame
    for the signs by orthogonal Procrustes, in turn; here with more bits than dimensions.
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
    """The network's output before normalization, (M, D), for the features of some batches."""
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
