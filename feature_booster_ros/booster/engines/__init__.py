# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ways to run the network, which all give the same features.

- "eager": the module as it is written, the reference;
- "fused": without dead parts, fewer and larger matrix products, in place;
- "cuda_graph": fused, recorded once for some padded sizes and replayed by one call.
"""

from __future__ import annotations

import torch

from ..network import FeatureBooster
from .eager import EagerEngine
from .engine import PRECISIONS, Engine
from .fused import FusedEngine
from .graph import CudaGraphEngine

ENGINES: dict[str, type[Engine]] = {
    engine.name: engine for engine in (EagerEngine, FusedEngine, CudaGraphEngine)
}

__all__ = ["ENGINES", "PRECISIONS", "Engine", "available_engines", "create_engine"]


def available_engines(device: str | torch.device = "cpu") -> tuple[str, ...]:
    """Names of the engines that run on a device, the plain one first and the quickest last."""
    on_cuda = torch.device(device).type == "cuda"
    return tuple(name for name in ENGINES if on_cuda or name != CudaGraphEngine.name)


def create_engine(
    network: FeatureBooster, device: torch.device, precision: str = "auto", name: str = "auto"
) -> Engine:
    """The engine of that name.

    Args:
        network: with its weights; it stays as it is.
        device: to run on.
        precision: "fp32", "fp16", "bf16", or "auto" for fp16 on CUDA and else fp32.
        name: one of :func:`available_engines`, or "auto" for the quickest that can run the network.

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
        usable = [
            each for each in available_engines(device) if ENGINES[each].refusal(network) is None
        ]
        return ENGINES[usable[-1]](network, device, precision)
    if name not in ENGINES:
        raise ValueError(f"engine must be one of auto, {', '.join(ENGINES)}, not {name!r}")
    if name not in available_engines(device):
        raise ValueError(
            f"engine {name!r} needs a CUDA device, not {device}: use auto, or device cuda"
        )
    if reason := ENGINES[name].refusal(network):
        raise ValueError(f"engine {name!r} cannot run {network.config.name}: {reason}; use auto")
    return ENGINES[name](network, device, precision)
