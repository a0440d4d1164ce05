# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIFT by ``sift.cpp``, with OpenCV's features in less than half of its time.

The build makes a library ``libsift.so`` beside this file if there is a C++ compiler.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from pathlib import Path

import cv2
import numpy as np

from .keypoints import unit_rows
from .types import Features

_LIBRARY = Path(__file__).with_name("libsift.so")


class NativeSift:
    """Detect and describe SIFT features of an image, starting at double its size.

    Instances may be called by several threads at a time. Each call uses as many threads as OpenCV
    (``cv2.setNumThreads``).

    Args:
        octave_layers: Scales that an octave is divided into.
        contrast_threshold: Lowest contrast of a keypoint.
        edge_threshold: Largest ratio of principal curvatures.
        sigma: Blur of the first scale [px of the doubled image].

    Raises:
        OSError: The library is not built, or does not fit this machine.
    """

    def __init__(
        self, octave_layers: int, contrast_threshold: float, edge_threshold: float, sigma: float
    ) -> None:
        _library()
        self.images_per_octave = octave_layers + 3
        """Float images that are in memory."""
        self._options = octave_layers, contrast_threshold, edge_threshold, sigma
        # Memory of calls that are over, for the next ones.
        self._free: list[_Workspace] = []

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, limit: int) -> Features:
        """Return the ``limit`` features of highest contrast, in any order.

        Args:
            image: (H, W) uint8, contiguous.
            mask: (H, W) uint8, 0 where no features are wanted, or None; it takes effect last, as
                OpenCV's.
            limit: Number of features.

        Raises:
            MemoryError: There is not enough memory.
        """
        try:
            workspace = self._free.pop()
        except IndexError:
            workspace = _Workspace()
        keypoints, descriptors = workspace.extract(image, mask, limit, self._options)
        self._free.append(workspace)
        # Rows of one quantity each, which are contiguous.
        x, y, scales, angles, scores = np.ascontiguousarray(keypoints.T)
        return Features(np.stack([x, y], 1), scales, angles, scores, unit_rows(descriptors))


class _Workspace:
    """The library's memory for one image at a time."""

    def __init__(self) -> None:
        self._library = _library()
        self._handle = self._library.sift_create()
        if not self._handle:
            raise MemoryError("no memory for SIFT")
        weakref.finalize(self, self._library.sift_destroy, self._handle)

    def extract(
        self,
        image: np.ndarray,
        mask: np.ndarray | None,
        limit: int,
        options: tuple[int, float, float, float],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (N, 5) float32, as sift.cpp says, and descriptors (N, 128) uint8."""
        threads = max(1, cv2.getNumThreads())
        count = self._library.sift_detect(
            self._handle,
            image.ctypes.data,
            None if mask is None else mask.ctypes.data,
            *image.shape,
            min(limit, 2**31 - 1),
            *options,
            threads,
        )
        if count < 0:
            raise MemoryError(f"no memory for SIFT in {image.shape[1]} x {image.shape[0]} pixels")
        keypoints = np.empty((count, 5), np.float32)
        descriptors = np.empty((count, 128), np.uint8)
        if self._library.sift_describe(
            self._handle, keypoints.ctypes.data, descriptors.ctypes.data, threads
        ):
            raise MemoryError(f"no memory for {count} descriptors of SIFT")
        return keypoints, descriptors


@functools.cache
def _library() -> ctypes.CDLL:
    """Load the library; OSError if it is not built or does not fit this machine."""
    library = ctypes.CDLL(str(_LIBRARY))
    pointer, integer, number = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
    library.sift_create.restype = pointer
    library.sift_create.argtypes = []
    library.sift_destroy.restype = None
    library.sift_destroy.argtypes = [pointer]
    library.sift_detect.argtypes = [pointer] * 3 + [integer] * 4 + [number] * 3 + [integer]
    library.sift_describe.argtypes = [pointer] * 3 + [integer]
    return library
