# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Store descriptors in files: small, and as precise as they are."""

from __future__ import annotations

import numpy as np

from ...features import extractor_class


def storage_type(detector: str, is_binary: bool) -> np.dtype:
    """Return the element type of :func:`store_descriptors` for a detector."""
    in_bytes = is_binary or extractor_class(detector).bytes_per_unit is not None
    return np.dtype(np.uint8 if in_bytes else np.float16)


def store_descriptors(descriptors: np.ndarray, detector: str) -> np.ndarray:
    """Return descriptors as they are stored.

    Args:
        descriptors: (N, D) of :class:`Features`.
        detector: Name of their extractor.

    Returns:
        (N, D): packed bits unchanged, integer descriptors such as SIFT's (``bytes_per_unit``) as
        bytes, and others as float16.
    """
    if descriptors.dtype == np.uint8:
        return descriptors
    unit = extractor_class(detector).bytes_per_unit
    if unit is not None:
        return np.rint(descriptors * unit).clip(0, 255).astype(np.uint8)
    return descriptors.astype(np.float16)


def restore_descriptors(stored: np.ndarray, is_binary: bool) -> np.ndarray:
    """Return stored descriptors as packed bits or float32 unit rows."""
    if is_binary:
        return stored
    rows = stored.astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, np.finfo(np.float32).tiny)
