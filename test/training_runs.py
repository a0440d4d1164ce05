# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs and settings for tests of training, small enough for seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage import data

from feature_booster_ros.features import Features
from feature_booster_ros.training.datasets import PairSource, ViewGroup
from feature_booster_ros.training.datasets.pairs import FixedPairs, fix_pairs
from feature_booster_ros.training.datasets.sources import (
    OpeningContext,
    PairSourceSpecification,
)
from feature_booster_ros.training.settings import TrainingSettings


def write_photos(folder: Path) -> Path:
    """Nine photographs and a file that is none."""
    images = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    images += [data.immunohistochemistry(), data.camera(), data.brick(), data.grass()]
    for number, image in enumerate([*images, data.gravel()]):
        bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{number}.jpg"), bgr)
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def shifted_pair(rng: np.random.Generator, count: int = 40, shift: float = 20.0) -> ViewGroup:
    """Features of SIFT's kind and of the same points some pixels to the right, in another order,
    whose descriptors differ by noise.
    """
    points = rng.uniform(0, 200, (count, 2)).astype(np.float32)
    descriptors = np.abs(rng.normal(size=(count, 128)))
    order = rng.permutation(count)
    there = [shift, 0.0]
    sides = []
    for positions, rows in ((points, descriptors), ((points + there)[order], descriptors[order])):
        noisy = np.abs(rows + rng.normal(0, 0.8, rows.shape))
        unit = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
        ones = np.ones(count, np.float32)
        sides.append(Features(positions.astype(np.float32), ones, ones, ones, unit))
    seen_at = sides[0].keypoints + there, sides[1].keypoints - there
    shapes = (240, 240), (240, 240)
    there, back = (np.pad(s, [(0, 0), (0, 1)]).astype(np.float32) for s in seen_at)
    return ViewGroup((sides[0], sides[1]), shapes, ((there, back),))


class ShiftedPairs(PairSource):
    """Endless :func:`shifted_pair`."""

    detector = "sift"

    def __len__(self) -> int:
        return 8

    def draw(self, rng: np.random.Generator) -> ViewGroup | None:
        return shifted_pair(rng)


@dataclass(frozen=True)
class ShiftedSpecification(PairSourceSpecification):
    """Trains on shifted pairs."""

    kind = "shifted"

    path: str = field(default="", metadata={"help": "unused"})

    def open_training(self, context: OpeningContext) -> PairSource:
        return ShiftedPairs()

    def open_validation(self, context: OpeningContext) -> FixedPairs | None:
        return fix_pairs(ShiftedPairs(), 3)


def small_settings(output: Path, **changes: Any) -> TrainingSettings:
    """Six steps on shifted pairs."""
    values = {
        "model": "SIFT+Boost-F",
        "data": (ShiftedSpecification(),),
        "output": str(output),
        "steps": 6,
        "batch": 4,
        "features": 32,
        "warmup": 2,
        "validate_every": 100,
        "log_every": 1,
        "device": "cpu",
        "threads": 1,
    }
    return TrainingSettings(**{**values, **changes})


def read_log(output: Path) -> list[dict]:
    """The entries of a run's log."""
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def logged_losses(output: Path) -> list[float]:
    """The losses of a run's log."""
    return [entry["loss"] for entry in read_log(output) if "loss" in entry]
