# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""RTAB-Map's PyDetector with boosted features (corelib/src/python/PyDetector.cpp).

RTAB-Map passes no more than ``PyDetector/Cuda``, so the environment chooses the rest:
``FEATURE_BOOSTER_MODEL``, a shipped model, a weights file or an extractor with float descriptors,
by default SIFT+Boost-F; and ``FEATURE_BOOSTER_MAX_FEATURES``, by default 1000 as
``Vis/MaxFeatures``. Of these RTAB-Map keeps the strongest.
"""

from __future__ import annotations

import os

import numpy as np

from feature_booster_ros.methods import Method, create_method

_method: Method | None = None


def init(cuda: int) -> None:
    """Load the model; RTAB-Map calls this before the first image.

    Args:
        cuda: Whether to use a GPU if there is one, 0 or 1 (RTAB-Map's default).

    Raises:
        ValueError: There is no such model, or the descriptors are binary, which RTAB-Map does not
            take from Python.
    """
    global _method
    name = os.environ.get("FEATURE_BOOSTER_MODEL", "SIFT+Boost-F")
    count = os.environ.get("FEATURE_BOOSTER_MAX_FEATURES", "1000")
    if not count.isdecimal():
        raise ValueError(f"FEATURE_BOOSTER_MAX_FEATURES must be a number, not {count!r}")
    method = create_method(name, int(count), "auto" if cuda else "cpu")
    is_binary = (method.booster or method.extractor).is_binary
    if is_binary:
        raise ValueError(
            f"FEATURE_BOOSTER_MODEL={name} has binary descriptors, which RTAB-Map does not take "
            "from Python: choose SIFT+Boost-F, or another with float descriptors"
        )
    _method = method


def detect(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of an image.

    Args:
        image: (H, W) uint8, memory of RTAB-Map.

    Returns:
        Keypoints (N, 3) float32: x, y and score, with the center of the top-left pixel at 0; and
        descriptors (N, D) float32.
    """
    if _method is None:
        raise RuntimeError("init has not been called")
    features = _method(image)
    keypoints = np.column_stack([features.keypoints, features.scores])
    return np.ascontiguousarray(keypoints, np.float32), np.ascontiguousarray(features.descriptors)
