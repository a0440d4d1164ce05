# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The module itself."""

from __future__ import annotations

import copy

import numpy as np
import torch

from ..descriptors import network_input, pack_signs, unpack_bits
from ..network import FeatureBooster
from .engine import Engine


class EagerEngine(Engine):
    """The reference for the results and the speed of the other engines."""

    name = "eager"

    def __init__(self, network: FeatureBooster, device: torch.device, precision: str) -> None:
        super().__init__(network, device, precision)
        self._network = copy.deepcopy(network).to(device, self.dtype).eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, descriptors: np.ndarray, geometry: np.ndarray) -> np.ndarray:
        if descriptors.dtype == np.uint8:
            descriptors = unpack_bits(descriptors)
        inputs = network_input(torch.from_numpy(descriptors).to(self.device), self.config)
        keypoints = torch.from_numpy(geometry).to(self.device)
        boosted = self._network(inputs.to(self.dtype), keypoints.to(self.dtype)).float()
        if self.config.l2_normalization and self.dtype != torch.float32:
            # The rounding of half precision changes the length of the rows.
            boosted = torch.nn.functional.normalize(boosted, dim=-1)
        boosted = boosted.cpu().numpy()
        return pack_signs(boosted) if self.config.binary else boosted

    def warm_up(self, count: int) -> None:
        """Do nothing: memory is allocated for each set of features."""
