# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Batches of view pairs with their ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..booster.descriptors import unpack_bits
from ..features.normalization import assumed_camera_matrix
from ..photos import warp_points
from .view_store import ViewStore

POSITIVE_RADIUS = 3.0
"""Pixels."""
NEGATIVE_RADIUS = 15.0
"""Pixels."""


@dataclass(frozen=True)
class PairBatch:
    """B pairs of views, N features each; both sides stacked, so that one pass of the network sees
    all.

    Attributes:
        descriptors: (2, B, N, D) float32: unit rows, or bits as +1 and -1.
        keypoints: (2, B, N, 4) float32, normalised as the network takes them.
        padding: (2, B, N) bool, True where there is no feature.
        positive: (B, N, N) bool: feature i of the first and j of the second view show the same
            point.
        negative: (B, N, N) bool: they do not.
    """

    descriptors: Tensor
    keypoints: Tensor
    padding: Tensor
    positive: Tensor
    negative: Tensor


def pair_batches(
    store: ViewStore, batch: int, features: int, seed: int, device: torch.device
) -> Iterator[PairBatch]:
    """Endless batches of random pairs of views, each of another photograph, in random order.

    Args:
        store: the views.
        batch: pairs of a batch.
        features: features of a view, drawn at random where it has more, so that no two draws are
            alike.
        seed: of the order and the draws.
        device: where the tensors are to lie.
    """
    rng = np.random.default_rng(seed)
    usable = store.counts >= 16
    order: list[int] = []
    while True:
        chosen = []
        while len(chosen) < batch:
            if not order:
                order = rng.permutation(np.flatnonzero(usable.sum(1) >= 2)).tolist()
            photo = order.pop()
            first, second = rng.choice(np.flatnonzero(usable[photo]), 2, replace=False)
            chosen.append((photo, first, second))
        yield _collate(store, chosen, features, rng, device)


def _collate(
    store: ViewStore,
    chosen: list[tuple[int, int, int]],
    features: int,
    rng: np.random.Generator,
    device: torch.device,
) -> PairBatch:
    batch = len(chosen)
    raw = np.zeros((2, batch, features, store.descriptors.shape[-1]), np.uint8)
    geometry = np.zeros((2, batch, features, 4), np.float32)
    # Padding lies far from everything: NaN is never within a radius, and is neither positive nor
    # negative.
    warped = np.full((2, batch, features, 2), np.nan, np.float32)
    for index, (photo, *views) in enumerate(chosen):
        homographies = store.homographies[photo, views]
        for side, view in enumerate(views):
            count = store.counts[photo, view]
            kept = rng.permutation(count)[:features]
            raw[side, index, : len(kept)] = store.descriptors[photo, view][kept]
            geometry[side, index, : len(kept)] = rows = store.geometry[photo, view][kept]
            other = homographies[1 - side] @ np.linalg.inv(homographies[side])
            warped[side, index, : len(kept)] = warp_points(rows[:, :2].astype(np.float64), other)
    return _to_tensors(store, [photo for photo, *_ in chosen], raw, geometry, warped, device)


def _to_tensors(
    store: ViewStore,
    photos: list[int],
    raw: np.ndarray,
    geometry: np.ndarray,
    warped: np.ndarray,
    device: torch.device,
) -> PairBatch:
    padding = torch.from_numpy(np.isnan(warped).all(-1) & (geometry[..., 2] == 0)).to(device)
    positions = torch.from_numpy(geometry[..., :2]).to(device)
    positive, negative = label_pairs(positions, torch.from_numpy(warped).to(device), padding)
    assumed = np.stack([assumed_camera_matrix(store.shapes[photo]) for photo in photos])
    centre, focal = assumed[:, None, :2, 2], assumed[:, None, [0, 1], [0, 1]]
    normalized = geometry.copy()
    normalized[..., :2] = (geometry[..., :2] - centre) / focal
    if store.settings.detector == "orb":
        flat = unpack_bits(raw.reshape(-1, raw.shape[-1]))
        descriptors = torch.from_numpy(flat.reshape(*raw.shape[:-1], -1)).to(device)
    else:
        descriptors = torch.from_numpy(raw).to(device).float()
        descriptors = torch.nn.functional.normalize(descriptors, dim=-1)
    return PairBatch(
        descriptors, torch.from_numpy(normalized).to(device), padding, positive, negative
    )


def label_pairs(positions: Tensor, seen_at: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
    """Which features of two views show the same point, and which do not.

    Both directions are asked, as a strong zoom makes 3 pixels of one view many of the other:
    positive is within 3 pixels in both views, negative beyond 15 in either.

    Args:
        positions: (2, B, N, 2) pixels.
        seen_at: (2, B, N, 2) where the other view shows them, NaN if nowhere.
        padding: (2, B, N) bool.

    Returns:
        (B, N, N) bool positive and negative.
    """
    in_second = torch.cdist(seen_at[0], positions[1], p=float("inf"))
    in_first = torch.cdist(positions[0], seen_at[1], p=float("inf"))
    present = ~padding[0].unsqueeze(2) & ~padding[1].unsqueeze(1)
    positive = (in_second <= POSITIVE_RADIUS) & (in_first <= POSITIVE_RADIUS) & present
    far = (in_second >= NEGATIVE_RADIUS) | (in_first >= NEGATIVE_RADIUS)
    return positive, far & present
