# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model table, ``config/models.yaml``, and a user's table."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

ACTIVATIONS = ("none", "relu", "sigmoid", "tanh")
DESCRIPTOR_TRANSFORMS = ("none", "rootsift")

MODELS_VARIABLE = "FEATURE_BOOSTER_MODELS"
"""Environment variable with the path of a user's model table. Processes inherit it, so that workers
and nodes have the same models.
"""


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of a booster; ``config/models.yaml`` explains the fields at its top.

    Raises:
        ValueError: a value is of the wrong kind or out of range; the message names model and field.
    """

    name: str
    detector: str
    keypoint_dim: int
    keypoint_encoder: tuple[int, ...]
    descriptor_dim: int
    descriptor_encoder: tuple[int, ...]
    attentional_layers: int
    last_activation: str
    l2_normalization: bool
    output_dim: int
    binary: bool
    use_kenc: bool = True
    use_cross: bool = True
    use_mha: bool = False
    attention_heads: int = 4
    descriptor_transform: str = "none"

    def __post_init__(self) -> None:
        self._require(
            "detector",
            isinstance(self.detector, str) and self.detector.strip() != "",
            "an extractor's name, or package.module:ClassName",
        )
        for name in ("keypoint_dim", "descriptor_dim", "output_dim", "attention_heads"):
            self._require(
                name,
                isinstance(getattr(self, name), int) and getattr(self, name) >= 1,
                "an integer above 0",
            )
        layers = self.attentional_layers
        self._require(
            "attentional_layers",
            isinstance(layers, int) and layers >= 0,
            "an integer of at least 0",
        )
        for name in ("l2_normalization", "binary", "use_kenc", "use_cross", "use_mha"):
            self._require(name, isinstance(getattr(self, name), bool), "true or false")
        for name in ("keypoint_encoder", "descriptor_encoder"):
            widths = getattr(self, name)
            valid = isinstance(widths, (list, tuple)) and all(
                isinstance(w, int) and w >= 1 for w in widths
            )
            self._require(name, valid, "a list of integers above 0")
            object.__setattr__(self, name, tuple(widths))
        self._require(
            "keypoint_dim", self.keypoint_dim in (3, 4), "3 (x, y, score) or 4 (x, y, scale, angle)"
        )
        self._require(
            "last_activation",
            self.last_activation in ACTIVATIONS,
            f"one of {', '.join(ACTIVATIONS)}",
        )
        transforms = ", ".join(DESCRIPTOR_TRANSFORMS)
        self._require(
            "descriptor_transform",
            self.descriptor_transform in DESCRIPTOR_TRANSFORMS,
            f"one of {transforms}",
        )
        heads_fit = not self.use_mha or self.descriptor_dim % self.attention_heads == 0
        self._require(
            "attention_heads", heads_fit, f"a divisor of descriptor_dim {self.descriptor_dim}"
        )
        self._require(
            "output_dim",
            not self.binary or self.output_dim % 8 == 0,
            "a multiple of 8 bits when binary",
        )

    def _require(self, field: str, valid: bool, expected: str) -> None:
        if not valid:
            raise ValueError(
                f"model {self.name!r}: {field} must be {expected}, not {getattr(self, field)!r}"
            )

    @classmethod
    def from_dict(cls, name: str, entry: dict) -> ModelConfig:
        """Return the configuration ``name`` of its YAML entry.

        Raises:
            ValueError: a key is unknown or missing; the message names it.
        """
        known = {field.name: field for field in fields(cls) if field.name != "name"}
        if not isinstance(entry, dict):
            raise ValueError(f"model {name!r}: must be a mapping of {', '.join(known)}")
        if unknown := sorted(set(entry) - set(known)):
            raise ValueError(
                f"model {name!r}: unknown key {unknown[0]!r}; there are {', '.join(known)}"
            )
        required = [key for key, field in known.items() if field.default is dataclasses.MISSING]
        if missing := [key for key in required if key not in entry]:
            raise ValueError(f"model {name!r}: key {missing[0]!r} is missing")
        return cls(name=name, **entry)

    def to_dict(self) -> dict:
        """Return the YAML entry: all fields except the name."""
        entry = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }
        del entry["name"]
        return entry


def models_path() -> Path:
    """Return the path of the model table, in the installed package or in the source tree."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "config" / "models.yaml"
    return installed if installed.is_file() else package.parent / "config" / "models.yaml"


def load_models(path: str | Path | None = None) -> dict[str, ModelConfig]:
    """Return the package's models by name, to which the user's table adds or replaces models.

    Args:
        path: of the user's table; by default the environment variable ``FEATURE_BOOSTER_MODELS``,
            if it is set.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: a table is not valid; the message names what is wrong in it.
    """
    models = _read_models(models_path())
    if path is not None:
        return {**models, **_read_models(_existing(Path(path), "the model table"))}
    if own := os.environ.get(MODELS_VARIABLE):
        what = f"the model table that {MODELS_VARIABLE} names"
        return {**models, **_read_models(_existing(Path(own), what))}
    return models


def _existing(path: Path, what: str) -> Path:
    path = path.expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{what}, {path}, does not exist")
    return path


def _read_models(path: Path) -> dict[str, ModelConfig]:
    try:
        table = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(table, dict):
        raise ValueError(f"{path}: must map model names to their configurations")
    try:
        return {name: ModelConfig.from_dict(name, entry) for name, entry in table.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def available_models() -> list[str]:
    """Return the names of the models whose weights ship with the package."""
    return sorted(path.stem for path in weights_folder().glob("*.safetensors"))


def weights_folder() -> Path:
    """Return the folder of the shipped weights."""
    return Path(__file__).resolve().parents[1] / "weights"
