# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a training run is made of."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from ..photos import ViewDistribution


@dataclass(frozen=True)
class TrainingSettings:
    """One training run on photographs; the command line has an option for every field.

    Raises:
        ValueError: a value is out of range; the message names it.
    """

    model: str = field(metadata={"help": "configuration in models.yaml to train, as SIFT+Boost-F"})
    photos: str = field(metadata={"help": "folder of photographs, searched with its subfolders"})
    output: str = field(metadata={"help": "folder of the run: weights, log and settings"})
    cache: str = field(
        default="", metadata={"help": "folder of extracted views; by default OUTPUT/cache"}
    )
    start: str = field(
        default="identity",
        metadata={
            "help": "where to start: identity (near it), random, or the weights of a file or model"
        },
    )
    descriptor_transform: str = field(
        default="", metadata={"help": "none or rootsift; by default what models.yaml says"}
    )
    steps: int = field(
        default=20000, metadata={"help": "optimizer steps; 0 writes what it starts from"}
    )
    batch: int = field(default=16, metadata={"help": "image pairs of a step"})
    features: int = field(
        default=512, metadata={"help": "features of an image, drawn from those of its view"}
    )
    views: int = field(default=10, metadata={"help": "warped views extracted of each photograph"})
    view_features: int = field(default=768, metadata={"help": "features kept of a view"})
    lr: float = field(default=1e-3, metadata={"help": "learning rate of AdamW at its peak"})
    warmup: int = field(default=500, metadata={"help": "steps of linear warm-up"})
    weight_decay: float = field(default=0.0, metadata={"help": "weight decay of AdamW"})
    clip: float = field(default=1.0, metadata={"help": "largest norm of the gradient"})
    boost_weight: float = field(default=10.0, metadata={"help": "weight of the boost loss"})
    bins: int = field(
        default=10, metadata={"help": "bins of FastAP's histogram; more rank more finely"}
    )
    precision: str = field(
        default="fp32", metadata={"help": "of the network while training: fp32 or bf16"}
    )
    holdout: int = field(
        default=10, metadata={"help": "every n-th photograph is kept from training, to validate on"}
    )
    validate_every: int = field(
        default=2000, metadata={"help": "steps between validations and saved weights"}
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda or cuda:N"})
    threads: int = field(default=0, metadata={"help": "CPU threads; 0 for all cores"})
    seed: int = field(
        default=0,
        metadata={"help": "of the pairs drawn and of fresh weights; views have their own"},
    )

    def __post_init__(self) -> None:
        for lowest, names in (
            (0, "steps warmup weight_decay boost_weight threads seed"),
            (1, "batch features view_features validate_every bins"),
            (2, "views holdout"),
        ):
            for name in names.split():
                self._require(name, getattr(self, name) >= lowest, f"at least {lowest}")
        for name in ("lr", "clip"):
            self._require(name, getattr(self, name) > 0, "above 0")
        self._require("precision", self.precision in ("fp32", "bf16"), "fp32 or bf16")

    def command(self) -> str:
        """The command line of this run, with PHOTOS and RUN for its folders."""
        words = ["feature-booster train --photos PHOTOS --output RUN"]
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name not in ("photos", "output", "cache") and value != option.default:
                # Of weights to start from, the folder means nothing elsewhere.
                text = Path(value).name if option.name == "start" else value
                words.append(f"--{option.name.replace('_', '-')} {text}")
        return " ".join(words)

    def _require(self, name: str, valid: bool, expected: str) -> None:
        if not valid:
            raise ValueError(f"{name} must be {expected}, not {getattr(self, name)!r}")

    @property
    def distribution(self) -> ViewDistribution:
        """How the views differ."""
        return ViewDistribution()
