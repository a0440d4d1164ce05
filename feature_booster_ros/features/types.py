# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The data type that every stage of the package passes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Features:
    """Local features of one image, row i of every array describing the same feature.

    Attributes:
        keypoints: (N, 2) float32, x and y in pixels; the centre of the top-left pixel is (0, 0).
        scales: (N,) float32. SIFT: sigma of the Gaussian in pixels (OpenCV's size / 2);
            ORB: scale of the pyramid level, 1 for the finest (OpenCV's size / 31).
        angles: (N,) float32, orientation in radians, in [0, 2 pi), clockwise as the y axis points
            down.
        scores: (N,) float32, the detector's response; larger is stronger.
        descriptors: (N, D) float32 rows of unit length, or (N, D / 8) uint8 rows of packed bits,
            the first bit of a descriptor being the least significant bit of its first byte.

    Raises:
        ValueError: an array has the wrong shape, length or type; the message names it.
    """

    keypoints: np.ndarray
    scales: np.ndarray
    angles: np.ndarray
    scores: np.ndarray
    descriptors: np.ndarray

    def __post_init__(self) -> None:
        if self.keypoints.ndim != 2 or self.keypoints.shape[1] != 2:
            raise ValueError(f"keypoints must have shape (N, 2), not {self.keypoints.shape}")
        count = len(self.keypoints)
        for name in ("scales", "angles", "scores"):
            shape = getattr(self, name).shape
            if shape != (count,):
                raise ValueError(
                    f"{name} must have shape ({count},) as there are {count} keypoints, not {shape}"
                )
        if self.descriptors.ndim != 2 or len(self.descriptors) != count:
            raise ValueError(
                f"descriptors must have shape ({count}, D) as there are {count} keypoints, "
                f"not {self.descriptors.shape}"
            )
        if self.descriptors.dtype not in (np.float32, np.uint8):
            raise ValueError(
                "descriptors must be float32 (unit rows) or uint8 (packed bits), "
                f"not {self.descriptors.dtype}"
            )

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def is_binary(self) -> bool:
        """Whether the descriptors are packed bits, to be compared by Hamming distance."""
        return self.descriptors.dtype == np.uint8

    @property
    def descriptor_length(self) -> int:
        """Elements of one descriptor: floats, or bits when binary."""
        return self.descriptors.shape[1] * (8 if self.is_binary else 1)

    def select(self, which: np.ndarray) -> Features:
        """The features at ``which``: integer indices (M,) in the order wanted, or a boolean mask
        (N,).
        """
        return Features(
            self.keypoints[which],
            self.scales[which],
            self.angles[which],
            self.scores[which],
            self.descriptors[which],
        )

    @staticmethod
    def empty(descriptor_length: int, binary: bool) -> Features:
        """No features at all, with descriptors of ``descriptor_length`` floats, or bits when
        ``binary``.
        """
        columns, dtype = (
            (descriptor_length // 8, np.uint8) if binary else (descriptor_length, np.float32)
        )
        none = np.zeros(0, np.float32)
        return Features(
            np.zeros((0, 2), np.float32), none, none, none, np.zeros((0, columns), dtype)
        )
