# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbors of descriptors by PyTorch on a GPU, in bounded memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .nearest import Nearest

CHUNK_ELEMENTS = 1 << 24
"""Keys in memory at a time: 64 MiB of float32."""
_EXACT_BITS = 2048
"""Largest number of bits whose product is exact in float16, which is summed in float32."""


def find_nearest_on_device(
    device: torch.device, a: np.ndarray, b: np.ndarray, mutual: bool, second: bool
) -> Nearest:
    """Find nearest neighbors as :func:`.nearest.find_nearest`, on a device of PyTorch.

    Args:
        device: a GPU; the CPU works too.
        a: (P, D) float32, or (P, B) uint8 packed bits.
        b: (N, D) or (N, B) of the same kind; at least one row.
        mutual: whether to find which are each other's nearest.
        second: whether to find the distances of the second nearest.
    """
    binary = a.dtype == np.uint8
    rows_a, rows_b = (_rows(each, device) for each in (a, b))
    # Keys, smaller ones nearer: (|a|^2 + |b|^2) / 2 - a.b; the norms of bits are all equal.
    halves = None if binary else [each.square().sum(1) / 2 for each in (rows_a, rows_b)]
    step = max(1, CHUNK_ELEMENTS // len(b))
    places = torch.arange(len(a), device=device)
    indices, following = [], []
    best_back = torch.full((len(b),), torch.inf, device=device)
    nearest_back = torch.zeros(len(b), dtype=torch.long, device=device)
    for start in range(0, len(a), step):
        keys = (rows_a[start : start + step] @ rows_b.T).neg_()
        if halves is not None:
            keys += halves[1]
            keys += halves[0][start : start + step].unsqueeze(1)
        if mutual:
            back, index_back = keys.min(dim=0)
            back = back.float()
            better = back < best_back
            best_back = torch.where(better, back, best_back)
            nearest_back = torch.where(better, index_back + start, nearest_back)
        index = keys.argmin(dim=1)
        indices.append(index)
        if second:
            keys.scatter_(1, index.unsqueeze(1), torch.inf)
            following.append(keys.amin(dim=1).float())
    index = torch.cat(indices)
    is_mutual = (nearest_back[index] == places).cpu().numpy() if mutual else None
    seconds = None
    if second:
        keys = torch.cat(following)
        distances = 4 * a.shape[1] + keys / 2 if binary else (2 * keys.clamp_min(0)).sqrt()
        seconds = distances.cpu().numpy()
    return Nearest(index.cpu().numpy(), is_mutual, seconds)


def _rows(descriptors: np.ndarray, device: torch.device) -> Tensor:
    """Return float rows as float32, packed bits as +1 and -1, in float16 where that is exact."""
    rows = torch.from_numpy(np.array(descriptors))
    rows = rows.to(device)
    if descriptors.dtype != np.uint8:
        return rows
    places = torch.arange(8, dtype=torch.uint8, device=device)
    bits = (rows.unsqueeze(2).bitwise_right_shift(places) & 1).flatten(1)
    exact = bits.shape[1] <= _EXACT_BITS
    return bits.to(torch.float16 if exact else torch.float32).mul_(2).sub_(1)
