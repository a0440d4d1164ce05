# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Batches of feature pairs with their ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...booster.descriptors import unpack_bits
from ...features import Features
from ...features.normalization import normalize_keypoints
from .pairs import UNKNOWN, FeaturePair

POSITIVE_RADIUS = 3.0
"""Largest distance, along either axis, of two features that show the same point [px]."""
NEGATIVE_RADIUS = 15.0
"""Smallest distance, along either axis, of two that do not; between the two no one says [px]."""


@dataclass(frozen=True)
class PairBatch:
    """B pairs of images of N features each, stacked so that the network sees all in one pass.

    Attributes:
        descriptors: (2, B, N, D) float32: unit rows, or bits as +1 and -1.
        keypoints: (2, B, N, K) float32, normalized as the network takes them.
        padding: (2, B, N) bool, True where there is no feature.
        positive: (B, N, N) bool, True where feature i of the first and j of the second image show
            the same point.
        negative: (B, N, N) bool, True where they do not.
    """

    descriptors: Tensor
    keypoints: Tensor
    padding: Tensor
    positive: Tensor
    negative: Tensor


def collate(
    pairs: Sequence[FeaturePair],
    features: int,
    keypoint_dim: int,
    rng: np.random.Generator,
    device: torch.device,
) -> PairBatch:
    """Return pairs as one batch.

    Args:
        pairs: B pairs.
        features: N, features of an image: drawn at random if it has more, padded if it has fewer.
        keypoint_dim: K, 4 for x, y, scale, angle, or 3 for x, y, score.
        rng: Source of randomness.
        device: Device of the tensors.
    """
    shape = (2, len(pairs), features)
    columns = pairs[0].features[0].descriptor_length
    descriptors = np.zeros((*shape, columns), np.float32)
    keypoints = np.zeros((*shape, keypoint_dim), np.float32)
    # Padding is at NaN, which is never within a radius and never beyond one.
    positions = np.full((*shape, 2), UNKNOWN, np.float32)
    seen_at = np.full((*shape, 2), UNKNOWN, np.float32)
    padding = np.ones(shape, bool)
    for index, pair in enumerate(pairs):
        for side in (0, 1):
            whole = pair.features[side]
            kept = rng.permutation(len(whole))[:features]
            drawn = whole.select(kept)
            row = side, index, slice(len(kept))
            descriptors[row] = (
                unpack_bits(drawn.descriptors) if drawn.is_binary else drawn.descriptors
            )
            keypoints[row] = keypoint_geometry(drawn, pair.shapes[side], keypoint_dim)
            positions[row] = drawn.keypoints
            seen_at[row] = pair.seen_at[side][kept]
            padding[row] = False

    def on_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    positive, negative = label_pairs(on_device(positions), on_device(seen_at))
    return PairBatch(
        on_device(descriptors), on_device(keypoints), on_device(padding), positive, negative
    )


def keypoint_geometry(features: Features, shape: tuple[int, int], keypoint_dim: int) -> np.ndarray:
    """Return the geometry (N, K) float32 that the network takes, normalized by the image's size."""
    geometry = normalize_keypoints(features, shape)
    if keypoint_dim == 3:
        return np.column_stack([geometry[:, :2], features.scores])
    return geometry


def label_pairs(positions: Tensor, seen_at: Tensor) -> tuple[Tensor, Tensor]:
    """Return which features of two images show the same point, and which do not.

    Positive is within ``POSITIVE_RADIUS`` in both images, negative beyond ``NEGATIVE_RADIUS`` in
    either: with a strong zoom, 3 pixels of one image are many of the other.

    Args:
        positions: (2, B, N, 2) pixels, NaN for padding.
        seen_at: (2, B, N, 2) pixels of the other image that show the features: NaN if unknown,
            infinity if nowhere.

    Returns:
        (B, N, N) bool positive and (B, N, N) bool negative.
    """
    in_second = _chebyshev(seen_at[0], positions[1])
    in_first = _chebyshev(positions[0], seen_at[1])
    positive = (in_second <= POSITIVE_RADIUS) & (in_first <= POSITIVE_RADIUS)
    return positive, (in_second >= NEGATIVE_RADIUS) | (in_first >= NEGATIVE_RADIUS)


def _chebyshev(a: Tensor, b: Tensor) -> Tensor:
    """Return the larger coordinate difference of points, NaN where a coordinate is.

    ``torch.cdist`` has this norm too, but takes NaN for 0.

    Args:
        a: (B, M, 2).
        b: (B, N, 2).

    Returns:
        (B, M, N).
    """
    difference = (a.unsqueeze(2) - b.unsqueeze(1)).abs_()
    return torch.maximum(difference[..., 0], difference[..., 1])
