# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbour matching of descriptors, on the CPU or a GPU, in bounded memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..booster.booster import resolve_device
from ..booster.descriptors import unpack_bits
from ..features import Features
from .types import Matches

CHUNK_ELEMENTS = 1 << 24
"""Similarities held at a time: 64 MiB of float32."""


def match(
    a: Features,
    b: Features,
    mutual: bool = True,
    ratio: float | None = None,
    max_distance: float | None = None,
    top_k: int | None = None,
    device: str = "cpu",
) -> Matches:
    """The nearest neighbours in ``b`` of the features in ``a``, nearest pair first.

    Float descriptors are compared by L2 distance and binary ones by Hamming distance.

    Args:
        a: query features.
        b: reference features, with descriptors of the same kind.
        mutual: keep a pair only if each is the other's nearest.
        ratio: keep a pair only if its distance is below this share of the distance to the second
            nearest (Lowe, IJCV 2004), in (0, 1]; None for no such test.
        max_distance: keep a pair only up to this distance; None for any.
        top_k: keep only this many pairs, the nearest; None for all.
        device: "cpu", "cuda", "cuda:N" or "auto".

    Raises:
        ValueError: the descriptors differ in kind or length, or an option is out of range.
    """
    _check(a, b, ratio, max_distance, top_k)
    if len(a) == 0 or len(b) == 0:
        return Matches.empty()
    on = resolve_device(device)
    rows_a, rows_b = _rows(a, on), _rows(b, on)
    nearest, first, second, nearest_back = _two_nearest(rows_a, rows_b, a.is_binary)
    kept = torch.ones_like(nearest, dtype=torch.bool)
    if mutual:
        kept &= nearest_back[nearest] == torch.arange(len(nearest), device=on)
    if ratio is not None:
        kept &= first < ratio * second
    if max_distance is not None:
        kept &= first <= max_distance
    index_a = kept.nonzero().squeeze(1)
    index_b, distances = nearest[index_a], first[index_a]
    order = torch.argsort(distances, stable=True)[:top_k]
    indices = torch.stack([index_a[order], index_b[order]], dim=1)
    return Matches(indices.cpu().numpy(), distances[order].cpu().numpy())


def _check(
    a: Features, b: Features, ratio: float | None, max_distance: float | None, top_k: int | None
) -> None:
    if a.is_binary != b.is_binary or a.descriptor_length != b.descriptor_length:
        kinds = [
            f"{'binary' if features.is_binary else 'float'} of {features.descriptor_length}"
            for features in (a, b)
        ]
        raise ValueError(f"descriptors must be of one kind, not {kinds[0]} and {kinds[1]}")
    if ratio is not None and not 0 < ratio <= 1:
        raise ValueError(f"ratio must lie in (0, 1], not {ratio}")
    if max_distance is not None and not max_distance >= 0:
        raise ValueError(f"max_distance must be at least 0, not {max_distance}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")


def _rows(features: Features, device: torch.device) -> Tensor:
    """Descriptors (N, D) float32 on the device; bits as +1 and -1, whose products are exact in
    float32.
    """
    rows = unpack_bits(features.descriptors) if features.is_binary else features.descriptors
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device)


def _two_nearest(a: Tensor, b: Tensor, binary: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For every row of a its nearest row of b, the distances to that and to the second nearest; and
    for every row of b its nearest row of a.

    Squared distances are |a|^2 + |b|^2 - 2 a.b, a chunk of rows of ``a`` at a time. What is
    returned as the distance is computed anew from the rows, since the difference of large numbers
    is inexact near zero.
    """
    norm_a, norm_b = a.square().sum(1), b.square().sum(1)
    step = max(1, CHUNK_ELEMENTS // len(b))
    nearest, second_squared = [], []
    best_back = torch.full((len(b),), torch.inf, device=a.device)
    nearest_back = torch.zeros(len(b), dtype=torch.long, device=a.device)
    for start in range(0, len(a), step):
        squared = torch.addmm(norm_b.unsqueeze(0), a[start : start + step], b.T, alpha=-2)
        squared += norm_a[start : start + step].unsqueeze(1)
        back, back_index = squared.min(dim=0)
        better = back < best_back
        best_back = torch.where(better, back, best_back)
        nearest_back = torch.where(better, back_index + start, nearest_back)
        index = squared.argmin(dim=1)
        nearest.append(index)
        squared.scatter_(1, index.unsqueeze(1), torch.inf)
        second_squared.append(squared.amin(dim=1))
    index = torch.cat(nearest)
    second = torch.cat(second_squared).clamp_min(0)
    first = (a - b[index]).square().sum(1)
    if binary:  # A differing bit contributes (1 - -1)^2 = 4.
        return index, first / 4, second / 4, nearest_back
    return index, first.sqrt(), second.sqrt(), nearest_back
