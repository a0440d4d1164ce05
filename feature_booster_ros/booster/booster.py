# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features in, boosted features out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..features import Features, normalize_keypoints
from .checkpoint import load_checkpoint
from .descriptors import network_input, pack_signs, unpack_bits
from .model_config import ModelConfig
from .network import FeatureBooster

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Booster:
    """Applies a FeatureBooster network to the features of an image.

    Args:
        network: with its weights.
        device: "cpu", "cuda", "cuda:N", or "auto" for CUDA where there is one and else the CPU.
        precision: of the network's arithmetic: "fp32", "fp16" or "bf16".

    Raises:
        ValueError: no such device on this machine, or no such precision.
    """

    def __init__(
        self, network: FeatureBooster, device: str = "auto", precision: str = "fp32"
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
        self.device = resolve_device(device)
        self.precision = precision
        self.network = network.to(self.device, PRECISIONS[precision]).eval().requires_grad_(False)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        device: str = "auto",
        precision: str = "fp32",
        model: str | None = None,
    ) -> Booster:
        """A booster with the weights of a shipped model or of a file; see :func:`load_checkpoint`
        for its errors.
        """
        device = str(resolve_device(device))
        return cls(load_checkpoint(name_or_path, model), device, precision)

    @property
    def config(self) -> ModelConfig:
        """The network's configuration."""
        return self.network.config

    @property
    def name(self) -> str:
        """The configuration's name, as "SIFT+Boost-F"."""
        return self.config.name

    @property
    def detector(self) -> str:
        """The extractor whose features the network was made for."""
        return self.config.detector

    @property
    def is_binary(self) -> bool:
        """Whether the boosted descriptors are packed bits."""
        return self.config.binary

    @property
    def descriptor_length(self) -> int:
        """Elements of one boosted descriptor: floats, or bits when binary."""
        return self.config.output_dim

    def __call__(
        self,
        features: Features,
        image_shape: tuple[int, ...],
        camera_matrix: np.ndarray | None = None,
    ) -> Features:
        """The same keypoints with boosted descriptors.

        Args:
            features: from the extractor that the network was made for.
            image_shape: (height, width, ...) of their image in pixels.
            camera_matrix: (3, 3) intrinsics to normalise the keypoints by, or None for the image's
                size, as in training.

        Raises:
            ValueError: the descriptors are not those of the network's extractor.
        """
        if features.descriptor_length != self.config.descriptor_dim:
            raise ValueError(
                f"{self.name} takes {self.detector} descriptors of "
                f"{self.config.descriptor_dim} elements, not of "
                f"{features.descriptor_length}: choose the model that was made for these features"
            )
        if len(features) == 0:
            return Features.empty(self.descriptor_length, self.is_binary)
        descriptors = (
            unpack_bits(features.descriptors) if features.is_binary else features.descriptors
        )
        geometry = normalize_keypoints(features, image_shape, camera_matrix)
        if self.config.keypoint_dim == 3:
            geometry = np.column_stack([geometry[:, :2], features.scores])
        boosted = self._forward(descriptors, geometry).cpu().numpy()
        return dataclasses.replace(
            features, descriptors=pack_signs(boosted) if self.is_binary else boosted
        )

    @torch.inference_mode()
    def _forward(self, descriptors: np.ndarray, geometry: np.ndarray) -> Tensor:
        """The network's float32 output, (N, output_dim)."""
        inputs = network_input(torch.from_numpy(descriptors).to(self.device), self.config)
        dtype = PRECISIONS[self.precision]
        keypoints = torch.from_numpy(np.ascontiguousarray(geometry, np.float32)).to(self.device)
        boosted = self.network(inputs.to(dtype), keypoints.to(dtype)).float()
        if self.config.l2_normalization and dtype != torch.float32:
            # Rows that were normalised in half precision are off unit length by its rounding.
            boosted = torch.nn.functional.normalize(boosted, dim=-1)
        return boosted


def resolve_device(device: str) -> torch.device:
    """The torch device of that name; "auto" is CUDA where there is one. ValueError if there is no
    such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"no device is called {device!r}: use auto, cpu, cuda or cuda:N"
        ) from error
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f"no device is called {device!r}: use auto, cpu, cuda or cuda:N")
    if resolved.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(
                f"device {device!r} was asked for, but PyTorch sees no CUDA device: use auto or cpu"
            )
        if resolved.index is not None and resolved.index >= torch.cuda.device_count():
            raise ValueError(
                f"device {device!r} was asked for, but there are only "
                f"{torch.cuda.device_count()} CUDA devices"
            )
    return resolved
