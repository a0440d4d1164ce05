# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cost of the network: engines side by side with its bare matrix products, and shares on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from ..booster import Booster
from ..booster.engines import PRECISIONS
from ..booster.pruning import without_dead_units
from ..features import Features
from .inputs import exactly
from .rounds import Comparison, Limits, compare, time_rounds
from .task import EAGER, Task, TimedEngine, TimedModel

PRODUCTS = "products"
"""Name of the bare matrix products of a network."""
LIVE_PRODUCTS = "live products"
"""Name of the products without those of parts that add nothing, of networks with such parts."""


def load_boosters(task: Task, model: TimedModel) -> dict[TimedEngine, Booster]:
    """Load the model's booster with each engine that can run it."""
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
    """Time engines and bare products in turns on the same features, arrays in and arrays out.

    Args:
        boosters: Boosters of one model by engine, with ``EAGER`` among them.
        label: Name of the model.
        pool: Real features to draw from.
        image_shape: (height, width) that keypoints are normalized by.
        count: Features of an image.
        limits: Limits of the rounds.

    Returns:
        The engines, ``PRODUCTS`` and, if they are fewer, ``LIVE_PRODUCTS``. Notes on each engine
        are ``over_products``, its time over that of the products of the same precision,
        ``over_live products`` likewise, and its agreement with eager float32: ``minimum_cosine`` or
        ``bits_flipped``, a share of all bits.
    """
    features = exactly(pool, count)

    def boost(booster: Booster, _: int) -> Features:
        return booster(features, image_shape)

    ways: dict[str, Callable[[int], object]] = {
        engine.label: partial(boost, booster) for engine, booster in boosters.items()
    }
    eager = boosters[EAGER]
    precisions = dict.fromkeys(engine.precision for engine in boosters)
    networks = {PRODUCTS: eager.network, LIVE_PRODUCTS: without_dead_units(eager.network)}
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


def _linear_layers(network: nn.Module) -> list[nn.Linear]:
    """Return every linear layer of the network, each of which sees every feature once."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def _multiplications(network: nn.Module) -> int:
    """Return the number of multiplications for one feature in the linear layers."""
    return sum(layer.weight.numel() for layer in _linear_layers(network))


def matrix_products(
    network: nn.Module, count: int, device: torch.device, dtype: torch.dtype
) -> Callable[[int], None]:
    """Return a function that computes the products of the network's linear layers only.

    It allocates nothing, and so bounds any engine that computes the products one by one.
    """
    operands = []
    with torch.inference_mode():
        for layer in _linear_layers(network):
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
    """Compare boosted descriptors of the same features.

    Returns:
        ``minimum_cosine`` over all features, or ``bits_flipped``, the share of bits that differ.
    """
    if reference.is_binary:
        differing = np.unpackbits(reference.descriptors ^ other.descriptors)
        return {"bits_flipped": float(differing.mean())}
    a, b = reference.descriptors.astype(np.float64), other.descriptors.astype(np.float64)
    cosines = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return {"minimum_cosine": float(cosines.min())}


ProfiledEvent = tuple[str, bool, float]
"""Name, whether it ran on the GPU, and time [us]."""

_CALLS = 20  # Calls that the shares are averaged over.
_WARM_UP = 5  # Calls before.
# Names in the profiler of CUDA's calls that put work into a stream.
_LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpy", "cudaMemset")


@dataclass(frozen=True)
class GpuShares:
    """Milliseconds of one call; the work of the CPU and that of the GPU overlap.

    Attributes:
        launches: Time of the CPU in CUDA's calls that put work into a stream.
        copies: Time of the GPU for copies between its memory and the computer's.
        arithmetic: Time of the GPU in kernels.
        kernels: Number of kernels, without unit.
        total: Time from arrays to arrays, without the profiler.
    """

    launches: float
    copies: float
    arithmetic: float
    kernels: float
    total: float


def gpu_shares(booster: Booster, features: Features, image_shape: tuple[int, int]) -> GpuShares:
    """Measure the shares of a booster on a CUDA device, over some calls."""
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
    """Run some work under PyTorch's profiler and return the events."""
    with profile(activities=activities) as profiled:
        work()
    return [
        (event.name, event.device_type == DeviceType.CUDA, event.time_range.elapsed_us())
        for event in profiled.events()
    ]


def sum_shares(events: Iterable[ProfiledEvent], calls: int, total: float) -> GpuShares:
    """Sum the profiler's events up to shares.

    Args:
        events: Events, as of :func:`profiled_events`.
        calls: Number of calls of the booster in the events.
        total: Milliseconds of one call.
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
