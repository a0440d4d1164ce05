# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Match each frame of a stream with the previous one, or with the last keyframe."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ..features import FeatureFrame
from .matcher import Matches, match
from .two_view import verify


@dataclass(frozen=True)
class FrameMatcherSettings:
    """How frames are matched and verified, and what makes a frame a keyframe.

    Attributes:
        use_keyframes: Match with the last keyframe instead of the previous frame.
        keyframe_min_inliers: Fewer inliers than this make a frame the next keyframe.
        keyframe_max_displacement: A larger median displacement of the inliers, as a share of the
            image's longer side, makes a frame the next keyframe.
        mutual: As :func:`match` takes it.
        ratio: As :func:`match` takes it.
        max_distance: As :func:`match` takes it.
        top_k: As :func:`match` takes it.
        device: As :func:`match` takes it.
        threshold: As :func:`verify` takes it.
        confidence: As :func:`verify` takes it.
        max_iterations: As :func:`verify` takes it.
    """

    use_keyframes: bool = False
    keyframe_min_inliers: int = 100
    keyframe_max_displacement: float = 0.1
    mutual: bool = True
    ratio: float | None = None
    max_distance: float | None = None
    top_k: int | None = None
    device: str = "auto"
    threshold: float = 1.0
    confidence: float = 0.999
    max_iterations: int = 2000


@dataclass(frozen=True, eq=False)
class FrameMatch:
    """The matches of a frame with its reference.

    Attributes:
        query: The frame.
        reference: The frame that it was matched with.
        matches: M matches, indices in the query (column 0) and in the reference (column 1).
        inliers: (M,) bool, which matches agree with one camera motion.
        matching_seconds: Time for the matches.
        verifying_seconds: Time for the inliers.
    """

    query: FeatureFrame
    reference: FeatureFrame
    matches: Matches
    inliers: np.ndarray
    matching_seconds: float
    verifying_seconds: float

    @property
    def query_points(self) -> np.ndarray:
        """Matched pixels (M, 2) of the query."""
        return self.query.features.keypoints[self.matches.indices[:, 0]]

    @property
    def reference_points(self) -> np.ndarray:
        """Matched pixels (M, 2) of the reference."""
        return self.reference.features.keypoints[self.matches.indices[:, 1]]


class FrameMatcher:
    """Match the frames of one stream: of one camera and one kind of descriptors.

    Not safe for threads.

    Args:
        settings: Also an attribute, which may be replaced between two frames.
    """

    def __init__(self, settings: FrameMatcherSettings | None = None) -> None:
        self.settings = settings or FrameMatcherSettings()
        self._reference: FeatureFrame | None = None

    def reset(self) -> None:
        """Forget the reference; the next frame becomes the first one."""
        self._reference = None

    def match(self, query: FeatureFrame) -> FrameMatch | None:
        """Return the matches of a frame with its reference; None for the first frame.

        Raises:
            ValueError: The descriptors cannot be compared, or a setting is out of range. The
                reference stays.
        """
        settings, reference = self.settings, self._reference
        if reference is None:
            self._reference = query
            return None
        begin = time.perf_counter()
        matches = match(
            query.features,
            reference.features,
            mutual=settings.mutual,
            ratio=settings.ratio,
            max_distance=settings.max_distance,
            top_k=settings.top_k,
            device=settings.device,
        )
        matched = time.perf_counter()
        inliers = _verify(matches, query, reference, settings)
        result = FrameMatch(
            query, reference, matches, inliers, matched - begin, time.perf_counter() - matched
        )
        self._reference = next_reference(result, settings)
        return result


def next_reference(result: FrameMatch, settings: FrameMatcherSettings) -> FeatureFrame:
    """Return the frame that the next one is matched with: the query, or the reference again."""
    query, reference = result.query, result.reference
    # Between images of two sizes, a displacement in pixels does not measure a change of view.
    if not settings.use_keyframes or query.shape != reference.shape:
        return query
    if result.inliers.sum() < settings.keyframe_min_inliers:
        # A frame with hardly any features, blurred or dark, would be a worse keyframe still.
        return query if len(query.features) >= settings.keyframe_min_inliers else reference
    moved = (result.query_points - result.reference_points)[result.inliers]
    displacement = np.median(np.linalg.norm(moved, axis=1)) if len(moved) else 0.0
    limit = settings.keyframe_max_displacement * max(query.shape)
    return query if displacement > limit else reference


def _verify(
    matches: Matches, query: FeatureFrame, reference: FeatureFrame, settings: FrameMatcherSettings
) -> np.ndarray:
    """Return (M,) bool, which matches agree with one camera motion."""
    query_points = query.features.keypoints[matches.indices[:, 0]]
    reference_points = reference.features.keypoints[matches.indices[:, 1]]
    query_matrix = reference_matrix = None
    if query.camera is not None and reference.camera is not None:
        query_matrix, reference_matrix = query.camera.matrix, reference.camera.matrix
        query_points = query.camera.undistort(query_points)
        reference_points = reference.camera.undistort(reference_points)
    return verify(
        reference_points,
        query_points,
        reference_matrix,
        query_matrix,
        threshold=settings.threshold,
        confidence=settings.confidence,
        max_iterations=settings.max_iterations,
    ).inliers
