# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a booster's time goes on a CUDA GPU: launches, copies and arithmetic apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from ..booster import Booster
from ..features import Features

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
