# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Batches of views with the ground truth of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...features import Features
from ...features.normalization import normalize_keypoints
from .pairs import UNKNOWN, ViewGroup

POSITIVE_RADIUS = 3.0
"""Largest distance, along either axis, of two features that show the same point [px]."""
NEGATIVE_RADIUS = 15.0
"""Smallest distance, along either axis, of two that do not; between the two no one says [px]."""

ONE_TO_ONE_NEGATIVE_RADIUS = 5.0
"""Smallest such distance for :func:`label_one_to_one` [px]."""
OCTAVE_COST = 2.0
"""Distance that counts as much as an octave of scale when the best candidates are chosen [px]."""
MAX_OCTAVES = 0.6
"""Largest difference of a match's scale ratio from the zoom at its point [octaves]."""


@dataclass(frozen=True)
class PairBatch:
    """W views of N features each, which the network sees in one pass, and P pairs of them.

    Attributes:
        descriptors: (W, N, D) float32: unit rows, or bits as +1 and -1.
        keypoints: (W, N, K) float32, normalized as the network takes them.
        padding: (W, N) bool, True where there is no feature.
        pairs: (2, P) int64 numbers of the first and of the second view of each pair.
        positive: (P, N, N) bool, True where feature i of the first and j of the second view are to
            match.
        negative: (P, N, N) bool, True where they are not; what is neither does not count.
    """

    descriptors: Tensor
    keypoints: Tensor
    padding: Tensor
    pairs: Tensor
    positive: Tensor
    negative: Tensor


def collate(
    groups: Sequence[ViewGroup],
    keypoint_dim: int,
    device: torch.device,
    one_to_one: bool = False,
) -> PairBatch:
    """Return groups of views as one batch.

    Binary descriptors travel to the device as packed bits, and the labels are made there.

    Args:
        groups: Views; every two views of a group are a pair.
        keypoint_dim: K, 4 for x, y, scale, angle, or 3 for x, y, score.
        device: Device of the tensors.
        one_to_one: Whether positives are those of :func:`label_one_to_one`, and not all of
            :func:`label_pairs`.
    """
    views = [view for group in groups for view in group.features]
    shapes = [shape for group in groups for shape in group.shapes]
    count = max(map(len, views))
    first = views[0].descriptors
    descriptors = np.zeros((len(views), count, first.shape[1]), first.dtype)
    keypoints = np.zeros((len(views), count, keypoint_dim), np.float32)
    # Padding is at NaN, which is never within a radius and never beyond one.
    positions = np.full((len(views), count, 2), UNKNOWN, np.float32)
    scales = np.ones((len(views), count), np.float32)
    padding = np.ones((len(views), count), bool)
    for row, (view, shape) in enumerate(zip(views, shapes, strict=True)):
        rows = row, slice(len(view))
        descriptors[rows] = view.descriptors
        keypoints[rows] = keypoint_geometry(view, shape, keypoint_dim)
        positions[rows] = view.keypoints
        scales[rows] = view.scales
        padding[rows] = False
    starts = np.cumsum([0, *(len(group.features) for group in groups)])
    pairs = np.array(
        [
            (start + first, start + second)
            for start, group in zip(starts, groups, strict=False)
            for first, second in group.pairs
        ]
    ).T
    seen_at = np.full((2, pairs.shape[1], count, 3), UNKNOWN, np.float32)
    for number, both in enumerate(both for group in groups for both in group.seen_at):
        for side in (0, 1):
            seen_at[side, number, : len(both[side])] = both[side]

    def on_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    pairs_there = on_device(pairs)
    places = on_device(positions)[pairs_there], on_device(seen_at)
    if one_to_one:
        positive, negative = label_one_to_one(*places, on_device(scales)[pairs_there])
    else:
        positive, negative = label_pairs(*places)
    given = on_device(descriptors)
    return PairBatch(
        unpack(given) if views[0].is_binary else given,
        on_device(keypoints),
        on_device(padding),
        pairs_there,
        positive,
        negative,
    )


def unpack(packed: Tensor) -> Tensor:
    """Return bits (..., D / 8) uint8, least significant first, as (..., D) float32 +1 and -1."""
    bits = packed.unsqueeze(-1) >> torch.arange(8, device=packed.device, dtype=torch.uint8)
    return (bits & 1).flatten(-2).float().mul_(2).sub_(1)


def keypoint_geometry(features: Features, shape: tuple[int, int], keypoint_dim: int) -> np.ndarray:
    """Return the geometry (N, K) float32 that the network takes, normalized by the image's size."""
    geometry = normalize_keypoints(features, shape)
    if keypoint_dim == 3:
        return np.column_stack([geometry[:, :2], features.scores])
    return geometry


def label_pairs(
    positions: Tensor, seen_at: Tensor, negative_radius: float = NEGATIVE_RADIUS
) -> tuple[Tensor, Tensor]:
    """Return which features of two images show the same point, and which do not.

    Positive is within ``POSITIVE_RADIUS`` in both images, negative beyond ``negative_radius`` in
    either: with a strong zoom, 3 pixels of one image are many of the other.

    Args:
        positions: (2, B, N, 2) pixels, NaN for padding.
        seen_at: (2, B, N, 3) pixels of the other image that show the features, NaN if unknown,
            infinity if nowhere; and the zoom there, as in :attr:`.ViewGroup.seen_at`.
        negative_radius: Smallest distance, along either axis, of features that do not [px].

    Returns:
        (B, N, N) bool positive and (B, N, N) bool negative.
    """
    in_second = _chebyshev(seen_at[0], positions[1])
    in_first = _chebyshev(positions[0], seen_at[1])
    positive = (in_second <= POSITIVE_RADIUS) & (in_first <= POSITIVE_RADIUS)
    return positive, (in_second >= negative_radius) | (in_first >= negative_radius)


def label_one_to_one(positions: Tensor, seen_at: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    """Return the matches of two images of which each feature has one at most, and what is wrong.

    Among the features that show the same point, two match if each is the other's best by distance
    and by scale: ORB finds a corner on several levels, of which one corresponds. Their scale ratio
    must be the zoom at the point, within ``MAX_OCTAVES``. The other features of the point are
    neither positive nor negative.

    Args:
        positions: (2, B, N, 2), as in :func:`label_pairs`.
        seen_at: (2, B, N, 3), likewise.
        scales: (2, B, N) sizes of the features [px].

    Returns:
        (B, N, N) bool positive and (B, N, N) bool negative.
    """
    near, negative = label_pairs(positions, seen_at, ONE_TO_ONE_NEGATIVE_RADIUS)
    pair, i, j = near.nonzero(as_tuple=True)
    if len(pair) == 0:
        return near, negative
    pairs, count = near.shape[:2]
    seen = seen_at[0, pair, i]
    distance = (seen[:, :2] - positions[1, pair, j]).norm(dim=-1)
    off = ((scales[1, pair, j] / scales[0, pair, i]).log2() - seen[:, 2]).abs()
    usable = (distance <= POSITIVE_RADIUS) & (off <= MAX_OCTAVES)
    pair, i, j = pair[usable], i[usable], j[usable]
    # Ranks, which have no ties.
    rank = (distance + OCTAVE_COST * off)[usable].argsort(stable=True).argsort()
    best = [
        torch.full((pairs * count,), len(rank), device=rank.device).scatter_reduce(
            0, pair * count + feature, rank, "amin"
        )[pair * count + feature]
        for feature in (i, j)
    ]
    mutual = (rank == best[0]) & (rank == best[1])
    positive = torch.zeros_like(near)
    positive[pair[mutual], i[mutual], j[mutual]] = True
    return positive, negative


def _chebyshev(a: Tensor, b: Tensor) -> Tensor:
    """Return the larger coordinate difference of points, NaN where a coordinate is.

    ``torch.cdist`` has this norm too, but takes NaN for 0.

    Args:
        a: (B, M, 2), or more columns.
        b: (B, N, 2), or more columns.

    Returns:
        (B, M, N).
    """
    across, down = (
        (a[..., axis].unsqueeze(-1) - b[..., axis].unsqueeze(-2)).abs_() for axis in (0, 1)
    )
    return torch.maximum(across, down, out=across)
