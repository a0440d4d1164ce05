# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of a training run, which ``config/training/all_settings.yaml`` explains too."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import read_text
from .configuration import read_fields
from .datasets.sources import DATA_KINDS, PairSourceSpecification, parse_specification

CHOICES: dict[str, tuple[str, ...]] = {
    "loss": ("fastap", "reward", "gce"),
    "optimizer": ("adamw", "adam", "sgd"),
    "decay": ("cosine", "linear", "none"),
    "precision": ("fp32", "bf16", "fp16"),
}


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training run; the command line has an option for every field.

    Raises:
        ValueError: A value is out of range; the message names it.
    """

    model: str = field(metadata={"help": "configuration of models.yaml, such as SIFT+Boost-F"})
    data: tuple[PairSourceSpecification, ...] = field(
        metadata={
            "help": "sources of image pairs, mixed by weight: KIND:PATH[,option=value...], where "
            f"KIND is {', '.join(DATA_KINDS)}"
        }
    )
    output: str = field(metadata={"help": "folder of the run: weights, checkpoint, log, settings"})
    models: str = _option(
        "", "table of models of your own; by default what FEATURE_BOOSTER_MODELS names"
    )
    cache: str = _option("", "folder for features extracted once; by default OUTPUT/cache")
    resume: bool = _option(False, "continue the run in OUTPUT where it ended")
    start: str = _option(
        "identity",
        "where to start: identity (near it), random, or the weights of a file or model",
    )
    geometry_code: bool = _option(
        False, "whether a binary network starts with bits that code the keypoint's geometry"
    )
    silence_units: bool = _option(
        False, "whether to start without units of the encoders that no feature makes fire"
    )
    network: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={
            "help": "fields of the model that differ from models.yaml, as YAML such as "
            "'{use_cross: false, descriptor_encoder: [256]}'"
        },
    )
    dropout: float = _option(0.0, "probability of dropping an element while training")
    epochs: float = _option(50.0, "how often to go through the data; steps comes before it")
    steps: int | None = _option(None, "optimizer steps; 0 writes what it starts from")
    batch: int = _option(16, "draws of a step, over all processes: image pairs, or more views")
    features: int = _option(512, "features of an image, drawn from those it has")
    loss: str = _option(
        "fastap",
        "fastap (the paper's, with the boost loss), reward (of matching), or gce "
        "(generalized cross-entropy of matching)",
    )
    fastap_weight: float | None = _option(None, "weight of 1 - AP; by default 1 for fastap, else 0")
    boost_weight: float | None = _option(
        None, "weight of the boost loss; by default 10 for fastap, else 0"
    )
    reward_weight: float | None = _option(
        None, "weight of the matching reward; by default 1 for reward, else 0"
    )
    bins: int = _option(10, "bins of FastAP's histogram; more rank more finely")
    temperature: float = _option(20.0, "sharpness of the probabilities of reward and gce")
    wrong_weight: float = _option(0.25, "cost of a wrong match in reward and gce")
    soft_signs: float = _option(
        0.0,
        "gain of the tanh in place of a binary model's signs in the loss; 0: the signs, with "
        "the gradient of the identity",
    )
    optimizer: str = _option("adamw", "adamw, adam or sgd (momentum 0.9)")
    lr: float = _option(1e-3, "learning rate at its peak")
    warmup: int = _option(500, "steps of linear warm-up")
    decay: str = _option("cosine", "of the learning rate after the warm-up: cosine, linear or none")
    final_lr: float = _option(0.0, "learning rate at the last step, as a share of the peak's")
    weight_decay: float = _option(0.0, "weight decay")
    clip: float = _option(1.0, "largest norm of the gradient")
    ema: float = _option(
        0.0, "decay of the weights' moving average, which is then what is saved; 0: none"
    )
    precision: str = _option("fp32", "of the network in training: fp32, bf16, or fp16 on CUDA")
    validate_every: int = _option(2000, "steps between validations, saved weights and checkpoints")
    log_every: int = _option(50, "steps between lines of the log")
    device: str = _option("auto", "auto, cpu, cuda or cuda:N")
    threads: int = _option(0, "CPU threads, and processes that extract; 0 for all cores")
    workers: int = _option(0, "processes that draw pairs ahead; for features extracted in training")
    seed: int = _option(0, "seed of the pairs drawn and of new weights; views have their own seed")

    def __post_init__(self) -> None:
        self._require("data", len(self.data) > 0, "at least one source")
        for lowest, names in (
            (0, "epochs steps warmup weight_decay threads workers seed wrong_weight"),
            (0, "fastap_weight boost_weight reward_weight"),
            (1, "batch features validate_every log_every bins"),
        ):
            for name in names.split():
                value = getattr(self, name)
                self._require(name, value is None or value >= lowest, f"at least {lowest}")
        for name in ("lr", "clip", "temperature"):
            self._require(name, 0 < getattr(self, name) < math.inf, "above 0")
        self._require("soft_signs", 0 <= self.soft_signs < math.inf, "at least 0")
        for name in ("dropout", "ema"):
            self._require(name, 0 <= getattr(self, name) < 1, "in [0, 1)")
        self._require("final_lr", 0 <= self.final_lr <= 1, "in [0, 1]")
        for name, choices in CHOICES.items():
            self._require(name, getattr(self, name) in choices, " or ".join(choices))
        self._require(
            "start",
            not (self.geometry_code and self.start == "random"),
            "other for a geometry code",
        )
        if self.loss == "gce":
            for name in ("fastap_weight", "boost_weight", "reward_weight"):
                self._require(name, not getattr(self, name), "0 for the loss gce")
            self._require("soft_signs", not self.soft_signs, "0 for the loss gce, which has a ramp")
            self._require("temperature", self.temperature <= 40, "at most 40 for the loss gce")
        elif not any(self.loss_weights):
            raise ValueError("fastap_weight, boost_weight and reward_weight are all 0")

    @property
    def loss_weights(self) -> tuple[float, float, float]:
        """Weights of 1 - AP, of the boost loss and of the matching reward."""
        fastap, boost, reward = (1.0, 10.0, 0.0) if self.loss == "fastap" else (0.0, 0.0, 1.0)
        return (
            fastap if self.fastap_weight is None else self.fastap_weight,
            boost if self.boost_weight is None else self.boost_weight,
            reward if self.reward_weight is None else self.reward_weight,
        )

    def total_steps(self, pairs: int) -> int:
        """Return the steps of the run for a number of draws in an epoch."""
        return math.ceil(self.epochs * pairs / self.batch) if self.steps is None else self.steps

    def to_dict(self) -> dict[str, Any]:
        """Return every field as YAML holds it."""
        entry = {option.name: getattr(self, option.name) for option in dataclasses.fields(self)}
        return {
            **entry,
            "data": [source.to_dict() for source in self.data],
            "network": dict(self.network),
        }

    def save(self, path: Path) -> None:
        """Write a file for :func:`read_settings`, which starts a run and does not resume one."""
        entry = self.to_dict()
        del entry["resume"]
        path.write_text(yaml.safe_dump(entry, sort_keys=False))

    def command(self) -> str:
        """Return the command line of this run, with the names of folders in place of paths."""
        words = ["feature-booster train"]
        for option in dataclasses.fields(self):
            value, dashed = getattr(self, option.name), option.name.replace("_", "-")
            if option.name in ("output", "cache", "resume") or value in (option.default, {}):
                continue
            if option.name == "data":
                words.append(f"--data {' '.join(str(s.without_folders()) for s in value)}")
            elif isinstance(value, Mapping):
                flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
                words.append(f"--{dashed} {shlex.quote(flow.strip())}")
            elif isinstance(value, bool):
                words.append(f"--{dashed}" if value else f"--no-{dashed}")
            else:
                # The folder of a file means nothing on another machine.
                short = Path(value).name if option.name in ("start", "models") else value
                words.append(f"--{dashed} {short}")
        return " ".join([*words, "--output RUN"])

    def _require(self, name: str, valid: bool, expected: str) -> None:
        if not valid:
            raise ValueError(f"{name} must be {expected}, not {getattr(self, name)!r}")


def read_settings(
    path: str | Path | None, overrides: Mapping[str, Any] | None = None
) -> TrainingSettings:
    """Return the settings of a YAML file, with some of them overridden.

    Args:
        path: The file, or None for the defaults.
        overrides: Values by field, which may be text from a command line.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A key is not known, one without default is missing, or a value is wrong.
    """
    values = {**(_read_yaml(Path(path)) if path is not None else {}), **(overrides or {})}
    what = "settings" if path is None else str(path)
    for name in ("model", "data", "output"):
        if name not in values:
            raise ValueError(
                f"{what}: {name} is missing; give it as --{name}, or in a file of settings"
            )
    sources = values["data"]
    if isinstance(sources, (str, Mapping)):
        sources = [sources]
    if not isinstance(sources, (list, tuple)):
        raise ValueError(f"{what}: data must be a list of sources, not {sources!r}")
    network = values.get("network", {})
    if isinstance(network, str):
        network = _parse_network(network)
    if not isinstance(network, Mapping):
        raise ValueError(f"{what}: network must map fields of the model to values, not {network!r}")
    read = {
        **values,
        "network": dict(network),
        "data": tuple(parse_specification(source, DATA_KINDS) for source in sources),
    }
    return TrainingSettings(**read_fields(TrainingSettings, read, what))


def _parse_network(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"network is not valid YAML: {error}") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no configuration file at {path}")
    try:
        values = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must map settings to their values")
    return values
