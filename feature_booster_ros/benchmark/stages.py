# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cost of extraction, of matching, and of a whole frame from image to verified matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from functools import partial

import cv2
import numpy as np

from ..booster import Booster
from ..features import Features, create_extractor
from ..matching import Matches, match, verify
from .inputs import exactly
from .rounds import Comparison, Limits, compare, time_rounds
from .task import EAGER, TimedEngine

OPENCV_SIFT = "OpenCV SIFT"
"""Name of OpenCV's SIFT in comparisons."""
OPENCV_MATCHER = "OpenCV BFMatcher"
"""Name of OpenCV's brute-force matcher in comparisons."""
MATCH = "match"
"""Name of :func:`matching.match` in comparisons."""

# Pairs of successive images that whole frames are timed on.
_FRAME_PAIRS = 3


def compare_extraction(
    images: Sequence[np.ndarray], max_features: int, limits: Limits
) -> Comparison:
    """Time OpenCV's SIFT, ours with and without the doubled image, and ORB, on one image per round.

    Returns:
        The comparison; each way has the note ``found``, the mean number of features of an image.
    """
    opencv = cv2.SIFT_create(max_features)  # type: ignore[attr-defined]
    extractors: dict[str, Callable[[np.ndarray], Sized]] = {
        OPENCV_SIFT: lambda image: opencv.detectAndCompute(image, None)[0][:max_features],
        "SIFT": create_extractor("sift", max_features),
        "SIFT first_octave 0": create_extractor("sift", max_features, first_octave=0),
        "ORB": create_extractor("orb", max_features),
    }

    def extract(extractor: Callable[[np.ndarray], Sized], number: int) -> Sized:
        return extractor(images[number % len(images)])

    ways = {name: partial(extract, extractor) for name, extractor in extractors.items()}
    seconds = time_rounds(ways, limits)
    notes = {
        name: {"found": float(np.mean([len(extractor(image)) for image in images[:3]]))}
        for name, extractor in extractors.items()
    }
    subject = f"{images[0].shape[1]}x{images[0].shape[0]}"
    return compare("extraction", subject, max_features, seconds, OPENCV_SIFT, notes)


def compare_matching(
    pools: tuple[Features, Features], count: int, device: str, limits: Limits
) -> Comparison:
    """Time mutual nearest neighbors by ``match`` and by OpenCV's brute force with cross-check.

    Args:
        pools: Real features to draw those of the query and of the reference from.
        count: Features of each.
        device: Device of ``match``; OpenCV's matcher runs on the CPU.
        limits: Limits of the rounds.

    Returns:
        The comparison; ``match`` has the note ``shared``, the share of OpenCV's matches that it
        finds too.
    """
    query, reference = (exactly(pool, count) for pool in pools)
    norm = cv2.NORM_HAMMING if query.is_binary else cv2.NORM_L2
    matcher = cv2.BFMatcher(norm, crossCheck=True)
    seconds = time_rounds(
        {
            OPENCV_MATCHER: lambda _: matcher.match(query.descriptors, reference.descriptors),
            MATCH: lambda _: match(query, reference, device=device),
        },
        limits,
    )
    theirs = {
        (found.queryIdx, found.trainIdx)
        for found in matcher.match(query.descriptors, reference.descriptors)
    }
    ours = set(map(tuple, match(query, reference, device=device).indices.tolist()))
    kind = "binary" if query.is_binary else "float"
    return compare(
        "matching",
        f"{kind} {query.descriptor_length}",
        count,
        seconds,
        OPENCV_MATCHER,
        {MATCH: {"shared": len(theirs & ours) / max(1, len(theirs))}},
    )


def compare_frames(
    boosters: dict[TimedEngine, Booster],
    label: str,
    images: Sequence[np.ndarray],
    max_features: int,
    limits: Limits,
) -> Comparison:
    """Time a frame with each engine, stage by stage and as a whole.

    The stages are extract, boost, match with the previous frame, and verify by two-view geometry.

    Returns:
        The comparison, whose baseline is the whole frame by ``EAGER``; extraction and matching have
        the note ``found``, the mean number of features or matches.
    """
    eager = boosters[EAGER]
    device = str(eager.device)
    extractor = create_extractor(eager.detector, max_features)
    pairs = [
        _FramePair(images[index], images[index + 1], extractor, eager, device)
        for index in range(min(_FRAME_PAIRS, len(images) - 1))
    ]

    def frame(pair: _FramePair, booster: Booster) -> None:
        boosted = booster(extractor(pair.image), pair.image.shape)
        _verify(boosted, pair.before, match(boosted, pair.before, device=device))

    def boost(pair: _FramePair, booster: Booster) -> Features:
        return booster(pair.raw, pair.image.shape)

    def on_pair(work: Callable[[_FramePair], object]) -> Callable[[int], object]:
        return lambda number: work(pairs[number % len(pairs)])

    ways = {"extract": on_pair(lambda pair: extractor(pair.image))}
    for engine, booster in boosters.items():
        ways[f"boost {engine.label}"] = on_pair(partial(boost, booster=booster))
    ways["match"] = on_pair(lambda pair: match(pair.boosted, pair.before, device=device))
    ways["verify"] = on_pair(lambda pair: _verify(pair.boosted, pair.before, pair.matches))
    for engine, booster in boosters.items():
        ways[f"frame {engine.label}"] = on_pair(partial(frame, booster=booster))
    notes = {
        "extract": {"found": float(np.mean([len(pair.raw) for pair in pairs]))},
        "match": {"found": float(np.mean([len(pair.matches) for pair in pairs]))},
    }
    seconds = time_rounds(ways, limits)
    return compare("frame", label, max_features, seconds, f"frame {EAGER.label}", notes)


class _FramePair:
    """A frame and the previous one, as the input of each stage."""

    def __init__(
        self,
        before: np.ndarray,
        image: np.ndarray,
        extractor: Callable[[np.ndarray], Features],
        booster: Booster,
        device: str,
    ) -> None:
        self.image = image
        self.before = booster(extractor(before), before.shape)
        self.raw = extractor(image)
        self.boosted = booster(self.raw, image.shape)
        self.matches = match(self.boosted, self.before, device=device)


def _verify(a: Features, b: Features, matches: Matches) -> object:
    return verify(a.keypoints[matches.indices[:, 0]], b.keypoints[matches.indices[:, 1]])
