# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptors as files keep them: small, and as good as they were."""

from __future__ import annotations

import numpy as np

SIFT_UNIT = 512.0
"""OpenCV's and COLMAP's SIFT have rows of about this length, of integers up to 255; so stored they
lose nothing.
"""


def storage_type(detector: str, is_binary: bool) -> np.dtype:
    """The element type that :func:`store_descriptors` gives for a detector's descriptors."""
    return np.dtype(np.uint8 if is_binary or _is_sift(detector) else np.float16)


def store_descriptors(descriptors: np.ndarray, detector: str) -> np.ndarray:
    """Descriptors (N, D) of :class:`Features` as they are kept: packed bits as they are, SIFT in
    bytes, others in float16.
    """
    if descriptors.dtype == np.uint8:
        return descriptors
    if _is_sift(detector):
        return np.rint(descriptors * SIFT_UNIT).clip(0, 255).astype(np.uint8)
    return descriptors.astype(np.float16)


def restore_descriptors(stored: np.ndarray, is_binary: bool) -> np.ndarray:
    """The opposite of :func:`store_descriptors`: packed bits, or float32 unit rows."""
    if is_binary:
        return stored
    rows = stored.astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, np.finfo(np.float32).tiny)


def _is_sift(detector: str) -> bool:
    return "sift" in detector
