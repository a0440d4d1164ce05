# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Weights on disk: safetensors with their configuration inside, and the authors' ``.pth`` files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .model_config import (
    MODELS_VARIABLE,
    ModelConfig,
    available_models,
    load_models,
    weights_folder,
)
from .network import FeatureBooster


class CheckpointError(ValueError):
    """A weights file cannot be read, or does not fit its configuration."""


def load_checkpoint(name_or_path: str | Path, model: str | None = None) -> FeatureBooster:
    """Load a network with its weights, on the CPU in float32, in evaluation mode.

    Args:
        name_or_path: a shipped model's name, or the path of a ``.safetensors`` or ``.pth`` file.
        model: the configuration's name. A safetensors file of this package contains its
            configuration, whose name must be the same; for other files it is looked up by
            :func:`load_models`, by default by the name of the file.

    Raises:
        FileNotFoundError: there is neither such a shipped model nor such a file.
        CheckpointError: the file is damaged, no configuration is known for it, or the two do not
            fit; the message names the first tensor that differs.
    """
    path = weights_path(name_or_path)
    if path.suffix == ".safetensors":
        tensors, metadata = _read_safetensors(path)
    else:
        tensors, metadata = _read_pickle(path), {}
    network = FeatureBooster(_configuration(path, metadata, model))
    _check_fit(path, network, tensors)
    network.load_state_dict(tensors)
    return network.eval()


def save_checkpoint(
    network: FeatureBooster,
    path: str | Path,
    metadata: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the weights and their configuration as safetensors, by an atomic replacement.

    Args:
        network: whose parameters are written.
        path: ends in ``.safetensors``.
        metadata: further entries for the file's header, such as how the weights were trained.
        dtype: of the written numbers; float16 halves the file.
    """
    path = Path(path)
    config = network.config
    header = {"model": config.name, "config": json.dumps(config.to_dict()), **(metadata or {})}
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in network.state_dict().items()
    }
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(save(tensors, header))
    os.replace(partial, path)


def load_saved(path: Path, kind: str) -> Any:
    """Return what ``torch.save`` wrote, tensors on the CPU; no code of the file is executed.

    Args:
        path: of the file.
        kind: what the file should be, and the remedy, for the message of the error.

    Raises:
        CheckpointError: the file is damaged, or was not written by ``torch.save``.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # of a dozen kinds, by what the file's bytes mean as a pickle
        # Not in PyTorch's words, which recommend to load the file in a way that executes its code.
        raise CheckpointError(f"{path}: truncated, or no {kind}") from error


def weights_path(name_or_path: str | Path) -> Path:
    """Return the path of the weights; FileNotFoundError names what does not exist."""
    shipped = weights_folder() / f"{name_or_path}.safetensors"
    if shipped.is_file():
        return shipped
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    raise FileNotFoundError(
        f"no weights called {str(name_or_path)!r}: neither a file nor one of the shipped models "
        f"({', '.join(available_models()) or 'none are installed'})"
    )


def read_metadata(name_or_path: str | Path) -> dict[str, str]:
    """Return the header of a weights file, with its origin; empty for a ``.pth`` file.

    Raises:
        FileNotFoundError, CheckpointError: as :func:`load_checkpoint`.
    """
    path = weights_path(name_or_path)
    return _read_safetensors(path)[1] if path.suffix == ".safetensors" else {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: truncated, or no safetensors file: {error}; download it again"
        ) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    kind = "weights file that holds tensors only; save network.state_dict(), or download it again"
    tensors = load_saved(path, kind)
    if not isinstance(tensors, dict) or not all(
        isinstance(value, Tensor) for value in tensors.values()
    ):
        raise CheckpointError(f"{path}: holds no state_dict of tensors")
    return tensors


def _configuration(path: Path, metadata: dict[str, str], model: str | None) -> ModelConfig:
    if "config" in metadata:
        own = metadata.get("model", path.stem)
        if model not in (None, own):
            raise CheckpointError(f"{path}: holds the weights of {own}, not of {model}")
        try:
            return ModelConfig.from_dict(own, json.loads(metadata["config"]))
        except ValueError as error:
            raise CheckpointError(f"{path}: its configuration is not valid: {error}") from error
    models = load_models()
    name = path.stem if model is None else model
    if name not in models:
        raise CheckpointError(
            f"{path}: no configuration is called {name!r}; say which it has: {', '.join(models)}, "
            f"or one of your table in {MODELS_VARIABLE}"
        )
    return models[name]


def _check_fit(path: Path, network: FeatureBooster, tensors: dict[str, Tensor]) -> None:
    expected = network.state_dict()
    name = network.config.name
    for key, tensor in expected.items():
        if key not in tensors:
            raise CheckpointError(
                f"{path}: does not fit the configuration of {name}: tensor {key} is missing"
            )
        if not _is_plain(tensors[key]):
            raise CheckpointError(
                f"{path}: tensor {key} is {tensors[key].dtype}, {tensors[key].layout}, on "
                f"{tensors[key].device}, not an array of float16, bfloat16, float32 or float64; "
                "convert it"
            )
        if tensors[key].shape != tensor.shape:
            raise CheckpointError(
                f"{path}: does not fit the configuration of {name}: tensor {key} has shape "
                f"{tuple(tensors[key].shape)}, not {tuple(tensor.shape)}"
            )
        if not torch.isfinite(tensors[key]).all():
            raise CheckpointError(
                f"{path}: tensor {key} holds numbers that are not finite; download the file again"
            )
    if extra := [key for key in tensors if key not in expected]:
        raise CheckpointError(
            f"{path}: does not fit the configuration of {name}: tensor {extra[0]} is not part of it"
        )


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is an array of numbers that a network can be loaded with."""
    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    return tensor.dtype in floats and tensor.layout == torch.strided and not tensor.is_meta
