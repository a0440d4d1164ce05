# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matches of the frame pairs of a sequence, as statistics, pictures and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..matching.drawing import draw_matches, tile


@dataclass(frozen=True, eq=False)
class FramePair:
    """The matches between two frames.

    Attributes:
        query, reference: Numbers of the frames in their sequence.
        features: Number of features of the query frame.
        query_points, reference_points: (M, 2) matched pixels.
        inliers: (M,) bool, whether a match agrees with the two-view geometry estimated from all.
        confirmed: (M,) bool, whether ground truth confirms a match; None without ground truth.
    """

    query: int
    reference: int
    features: int
    query_points: np.ndarray
    reference_points: np.ndarray
    inliers: np.ndarray
    confirmed: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inliers)


@dataclass(frozen=True)
class PairStatistics:
    """Means over the pairs of a sequence.

    Attributes:
        pairs: Number of pairs.
        features: Features per frame.
        matches, inliers: Per pair.
        confirmed: Matches per pair that ground truth confirms; None without ground truth.
        precision: Share of all matches that are confirmed (NaN without a match), or None.
        inlier_precision: Share of all inliers that are confirmed (NaN without an inlier), or None.
        fewest_inliers: Inliers of the worst pair.
    """

    pairs: int
    features: float
    matches: float
    inliers: float
    confirmed: float | None
    precision: float | None
    inlier_precision: float | None
    fewest_inliers: int


def pair_statistics(pairs: Sequence[FramePair]) -> PairStatistics:
    """Average over pairs.

    Raises:
        ValueError: There is no pair.
    """
    if not pairs:
        raise ValueError("there is no frame pair to average over")
    matches = np.array([len(pair) for pair in pairs])
    inliers = np.array([pair.inliers.sum() for pair in pairs])
    confirmed = precision = inlier_precision = None
    marks = [(pair.confirmed, pair.inliers) for pair in pairs if pair.confirmed is not None]
    if len(marks) == len(pairs):
        right = sum(int(is_right.sum()) for is_right, _ in marks)
        right_inliers = sum(int((is_right & is_inlier).sum()) for is_right, is_inlier in marks)
        confirmed = right / len(pairs)
        precision = right / matches.sum() if matches.sum() else float("nan")
        inlier_precision = right_inliers / inliers.sum() if inliers.sum() else float("nan")
    return PairStatistics(
        pairs=len(pairs),
        features=float(np.mean([pair.features for pair in pairs])),
        matches=float(matches.mean()),
        inliers=float(inliers.mean()),
        confirmed=confirmed,
        precision=precision,
        inlier_precision=inlier_precision,
        fewest_inliers=int(inliers.min()),
    )


def common_pairs(
    compared: Mapping[str, Sequence[FramePair]],
) -> dict[str, list[FramePair]]:
    """Keep the frame pairs that all methods have, in order, so that all are judged on the same."""
    keys = [{(pair.query, pair.reference) for pair in pairs} for pairs in compared.values()]
    shared = set.intersection(*keys) if keys else set()
    return {
        name: sorted(
            (pair for pair in pairs if (pair.query, pair.reference) in shared),
            key=lambda pair: pair.query,
        )
        for name, pairs in compared.items()
    }


def compare_matches(
    pairs: Mapping[str, FramePair],
    query_image: np.ndarray,
    reference_image: np.ndarray,
    max_lines: int = 150,
) -> np.ndarray:
    """Draw one frame pair as matched by several methods, one below the other.

    A match is green where ground truth confirms it, and red where not; without ground truth, green
    where it is an inlier of the two-view geometry.

    Args:
        pairs: The same pair's matches by name of the method.
        query_image: (H, W) or (H, W, 3) BGR, uint8.
        reference_image: The same of the reference frame.
        max_lines: Most matches to draw for each method.

    Returns:
        (H', W', 3) uint8 BGR.
    """
    rows = []
    for name, pair in pairs.items():
        marks, noun = pair.confirmed, "confirmed by ground truth"
        if marks is None:
            marks, noun = pair.inliers, "inliers"
        rows.append(
            draw_matches(
                query_image,
                reference_image,
                pair.query_points,
                pair.reference_points,
                marks,
                caption=f"{name}, frames {pair.reference} and {pair.query}",
                max_lines=max_lines,
                noun=noun,
            )
        )
    return tile(rows, columns=1)


def contact_sheet(images: Sequence[np.ndarray], columns: int = 4, width: int = 320) -> np.ndarray:
    """Arrange images of one size, shrunk to `width` pixels, in rows of `columns`.

    Returns:
        (H', W', ...) uint8; the last row is filled up with black.
    """
    height = max(1, round(images[0].shape[0] * width / images[0].shape[1]))
    tiles = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in images]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % min(columns, len(tiles)))
    columns = min(columns, len(tiles))
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(rows)


def plot_pairs(path: Path, compared: Mapping[str, Sequence[FramePair]], title: str = "") -> None:
    """Plot matches, inliers and confirmed matches over the frames, and write it to `path` (PNG).

    Raises:
        ImportError: matplotlib is not installed.
    """
    # Here, so that all else works without it; the canvas, unlike pyplot, asks for no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {
        "mutual matches": len,
        "inliers of the two-view geometry": lambda pair: pair.inliers.sum(),
    }
    if all(pair.confirmed is not None for pairs in compared.values() for pair in pairs):
        panels["matches confirmed by ground truth"] = lambda pair: pair.confirmed.sum()
        panels["share confirmed"] = lambda pair: pair.confirmed.mean() if len(pair) else np.nan
    figure = Figure(figsize=(9, 2.2 * len(panels) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (label, value) in zip(
        figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0],
        panels.items(),
        strict=True,
    ):
        for name, pairs in compared.items():
            axes.plot([pair.query for pair in pairs], [value(pair) for pair in pairs], label=name)
        axes.set_ylabel(label, fontsize=8)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    axes.set_xlabel("frame")
    figure.axes[0].legend(loc="lower left", fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
