# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Work of one child process: engines, models, numbers of features and their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..features import Features
from .inputs import load_features
from .rounds import Limits

FLOAT, BINARY = "sift", "orb"
"""The detectors whose raw descriptors are matched."""

# Share of the requested features that an image must have for whole frames to be timed.
_SHARE_FOUND = 0.9


@dataclass(frozen=True)
class TimedEngine:
    """An engine to time, and its arithmetic.

    Attributes:
        name: "eager", "fused" or "cuda_graph".
        precision: "fp32", "fp16" or "bf16".
    """

    name: str
    precision: str = "fp32"

    @property
    def label(self) -> str:
        """Name in tables."""
        return self.name if self.precision == "fp32" else f"{self.name} {self.precision}"

    @classmethod
    def parse(cls, text: str) -> TimedEngine:
        """Read NAME or NAME:PRECISION."""
        name, _, precision = text.partition(":")
        return cls(name, precision or "fp32")


EAGER = TimedEngine("eager")
"""The plain network, which all engines are compared with."""


@dataclass(frozen=True)
class TimedModel:
    """A model to time.

    Attributes:
        name: Name of a shipped model, or path of a weights file.
        detector: Name of the extractor of its features.
        refused_by: Names of the engines that cannot run its network.
    """

    name: str
    detector: str
    refused_by: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """Name in tables."""
        return Path(self.name).stem if Path(self.name).is_file() else self.name


@dataclass(frozen=True)
class Task:
    """All that is timed on one device with one number of threads.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        threads: Number of threads of PyTorch, OpenCV and NumPy.
        models: Models to boost with.
        engines: Engines of the device, with ``EAGER`` first.
        features: Numbers of features of an image to time.
        limits: Limits of each comparison.
        folder: Folder of the images and pooled features.
        found: Number of features that each detector finds in one image.
    """

    device: str
    threads: int
    models: tuple[TimedModel, ...]
    engines: tuple[TimedEngine, ...]
    features: tuple[int, ...]
    limits: Limits
    folder: Path
    found: Mapping[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Device and threads in words."""
        return f"{self.device}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    @property
    def is_on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    def engines_for(self, model: TimedModel) -> tuple[TimedEngine, ...]:
        """Return the engines that can run the model."""
        return tuple(engine for engine in self.engines if engine.name not in model.refused_by)

    def frame_features(self, model: TimedModel) -> tuple[int, ...]:
        """Return the numbers of features for which whole frames are timed.

        More than the images have would give the same frames again.
        """
        most = self.found.get(model.detector, 0) / _SHARE_FOUND
        return tuple(count for count in self.features if count <= most) or self.features[:1]

    def images(self) -> list[np.ndarray]:
        """Return the images (H, W) uint8, in order."""
        with np.load(self.folder / "images.npz") as arrays:
            return [arrays[name] for name in arrays.files]

    def pool(self, detector: str, half: int) -> Features:
        """Return raw features of the even images (half 0), or of the odd ones (half 1)."""
        return load_features(pool_path(self.folder, detector, half))


def pool_path(folder: Path, detector: str, half: int) -> Path:
    """Return the file of a pool; a detector's name may be the path of a class."""
    name = "".join(letter if letter.isalnum() else "_" for letter in detector)
    return folder / f"{name}_{half}.npz"
