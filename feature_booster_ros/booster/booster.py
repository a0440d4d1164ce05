# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features in, boosted features out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from ..features import (
    Features,
    check_features,
    descriptor_model,
    known_extractor,
    normalize_keypoints,
)
from .checkpoint import load_checkpoint
from .engines import Engine, create_engine
from .model_config import ModelConfig
from .network import FeatureBooster

_Result = TypeVar("_Result")


class Booster:
    """Applies a FeatureBooster network to the features of an image.

    Args:
        network: with its weights.
        device: "cpu", "cuda", "cuda:N", or "auto" for CUDA if available, else the CPU.
        precision: of the network's arithmetic: "fp32", "fp16", "bf16", or "auto" for fp16 on CUDA
            and else fp32.
        engine: "eager", "fused", "openvino", "cuda_graph", or "auto" for the fastest that the
            device and the network allow; see :mod:`.engines`. All give the same features.
        on_recovery: called with what has happened when an error of CUDA, such as too little memory,
            was survived. The first one is answered by a new engine on the same device, a second
            one, or one of the new engine, by going over to the CPU for good. Without it such errors
            are raised, so that nothing that was asked of CUDA is measured on the CPU.

    Raises:
        TypeError: `network` is a name or a path.
        ValueError: no such device on this machine, no such precision, or no such engine for these.
        RuntimeError: an error of CUDA, here and in all methods, without `on_recovery`.
    """

    def __init__(
        self,
        network: FeatureBooster,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
        on_recovery: Callable[[str], object] | None = None,
    ) -> None:
        if isinstance(network, (str, Path)):
            raise TypeError(
                f"network must be a FeatureBooster, not {type(network).__name__}: use "
                "Booster.from_pretrained for the name of a model or a file"
            )
        self.device = resolve_device(device)
        self.network = network.eval().requires_grad_(False)
        self.problem = ""
        """Why the network runs on the CPU and not on the device asked for; empty if it does not."""
        self._choice = precision, engine
        self._on_recovery = on_recovery
        self._recovering = threading.Lock()
        self._is_rebuilt = False
        self._engine: Engine
        try:
            self._engine = create_engine(network, self.device, precision, engine)
            return
        except RuntimeError as error:
            reason = self._cuda_error(error)
        self._recover(reason)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        device: str = "auto",
        precision: str = "auto",
        model: str | None = None,
        engine: str = "auto",
        on_recovery: Callable[[str], object] | None = None,
    ) -> Booster:
        """Return a booster with the weights of a shipped model or of a file.

        Args:
            name_or_path: as :func:`load_checkpoint` takes it, which says what it raises.
            device: as the constructor takes it.
            precision: as the constructor takes it.
            model: name of the configuration, as :func:`load_checkpoint` takes it.
            engine: as the constructor takes it.
            on_recovery: as the constructor takes it.
        """
        device = str(resolve_device(device))
        return cls(load_checkpoint(name_or_path, model), device, precision, engine, on_recovery)

    @property
    def engine(self) -> str:
        """Name of the engine in use."""
        return self._engine.name

    @property
    def precision(self) -> str:
        """Precision of the network's arithmetic: "fp32", "fp16" or "bf16"."""
        return self._engine.precision

    @property
    def config(self) -> ModelConfig:
        """The network's configuration."""
        return self.network.config

    @property
    def name(self) -> str:
        """The configuration's name, such as "SIFT+Boost-F"."""
        return self.config.name

    @property
    def detector(self) -> str:
        """Name of the extractor whose features the network boosts."""
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
        """Return the same keypoints with boosted descriptors.

        Args:
            features: from the extractor of the network.
            image_shape: (height, width, ...) of their image [px].
            camera_matrix: (3, 3) intrinsics that normalize the keypoints, or None to normalize by
                the image's size, as in training.

        Raises:
            ValueError: the descriptors are not those of the network's extractor, or the keypoints
                lie outside of the image.
        """
        check_features("features", features)
        self._check_descriptors(features)
        if len(features) == 0:
            return Features.empty(self.descriptor_length, self.is_binary, self.name)
        geometry = normalize_keypoints(features, image_shape, camera_matrix)
        if self.config.keypoint_dim == 3:
            geometry = np.column_stack([geometry[:, :2], features.scores])
        descriptors = np.ascontiguousarray(features.descriptors)
        geometry = np.ascontiguousarray(geometry, np.float32)
        boosted = self._run(lambda engine: engine(descriptors, geometry))
        return features.with_descriptors(boosted, self.name)

    def _check_descriptors(self, features: Features) -> None:
        """Raise ValueError unless these are the network's extractor's."""
        if features.descriptor_length != self.config.descriptor_dim:
            raise ValueError(
                f"{self.name} takes {self.detector} descriptors of "
                f"{self.config.descriptor_dim} elements, not of "
                f"{features.descriptor_length}: choose the model that was made for these features"
            )
        if features.model and features.model != descriptor_model(self.detector):
            raise ValueError(
                f"{self.name} boosts {self.detector} descriptors, not those of {features.model}: "
                f"pass features as the {self.detector} extractor returns them, or choose the model "
                "that was made for these"
            )
        extractor = known_extractor(self.detector)
        if extractor is not None and features.is_binary != extractor.is_binary:
            kinds = ("binary", "float") if extractor.is_binary else ("float", "binary")
            raise ValueError(
                f"{self.name} takes {kinds[0]} descriptors of {self.detector}, not {kinds[1]} "
                "ones: choose the model that was made for these features"
            )

    def warm_up(self, count: int) -> None:
        """Allocate memory, and on CUDA record graphs, for up to ``count`` features.

        Without this call the first images of a size take longer than the next.
        """
        self._run(lambda engine: engine.warm_up(count))

    def _run(self, work: Callable[[Engine], _Result]) -> _Result:
        """Return what the engine makes, after errors of CUDA the next engine."""
        while True:
            try:
                return work(self._engine)
            except RuntimeError as error:
                reason = self._cuda_error(error)
            # Not in the handler: the error's traceback keeps memory of the device in use.
            self._recover(reason)

    def _cuda_error(self, error: RuntimeError) -> str:
        """Return the first line of an error of CUDA; raise one that is not to be survived."""
        # PyTorch has no type for all of them; out of memory is "CUDA out of memory".
        if self._on_recovery is None or self.device.type == "cpu" or "CUDA" not in str(error):
            raise error
        return str(error).splitlines()[0]

    def _recover(self, reason: str) -> None:
        """Make another engine: one more on the same device the first time, then on the CPU."""
        assert self._on_recovery is not None  # _cuda_error has raised the error otherwise
        with self._recovering:
            device = self.device
            if device.type == "cpu":
                return  # another thread was first
            # First, so that the old engine's memory is free for the new one. Half precision and
            # engines of CUDA are of no use on a CPU.
            self.device = torch.device("cpu")
            self._engine = create_engine(self.network, self.device)
            if not self._is_rebuilt:
                self._is_rebuilt = True
                try:
                    torch.cuda.empty_cache()
                    self._engine = create_engine(self.network, device, *self._choice)
                    self.device = device
                except Exception as error:  # whatever it is, the CPU works
                    reason = f"{reason}; then {str(error).splitlines()[0]}"
                else:
                    self._on_recovery(f"{reason}: {self.name} was loaded again on {device}")
                    return
            self.problem = f"{self.name} runs on the CPU and not on {device}: {reason}"
            self._on_recovery(self.problem)


def resolve_device(device: str) -> torch.device:
    """Return the torch device of a name; "auto" is CUDA if available.

    Raises:
        ValueError: there is no such device.
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
