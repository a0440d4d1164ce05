# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Conversions of descriptors before and after the network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .model_config import ModelConfig


def unpack_bits(packed: np.ndarray) -> np.ndarray:
    """Unpack bits (N, D / 8) uint8, least significant first, to (N, D) float32 of +1 and -1."""
    return np.unpackbits(packed, axis=1, bitorder="little").astype(np.float32) * 2 - 1


def pack_signs(boosted: np.ndarray) -> np.ndarray:
    """Pack the signs of (N, D) numbers to bits (N, D / 8) uint8, least significant first.

    Zero is positive.
    """
    return np.packbits(boosted >= 0, axis=1, bitorder="little")


def network_input(descriptors: Tensor, config: ModelConfig) -> Tensor:
    """Return descriptors (..., D), unit rows or +1 and -1, as input of the network."""
    return root_sift(descriptors) if config.descriptor_transform == "rootsift" else descriptors


def root_sift(descriptors: Tensor) -> Tensor:
    """Convert SIFT to RootSIFT (Arandjelovic and Zisserman, CVPR 2012).

    It is the square root of the L1-normalized rows (..., D), which have unit length again; their L2
    distance is the Hellinger distance of the original rows.
    """
    positive = descriptors.clamp_min(0)
    total = positive.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(descriptors.dtype).tiny)
    return positive.div_(total).sqrt_()
