# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Export of networks to ONNX, for programs without PyTorch."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import install_extra
from .descriptors import network_input
from .network import FeatureBooster
from .pruning import without_dead_units

OPSET = 18
"""Version of the operators, which ONNX Runtime supports from 1.14 on, TensorRT from 8.6."""

TORCH = (2, 6)
"""First release whose exporter supports any number of features."""

_EXPORTER_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")
_EXAMPLE_COUNT = 300
"""Number of features that the network is traced with; the file takes any number except 0."""


class ExportedBooster(nn.Module):
    """The computation of the file: from the extractor's descriptors to boosted ones or bits."""

    def __init__(self, network: FeatureBooster) -> None:
        super().__init__()
        self.network = without_dead_units(network)

    def forward(self, descriptors: Tensor, keypoints: Tensor) -> Tensor:
        config = self.network.config
        descriptors = network_input(descriptors, config)
        if config.use_mha:  # ONNX knows attention for batches only
            boosted = self.network(descriptors.unsqueeze(0), keypoints.unsqueeze(0)).squeeze(0)
        else:
            boosted = self.network(descriptors, keypoints)
        return (boosted >= 0).to(torch.uint8) if config.binary else boosted


def export_onnx(network: FeatureBooster, path: str | Path) -> None:
    """Write a network as ONNX, by an atomic replacement.

    The inputs of the file are ``descriptors`` (N, D) float32 of the extractor, rows of unit length
    or bits as +1 and -1, and ``keypoints`` (N, K) float32, normalized
    (:func:`~feature_booster_ros.features.normalize_keypoints`). The output is ``boosted``
    (N, output_dim) float32, or uint8 of 0 and 1 if binary. N is any number from 1. The metadata
    contain the model's name and configuration.

    Args:
        network: with its weights.
        path: of the file.

    Raises:
        ValueError: ``onnx`` or ``onnxscript`` are not installed, or PyTorch is too old.
        FileNotFoundError: there is no such folder.
    """
    check_onnx()
    import onnx

    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    config = network.config
    module = ExportedBooster(network.cpu().float())
    example = (
        torch.nn.functional.normalize(torch.rand(_EXAMPLE_COUNT, config.descriptor_dim), dim=-1),
        torch.zeros(_EXAMPLE_COUNT, config.keypoint_dim),
    )
    partial = path.with_name(path.name + ".partial")
    loggers = [logging.getLogger(name) for name in _EXPORTER_LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)  # without a line for each optimization
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecations within the exporter
            features = torch.export.Dim("features", min=1)
            torch.onnx.export(
                module,
                example,
                str(partial),
                dynamo=True,
                dynamic_shapes=({0: features}, {0: features}),
                input_names=["descriptors", "keypoints"],
                output_names=["boosted"],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
        model = onnx.load(partial)
        entries = {
            "model": config.name,
            "config": json.dumps(config.to_dict()),
            "source": "feature_booster_ros",
        }
        for key, value in entries.items():
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        onnx.checker.check_model(model)
        onnx.save(model, partial)
        os.replace(partial, path)
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        partial.unlink(missing_ok=True)


def check_onnx() -> None:
    """Raise ValueError with the remedy unless the packages of the export are installed."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < TORCH:
        raise ValueError(
            f"export needs PyTorch {'.'.join(map(str, TORCH))} or newer, not {torch.__version__}"
        )
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"{' and '.join(missing)} must be installed to export: {install_extra('onnx')}"
        )
