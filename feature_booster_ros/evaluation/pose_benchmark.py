# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Relative poses from matches, against known ones, on a list of image pairs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..features import Features
from ..matching import match
from ..pixels import read_gray, shrink
from ..progress import Progress
from .benchmark import MethodScore
from .cameras import resized_matrix, turn_about_axis, turned_matrix
from .methods import Method, describe_all
from .pose_pairs import PosePair
from .pose_tally import PoseTally
from .relative_pose import estimate_pose, pose_error

_IMAGES_KEPT = 16
"""Images whose features are kept for the next pairs: lists go scene by scene."""


def evaluate_pose_pairs(
    pairs: Sequence[PosePair], methods: Sequence[Method], longest_side: int | None = None
) -> list[MethodScore]:
    """The relative pose of every pair, from the essential matrix of its mutual nearest neighbors.

    Args:
        pairs: at least one.
        methods: to compare.
        longest_side: shrink larger images to it, in pixels; None for their own size.

    Raises:
        ValueError: an image cannot be read.
    """

    @lru_cache(_IMAGES_KEPT)
    def view(path: Path, turns: int) -> tuple[list[Features], tuple[int, ...], float]:
        """All methods' features of an image set upright, its stored shape, and its resizing."""
        stored = read_gray(path)
        image, ratio = shrink(stored, longest_side)
        upright = np.ascontiguousarray(np.rot90(image, turns))
        return describe_all(methods, upright), stored.shape, ratio

    tallies = [PoseTally() for _ in methods]
    counts: list[list[float]] = [[] for _ in methods]
    for pair in Progress(pairs, "pairs"):
        described, matrices = [], []
        for path, turns, matrix in zip(pair.images, pair.turns, pair.camera_matrices, strict=True):
            features, shape, ratio = view(path, turns)
            described.append(features)
            matrices.append(resized_matrix(turned_matrix(matrix, shape, turns), ratio))
        before, after = (turn_about_axis(turns) for turns in pair.turns)
        truth = after @ pair.motion @ before.T
        for query, reference, tally, count in zip(*described, tallies, counts, strict=True):
            matches = match(query, reference)
            geometry, motion = estimate_pose(
                query.keypoints[matches.indices[:, 0]],
                reference.keypoints[matches.indices[:, 1]],
                *matrices,
            )
            tally.add(geometry, len(matches), pose_error(motion, truth))
            count.append((len(query) + len(reference)) / 2)
    return [
        MethodScore(
            method=method.name,
            detector=method.extractor.name,
            pairs=len(tally.matches),
            features=float(np.mean(count)),
            matches=float(np.mean(tally.matches)),
            inliers=float(np.mean(tally.inliers)),
            pose=tally.pose_score(),
        )
        for method, tally, count in zip(methods, tallies, counts, strict=True)
    ]
