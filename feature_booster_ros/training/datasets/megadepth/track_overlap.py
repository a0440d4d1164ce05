# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How much two images of a reconstruction show of the same, from the points that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class TrackOverlap:
    """Of V images, each with each.

    Attributes:
        shared: (V, V) int32, points that both observe; on the diagonal those that one observes.
        scale_ratios: (V, V) float64, the least change of scale at a shared point, at least 1; -1
            where there is none. The scale of a point in an image is its focal length through its
            depth.
    """

    shared: np.ndarray
    scale_ratios: np.ndarray

    @property
    def overlaps(self) -> np.ndarray:
        """(V, V) float64: share of the points of the row's image that the column's observes too; -1
        on the diagonal, and for an image without points.
        """
        own = np.diag(self.shared).astype(np.float64)
        overlaps = np.where(own[:, None] > 0, self.shared / np.maximum(own[:, None], 1), -1.0)
        overlaps[:, own == 0] = -1.0
        np.fill_diagonal(overlaps, -1.0)
        return overlaps


def track_overlap(points: Sequence[np.ndarray], depths: Sequence[np.ndarray]) -> TrackOverlap:
    """Overlap of V images, in time that grows with the sum of the squared lengths of the tracks.

    Args:
        points: for each image the (N,) ids of the points that it observes, each once.
        depths: for each image their (N,) depths, over its focal length in pixels.
    """
    count = len(points)
    shared = np.zeros((count, count), np.int32)
    scale_ratios = np.full((count, count), np.inf)
    lengths = [len(ids) for ids in points]
    images = np.repeat(np.arange(count), lengths)
    _, tracks = np.unique(np.concatenate([*points, np.zeros(0, np.int64)]), return_inverse=True)
    tracks = tracks.reshape(-1)
    # Observations by track: those of track t are the rows from start t to start t + 1.
    by_track = np.argsort(tracks, kind="stable")
    starts = np.searchsorted(tracks[by_track], np.arange(tracks.max(initial=-1) + 2))
    track_images = images[by_track]
    track_depths = np.concatenate([*depths, np.zeros(0)])[by_track]
    ends = np.cumsum(lengths)
    for image in range(count):
        own = tracks[ends[image] - lengths[image] : ends[image]]
        observed = starts[own + 1] - starts[own]
        before = np.cumsum(observed) - observed
        rows = np.arange(observed.sum()) + np.repeat(starts[own] - before, observed)
        other = track_images[rows]
        shared[image] = np.bincount(other, minlength=count)
        change = np.repeat(depths[image], observed) / track_depths[rows]
        np.minimum.at(scale_ratios[image], other, np.maximum(change, 1 / change))
    scale_ratios[shared == 0] = -1.0
    np.fill_diagonal(scale_ratios, -1.0)
    return TrackOverlap(shared, scale_ratios)
