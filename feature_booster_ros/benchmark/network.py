# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network's engines side by side, and beside the bare matrix products that it is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from ..booster import Booster
from ..booster.engines import PRECISIONS
from ..booster.pruning import without_dead_parts
from ..features import Features
from .inputs import exactly
from .rounds import Comparison, Limits, compare, time_rounds
from .task import EAGER, Task, TimedEngine, TimedModel

PRODUCTS = "products"
LIVE_PRODUCTS = "live products"
"""The products without those of parts that add nothing, of networks that have such."""


def load_boosters(task: Task, model: TimedModel) -> dict[TimedEngine, Booster]:
    """The model's booster by each engine."""
    return {
        engine: Booster.from_pretrained(
            model.name, task.device, engine.precision, engine=engine.name
        )
        for engine in task.engines_for(model)
    }


def compare_engines(
    boosters: dict[TimedEngine, Booster],
    label: str,
    pool: Features,
    image_shape: tuple[int, int],
    count: int,
    limits: Limits,
) -> Comparison:
    """Times each engine on the same features, arrays in and arrays out, in turns with the products.

    Args:
        boosters: of one model, ``EAGER`` among them.
        label: the model's name.
        pool: real features to draw from.
        image_shape: (height, width) that keypoints are normalized by.
        count: features of an image.
        limits: of the rounds.

    Returns:
        Beside the engines the ways ``PRODUCTS`` and, if they are fewer, ``LIVE_PRODUCTS``. With
        notes on each engine: ``over_products``, its time over that of the products of the same
        precision, ``over_live products`` likewise, and its agreement with eager float32,
        ``minimum_cosine`` or ``bits_flipped``, a share of all bits.
    """
    features = exactly(pool, count)
    ways: dict[str, Callable[[int], object]] = {
        engine.label: lambda _, booster=booster: booster(features, image_shape)
        for engine, booster in boosters.items()
    }
    eager = boosters[EAGER]
    precisions = dict.fromkeys(engine.precision for engine in boosters)
    networks = {PRODUCTS: eager.network, LIVE_PRODUCTS: without_dead_parts(eager.network)}
    if _multiplications(networks[LIVE_PRODUCTS]) == _multiplications(eager.network):
        del networks[LIVE_PRODUCTS]
    notes: dict[str, dict[str, float]] = {}
    for kind, network in networks.items():
        for precision in precisions:
            name = TimedEngine(kind, precision).label
            ways[name] = matrix_products(network, count, eager.device, PRECISIONS[precision])
            notes[name] = {"gigaflops": 2e-9 * count * _multiplications(network)}
    seconds = time_rounds(ways, limits)
    reference = eager(features, image_shape)
    for engine, booster in boosters.items():
        taken = seconds[engine.label]
        notes[engine.label] = agreement(reference, booster(features, image_shape))
        for kind in networks:
            of_products = seconds[TimedEngine(kind, engine.precision).label]
            notes[engine.label][f"over_{kind}"] = float(np.median(taken / of_products))
    return compare("network", label, count, seconds, EAGER.label, notes)


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """Every linear layer of the network, each of which sees every feature once."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def _multiplications(network: nn.Module) -> int:
    """Of one feature, in the linear layers."""
    return sum(layer.weight.numel() for layer in linear_layers(network))


def matrix_products(
    network: nn.Module, count: int, device: torch.device, dtype: torch.dtype
) -> Callable[[int], None]:
    """The products of the network's linear layers and nothing else, without allocating: a bound for
    whoever computes them one by one.
    """
    operands = []
    with torch.inference_mode():
        for layer in linear_layers(network):
            outputs, inputs = layer.weight.shape
            operands.append(
                (
                    torch.randn(count, inputs, device=device).to(dtype),
                    torch.randn(outputs, inputs, device=device).to(dtype).T,
                    torch.empty(count, outputs, device=device, dtype=dtype),
                )
            )

    @torch.inference_mode()
    def multiply(_: int) -> None:
        for rows, weight, out in operands:
            torch.mm(rows, weight, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return multiply


def agreement(reference: Features, other: Features) -> dict[str, float]:
    """How far two boosted descriptors of the same features are from each other: the lowest cosine
    of all features, or the share of the bits that differ.
    """
    if reference.is_binary:
        differing = np.unpackbits(reference.descriptors ^ other.descriptors)
        return {"bits_flipped": float(differing.mean())}
    a, b = reference.descriptors.astype(np.float64), other.descriptors.astype(np.float64)
    cosines = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return {"minimum_cosine": float(cosines.min())}


ProfiledEvent = tuple[str, bool, float]
"""Name, whether it ran on the GPU, and microseconds."""

_CALLS = 20
_WARM_UP = 5
# CUDA's calls that put work into a stream, as the profiler names them.
_LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpy", "cudaMemset")


@dataclass(frozen=True)
class GpuShares:
    """Milliseconds of one call; what the CPU does and what the GPU does overlap.

    Attributes:
        launches: of the CPU, within CUDA's calls that put work into the stream.
        copies: of the GPU, between its memory and the computer's.
        arithmetic: of the GPU, in kernels.
        kernels: how many it ran.
        total: from arrays to arrays, without the profiler.
    """

    launches: float
    copies: float
    arithmetic: float
    kernels: float
    total: float


def gpu_shares(booster: Booster, features: Features, image_shape: tuple[int, int]) -> GpuShares:
    """The shares of a booster on a CUDA device, over some calls."""
    for _ in range(_WARM_UP):
        booster(features, image_shape)
    begun = time.perf_counter()
    for _ in range(_CALLS):
        booster(features, image_shape)
    total = 1000 * (time.perf_counter() - begun) / _CALLS

    def work() -> None:
        for _ in range(_CALLS):
            booster(features, image_shape)
        torch.cuda.synchronize()

    events = profiled_events(work, (ProfilerActivity.CPU, ProfilerActivity.CUDA))
    return sum_shares(events, _CALLS, total)


def profiled_events(
    work: Callable[[], None], activities: Sequence[ProfilerActivity]
) -> list[ProfiledEvent]:
    """What PyTorch's profiler sees of some work."""
    with profile(activities=activities) as profiled:
        work()
    return [
        (event.name, event.device_type == DeviceType.CUDA, event.time_range.elapsed_us())
        for event in profiled.events()
    ]


def sum_shares(events: Iterable[ProfiledEvent], calls: int, total: float) -> GpuShares:
    """The shares out of what the profiler saw.

    Args:
        events: as :func:`profiled_events` gives them.
        calls: of the booster that they are of.
        total: milliseconds of one call.
    """
    launches = copies = arithmetic = 0.0
    kernels = 0
    for name, on_gpu, microseconds in events:
        if not on_gpu:
            launches += microseconds if name.startswith(_LAUNCHES) else 0.0
        elif name.startswith(("Memcpy", "Memset")):
            copies += microseconds
        else:
            arithmetic += microseconds
            kernels += 1
    scale = 1 / (1000 * calls)
    return GpuShares(launches * scale, copies * scale, arithmetic * scale, kernels / calls, total)
