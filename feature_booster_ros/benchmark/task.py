# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What one child process has to time."""

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


_SHARE_FOUND = 0.9  # of the features asked for, in an image that is said to have them


@dataclass(frozen=True)
class TimedEngine:
    """An engine of Booster, and its arithmetic.

    Attributes:
        name: "eager", "fused" or "cuda_graph".
        precision: "fp32", "fp16" or "bf16".
    """

    name: str
    precision: str = "fp32"

    @property
    def label(self) -> str:
        """As it stands in tables."""
        return self.name if self.precision == "fp32" else f"{self.name} {self.precision}"

    @classmethod
    def parse(cls, text: str) -> TimedEngine:
        """Read NAME or NAME:PRECISION."""
        name, _, precision = text.partition(":")
        return cls(name, precision or "fp32")


EAGER = TimedEngine("eager")
"""The plain network, which all are compared with."""


@dataclass(frozen=True)
class TimedModel:
    """A booster to time.

    Attributes:
        name: of a shipped model, or the path of a weights file.
        detector: that its features come from.
        refused_by: names of the engines that cannot run its network.
    """

    name: str
    detector: str
    refused_by: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """As it stands in tables."""
        return Path(self.name).stem if Path(self.name).is_file() else self.name


@dataclass(frozen=True)
class Task:
    """All that is timed on one device with one number of threads.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        threads: of PyTorch, OpenCV and NumPy.
        models: to boost with.
        engines: that the device has, ``EAGER`` the first.
        features: of an image, each to be timed.
        limits: of each comparison.
        folder: of the images and pooled features.
        found: features that a detector finds in one image, as far as they are of use.
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
        """In words."""
        return f"{self.device}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    @property
    def is_on_gpu(self) -> bool:
        """Whether the device is a CUDA one."""
        return self.device.startswith("cuda")

    def engines_for(self, model: TimedModel) -> tuple[TimedEngine, ...]:
        """Those of the engines that can run the model."""
        return tuple(engine for engine in self.engines if engine.name not in model.refused_by)

    def frame_features(self, model: TimedModel) -> tuple[int, ...]:
        """The numbers of features for which whole frames are timed: what the images have, as more
        would be the same again.
        """
        most = self.found.get(model.detector, 0) / _SHARE_FOUND
        return tuple(count for count in self.features if count <= most) or self.features[:1]

    def images(self) -> list[np.ndarray]:
        """The images (H, W) uint8, in their order."""
        with np.load(self.folder / "images.npz") as arrays:
            return [arrays[name] for name in arrays.files]

    def pool(self, detector: str, half: int) -> Features:
        """Raw features of the even images (half 0), or of the odd ones (half 1)."""
        return load_features(pool_path(self.folder, detector, half))


def pool_path(folder: Path, detector: str, half: int) -> Path:
    """Where a pool lies; a detector's name may be a path of a class."""
    name = "".join(letter if letter.isalnum() else "_" for letter in detector)
    return folder / f"{name}_{half}.npz"
