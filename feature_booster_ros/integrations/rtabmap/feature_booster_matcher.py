# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""RTAB-Map's PyMatcher: mutual nearest neighbors (corelib/src/python/PyMatcher.cpp)."""

from __future__ import annotations

import math

import numpy as np

from feature_booster_ros.features import Features
from feature_booster_ros.matching import match as match_features

_max_distance = math.inf
_device = "cpu"


# The names are RTAB-Map's.
def init(descriptorDim: int, matchThreshold: float, iterations: int, cuda: int, model: str) -> None:
    """Set what RTAB-Map's parameters say; it calls this before the first match.

    Args:
        descriptorDim: Length of the descriptors.
        matchThreshold: ``PyMatcher/Threshold``, the least (1 + cosine similarity) / 2 of a match.
            RTAB-Map's default of 0.2 keeps all.
        iterations: Not used.
        cuda: ``PyMatcher/Cuda``, whether to use a GPU if there is one, 0 or 1.
        model: Not used.
    """
    global _max_distance, _device
    _max_distance = 2 * math.sqrt(max(0.0, 1 - matchThreshold))
    _device = "auto" if cuda else "cpu"


def match(
    kptsFrom: np.ndarray,
    kptsTo: np.ndarray,
    scoresFrom: np.ndarray,
    scoresTo: np.ndarray,
    descriptorsFrom: np.ndarray,
    descriptorsTo: np.ndarray,
    imageWidth: int,
    imageHeight: int,
) -> np.ndarray:
    """Return the pairs of features that are each other's nearest.

    Args:
        kptsFrom: (M, 2) float32 keypoints of the first image.
        kptsTo: (N, 2) of the second.
        scoresFrom: (M,) float32.
        scoresTo: (N,) float32.
        descriptorsFrom: (M, D) float32 rows of unit length.
        descriptorsTo: (N, D) of the second.
        imageWidth: Not used.
        imageHeight: Not used.

    Returns:
        (K, 2) int32 indices in the first and in the second image.
    """
    matches = match_features(
        _features(kptsFrom, scoresFrom, descriptorsFrom),
        _features(kptsTo, scoresTo, descriptorsTo),
        max_distance=_max_distance,
        device=_device,
    )
    return np.ascontiguousarray(matches.indices, np.int32)


def _features(keypoints: np.ndarray, scores: np.ndarray, descriptors: np.ndarray) -> Features:
    unknown = np.zeros(len(keypoints), np.float32)
    return Features(keypoints, unknown, unknown, scores, descriptors)
