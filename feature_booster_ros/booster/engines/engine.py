# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The base class of engines."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch

from ..network import FeatureBooster

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Engine(ABC):
    """Runs a network on the features of one image at a time; may be called from any thread.

    Args:
        network: with its weights; it is not changed.
        device: to run on.
        precision: of the arithmetic, a key of ``PRECISIONS``.
    """

    name: str

    def __init__(self, network: FeatureBooster, device: torch.device, precision: str) -> None:
        self.config = network.config
        self.device = device
        self.precision = precision
        self.dtype = PRECISIONS[precision]

    @classmethod
    def missing(cls) -> str | None:
        """Return what this engine needs that is missing on this machine, or None."""
        return None

    @classmethod
    def refusal(cls, network: FeatureBooster) -> str | None:
        """Return why this engine cannot run the network, or None if it can."""
        return None

    @abstractmethod
    def __call__(self, descriptors: np.ndarray, geometry: np.ndarray) -> np.ndarray:
        """Boost descriptors; they are as in :class:`~feature_booster_ros.features.Features`.

        Args:
            descriptors: (N, D) float32 unit rows, or (N, D / 8) uint8 packed bits; N at least 1.
            geometry: (N, K) float32, normalized keypoints.

        Returns:
            (N, output_dim) float32, or (N, output_dim / 8) uint8.
        """

    @abstractmethod
    def warm_up(self, count: int) -> None:
        """Prepare for sets of up to ``count`` features, so that the first is as fast as others."""
