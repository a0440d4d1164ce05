# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The folded network, in buffers that are reused."""

from __future__ import annotations

import threading

import numpy as np
import torch

from ..descriptors import network_input, pack_signs, unpack_bits
from ..network import FeatureBooster
from .engine import Engine
from .folded import Buffers, FoldedNetwork

CAPACITY_STEP = 512
"""Number of features by which buffers grow."""


class FusedEngine(Engine):
    """For CPUs, where memory takes most of the time after the matrix products."""

    name = "fused"

    def __init__(self, network: FeatureBooster, device: torch.device, precision: str) -> None:
        super().__init__(network, device, precision)
        self._folded = FoldedNetwork(network, self.dtype, device)
        self._buffers: Buffers | None = None
        self._lock = threading.Lock()

    @classmethod
    def refusal(cls, network: FeatureBooster) -> str | None:
        return FoldedNetwork.refusal(network)

    @torch.inference_mode()
    def __call__(self, descriptors: np.ndarray, geometry: np.ndarray) -> np.ndarray:
        if descriptors.dtype == np.uint8:
            inputs = torch.from_numpy(unpack_bits(descriptors))
        else:
            inputs = network_input(torch.from_numpy(descriptors), self.config)
            if self.config.descriptor_transform == "none":
                inputs = inputs.clone()  # the caller's array must not be overwritten
        inputs = inputs.to(self.device, self.dtype)
        keypoints = torch.from_numpy(geometry).to(self.device, self.dtype)
        with self._lock:
            buffers = self._buffers_for(len(descriptors))
            boosted = self._folded(inputs, keypoints, buffers).float().cpu().numpy()
        return pack_signs(boosted) if self.config.binary else boosted

    def warm_up(self, count: int) -> None:
        with self._lock:
            self._buffers_for(count)

    def _buffers_for(self, count: int) -> Buffers:
        if self._buffers is None or self._buffers.capacity < count:
            capacity = -(-count // CAPACITY_STEP) * CAPACITY_STEP
            self._buffers = None  # freed before the new ones are allocated
            self._buffers = Buffers(self._folded, capacity, self.dtype, self.device)
        return self._buffers
