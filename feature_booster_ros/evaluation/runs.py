# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The runs of ``feature-booster evaluate``: from paths to tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..features import create_extractor
from ..photos import find_photos, split_photos
from ..sources import open_source
from .methods import create_method
from .sequence import STAGES, evaluate_sequence
from .table import format_table
from .warped_photos import WarpedPair, evaluate_warped_pairs, warped_pairs


def photos_table(
    folder: str | Path, specifications: Sequence[str], max_features: int, holdout: int, device: str
) -> str:
    """Methods side by side on warped photographs.

    Args:
        folder: of photographs.
        specifications: the methods, as :func:`create_method` takes them.
        max_features: of an image.
        holdout: only every n-th photograph, those that ``train`` with the same number keeps from
            training; 1 for all of them.
        device: of the boosters.
    """
    photos = split_photos(find_photos(folder), holdout)[1]
    methods = [
        create_method(specification, max_features, device) for specification in specifications
    ]
    pairs: dict[str, list[WarpedPair]] = {}
    rows = []
    for method in methods:
        detector = method.extractor.name
        if detector not in pairs:
            pairs[detector] = warped_pairs(photos, create_extractor(detector, max_features))
        score = evaluate_warped_pairs(pairs[detector], method.describe)
        rows.append(
            [
                method.name,
                f"{score.features:.0f}",
                f"{score.matches:.1f}",
                f"{score.correct:.1f}",
                f"{100 * score.accuracy:.1f}",
            ]
        )
    title = f"{len(photos)} warped photographs, at most {max_features} features"
    return f"{title}\n{format_table(['method', 'features', 'matches', 'correct', 'MMA@3 %'], rows)}"


def sequence_table(
    uri: str, specifications: Sequence[str], max_features: int, gap: int, device: str
) -> str:
    """Methods side by side on a sequence's frames ``gap`` apart; arguments as of
    :func:`photos_table`.
    """
    methods = [
        create_method(specification, max_features, device) for specification in specifications
    ]
    with open_source(uri) as source:
        scores = evaluate_sequence(source, methods, gap)
    header = ["method", "features", "matches", "inliers", "inlier %", *(f"{s} ms" for s in STAGES)]
    rows = [
        [
            method.name,
            f"{score.features:.0f}",
            f"{score.matches:.1f}",
            f"{score.inliers:.1f}",
            f"{100 * score.inliers / max(score.matches, 1):.1f}",
            *(f"{score.milliseconds[stage]:.1f}" for stage in STAGES),
        ]
        for method, score in zip(methods, scores, strict=True)
    ]
    title = f"{scores[0].pairs} pairs {gap} frames apart of {uri}, at most {max_features} features"
    return f"{title}\n{format_table(header, rows)}"
