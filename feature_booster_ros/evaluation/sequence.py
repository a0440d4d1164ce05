# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matching of frames of a sequence that are fixed numbers of frames apart."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..features import Extractor, Features
from ..matching import match
from ..methods import Method
from ..pixels import to_gray
from ..progress import Progress
from ..sources import Frame, Source
from .metrics import MethodScore
from .relative_pose import PoseTally, pose_error, recover_pose, verify_thoroughly

STAGES = ("extract", "boost", "match", "verify")


@dataclass
class _Tally:
    """What one method gives: features per frame, pairs by gap, seconds by stage."""

    features: list[int] = field(default_factory=list)
    poses: dict[int, PoseTally] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})


def evaluate_sequence(
    source: Source, methods: Sequence[Method], gaps: Sequence[int], wide_pixels: str = "stretch"
) -> dict[int, list[MethodScore]]:
    """Score methods on pairs of frames of a sequence.

    All methods run in one pass, so that all see the same load of the machine. Inliers agree within
    a pixel with the essential matrix if the source knows its intrinsics, else with the fundamental
    matrix. If it knows the frames' poses too, the relative pose is judged; a score's ``pose`` is
    None if no pair has both, or the camera never moves.

    Args:
        source: The sequence.
        methods: Methods to compare.
        gaps: Distances of the two frames of a pair, in frames.
        wide_pixels: How pixels of more than 8 bits become 8 bits, one of ``pixels.WIDE_PIXELS``.

    Returns:
        The methods' scores by gap. The times of "match" and "verify" are over all gaps.

    Raises:
        ValueError: A gap is below 1 or given twice, or the source has too few frames for a pair.
    """
    if not gaps or min(gaps) < 1 or len(set(gaps)) < len(gaps):
        raise ValueError(f"gaps must be different numbers of frames, at least 1, not {list(gaps)}")
    longest = max(gaps)
    too_few = f"{source.name} has too few frames for a pair {longest} frames apart"
    if source.length is not None and source.length <= longest:
        raise ValueError(too_few)
    tallies = [_Tally(poses={gap: PoseTally() for gap in gaps}) for _ in methods]
    history: deque[tuple[Frame, list[Features]]] = deque(maxlen=longest)
    for frame in Progress(source, "frames", source.length):
        current = _describe(methods, to_gray(frame.image, wide_pixels), tallies)
        for gap in gaps:
            if len(history) >= gap:
                before, references = history[-gap]
                for query, reference, tally in zip(current, references, tallies, strict=True):
                    _match(query, reference, frame, before, tally.poses[gap], tally.seconds)
        history.append((frame, current))
    if not tallies[0].poses[longest].matches:  # frames were skipped, or the source is live
        raise ValueError(too_few)
    return {
        gap: [_score(method, tally, gap) for method, tally in zip(methods, tallies, strict=True)]
        for gap in gaps
    }


def _describe(
    methods: Sequence[Method], image: np.ndarray, tallies: Sequence[_Tally]
) -> list[Features]:
    """Return all methods' features, and time them; each extractor runs once."""
    extracted: dict[Extractor, tuple[Features, float]] = {}
    described = []
    for method, tally in zip(methods, tallies, strict=True):
        start = time.perf_counter()
        if method.extractor not in extracted:
            features = method.extractor(image)
            extracted[method.extractor] = features, time.perf_counter() - start
        features, seconds = extracted[method.extractor]
        start = time.perf_counter()
        described.append(method.describe(features, image.shape))
        tally.seconds["extract"].append(seconds)
        tally.seconds["boost"].append(time.perf_counter() - start)
        tally.features.append(len(features))
    return described


def _match(
    query: Features,
    reference: Features,
    frame: Frame,
    before: Frame,
    tally: PoseTally,
    seconds: dict[str, list[float]],
) -> None:
    start = time.perf_counter()
    matches = match(query, reference)
    matched = time.perf_counter()
    points = [
        query.keypoints[matches.indices[:, 0]],
        reference.keypoints[matches.indices[:, 1]],
    ]
    matrices = []
    if frame.camera is not None and before.camera is not None:
        cameras = [frame.camera, before.camera]
        points = [camera.undistort(pixels) for camera, pixels in zip(cameras, points, strict=True)]
        matrices = [camera.matrix for camera in cameras]
    geometry = verify_thoroughly(*points, *matrices)
    seconds["match"].append(matched - start)
    seconds["verify"].append(time.perf_counter() - matched)
    error = float("nan")
    if matrices and frame.pose is not None and before.pose is not None:
        truth = np.linalg.inv(before.pose) @ frame.pose
        error = pose_error(recover_pose(geometry, *points, *matrices), truth)
    tally.add(geometry, len(matches), error)


def _score(method: Method, tally: _Tally, gap: int) -> MethodScore:
    pairs = tally.poses[gap]
    return MethodScore(
        method=method.name,
        detector=method.extractor.name,
        pairs=len(pairs.matches),
        features=float(np.mean(tally.features)),
        matches=float(np.mean(pairs.matches)),
        inliers=float(np.mean(pairs.inliers)),
        pose=pairs.pose_score(),
        milliseconds={stage: 1e3 * float(np.median(tally.seconds[stage])) for stage in STAGES},
    )
