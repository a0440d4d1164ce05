# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Engines that run the network; all give the same features.

- "eager": the module itself, the reference;
- "fused": without dead units, with fewer and larger operations, in place;
- "openvino": without dead units, compiled for the CPU by OpenVINO, if that is installed;
- "cuda_graph": fused, recorded once for each of some padded sizes and replayed by one call.
"""

from __future__ import annotations

import torch

from ..network import FeatureBooster
from .eager import EagerEngine
from .engine import PRECISIONS, Engine
from .fused import FusedEngine
from .graph import CudaGraphEngine
from .openvino import OpenVinoEngine

ENGINES: dict[str, type[Engine]] = {
    engine.name: engine for engine in (EagerEngine, FusedEngine, OpenVinoEngine, CudaGraphEngine)
}
_ON_CPU_ONLY = (OpenVinoEngine.name,)
_ON_CUDA_ONLY = (CudaGraphEngine.name,)

__all__ = ["ENGINES", "PRECISIONS", "Engine", "available_engines", "create_engine"]


def available_engines(device: str | torch.device = "cpu") -> tuple[str, ...]:
    """Return the names of the engines that run on a device of this machine."""
    elsewhere = _ON_CPU_ONLY if torch.device(device).type == "cuda" else _ON_CUDA_ONLY
    return tuple(
        name
        for name, engine in ENGINES.items()
        if name not in elsewhere and engine.missing() is None
    )


def create_engine(
    network: FeatureBooster, device: torch.device, precision: str = "auto", name: str = "auto"
) -> Engine:
    """Create an engine by its name.

    Args:
        network: with its weights; it is not changed.
        device: to run on.
        precision: "fp32", "fp16", "bf16", or "auto" for fp16 on CUDA and else fp32.
        name: one of :func:`available_engines`, or "auto" for the fastest that can run the network.

    Raises:
        ValueError: no such precision or engine, or one that cannot run here, or not this network.
    """
    if precision not in ("auto", *PRECISIONS):
        raise ValueError(
            f"precision must be one of auto, {', '.join(PRECISIONS)}, not {precision!r}"
        )
    if precision == "auto":
        precision = "fp16" if device.type == "cuda" else "fp32"
    if name == "auto":
        name = _fastest(network, device)
    elif name not in ENGINES:
        raise ValueError(f"engine must be one of auto, {', '.join(ENGINES)}, not {name!r}")
    elif missing := ENGINES[name].missing():
        raise ValueError(f"engine {name!r} cannot run here: {missing}; or use auto")
    elif name not in available_engines(device):
        needed = "a CUDA device" if name in _ON_CUDA_ONLY else "the CPU"
        raise ValueError(f"engine {name!r} needs {needed}, not {device}: use auto, or that device")
    elif reason := ENGINES[name].refusal(network):
        raise ValueError(f"engine {name!r} cannot run {network.config.name}: {reason}; use auto")
    return ENGINES[name](network, device, precision)


def _fastest(network: FeatureBooster, device: torch.device) -> str:
    available = available_engines(device)
    for engine in (CudaGraphEngine, OpenVinoEngine, FusedEngine):
        if engine.name in available and not engine.refusal(network):
            return engine.name
    return EagerEngine.name
