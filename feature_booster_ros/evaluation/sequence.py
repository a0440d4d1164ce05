# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matching along an image sequence, frames a fixed gap apart."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from tqdm import tqdm

from ..features import Features
from ..matching import match, verify
from ..sources import Frame, Source
from .methods import Method

STAGES = ("extract", "boost", "match", "verify")


@dataclass
class SequenceScore:
    """Mean over the pairs of a sequence.

    Attributes:
        pairs: how many pairs.
        features: features an image.
        matches: mutual nearest neighbours a pair.
        inliers: of those, how many agree with one camera motion.
        milliseconds: of each stage: an image's for "extract" and "boost", a pair's for the others;
            the median, as the first pass through a network is slow.
    """

    pairs: int
    features: float
    matches: float
    inliers: float
    milliseconds: dict[str, float]


@dataclass
class _Tally:
    features: list[int] = field(default_factory=list)
    matches: list[int] = field(default_factory=list)
    inliers: list[int] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})


def evaluate_sequence(source: Source, methods: Sequence[Method], gap: int) -> list[SequenceScore]:
    """Every method on every pair of frames ``gap`` apart, in one pass, so that all see the same
    machine.

    The inliers are to the essential matrix where the source knows its camera, else to the
    fundamental matrix, within a pixel.

    Raises:
        ValueError: the gap is below 1, or the source has too few frames for a pair.
    """
    if gap < 1:
        raise ValueError(f"gap must be at least 1 frame, not {gap}")
    tallies = [_Tally() for _ in methods]
    history: list[list[Features]] = []
    for frame in tqdm(source, "frames", source.length):
        image = (
            frame.image if frame.image.ndim == 2 else cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY)
        )
        current = [
            _extract(method, image, tally) for method, tally in zip(methods, tallies, strict=True)
        ]
        if len(history) == gap:
            for reference, query, tally in zip(history.pop(0), current, tallies, strict=True):
                _match(query, reference, frame, tally)
        history.append(current)
    if not tallies[0].matches:
        raise ValueError(f"{source.name} has too few frames for a pair {gap} frames apart")
    return [_score(tally) for tally in tallies]


def _extract(method: Method, image: np.ndarray, tally: _Tally) -> Features:
    start = time.perf_counter()
    features = method.extractor(image)
    extracted = time.perf_counter()
    features = method.describe(features, image.shape)
    tally.seconds["extract"].append(extracted - start)
    tally.seconds["boost"].append(time.perf_counter() - extracted)
    tally.features.append(len(features))
    return features


def _match(query: Features, reference: Features, frame: Frame, tally: _Tally) -> None:
    camera = frame.camera
    start = time.perf_counter()
    matches = match(query, reference)
    matched = time.perf_counter()
    geometry = verify(
        query.keypoints[matches.indices[:, 0]],
        reference.keypoints[matches.indices[:, 1]],
        *([camera.matrix] * 2 if camera else []),
    )
    tally.seconds["match"].append(matched - start)
    tally.seconds["verify"].append(time.perf_counter() - matched)
    tally.matches.append(len(matches))
    tally.inliers.append(int(geometry.inliers.sum()))


def _score(tally: _Tally) -> SequenceScore:
    return SequenceScore(
        pairs=len(tally.matches),
        features=float(np.mean(tally.features)),
        matches=float(np.mean(tally.matches)),
        inliers=float(np.mean(tally.inliers)),
        milliseconds={stage: 1e3 * float(np.median(tally.seconds[stage])) for stage in STAGES},
    )
