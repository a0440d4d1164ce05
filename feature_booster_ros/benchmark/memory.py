# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Peak memory, each case in a new process, so that no peak hides another."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path

# At the top of the module, so that the fork server loads it once for all cases.
import torch

from ..booster import Booster
from ..matching import match
from .inputs import exactly
from .task import Task, TimedEngine, TimedModel

_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class MemoryCase:
    """Work whose memory is measured.

    An engine boosts by a model; without a model, the detector's descriptors are matched.
    """

    features: int
    detector: str
    model: TimedModel | None = None
    engine: TimedEngine | None = None


@dataclass(frozen=True)
class PeakMemory:
    """Memory of a process in MiB.

    Attributes:
        stage: "network" or "matching".
        subject: The model, or the detector whose descriptors were matched.
        way: The engine, or "match".
        device: Device of the work.
        features: Features of an image.
        before: Memory of the process with libraries, weights and input.
        peak: Peak memory of the process.
        device_peak: Peak memory of PyTorch's tensors on the GPU; None on a CPU.
    """

    stage: str
    subject: str
    way: str
    device: str
    features: int
    before: float
    peak: float
    device_peak: float | None

    @property
    def added(self) -> float:
        """Memory that the work itself took at its peak [MiB]."""
        return self.peak - self.before


def memory_cases(task: Task, detectors: tuple[str, ...]) -> list[MemoryCase]:
    """List each model with each engine and each detector's matching, by number of features."""
    cases = [
        MemoryCase(count, model.detector, model, engine)
        for model in task.models
        for count in task.features
        for engine in task.engines_for(model)
    ]
    return cases + [
        MemoryCase(count, detector) for detector in detectors for count in task.features
    ]


def peak_memory(task: Task, case: MemoryCase, image_shape: tuple[int, int]) -> PeakMemory:
    """Do the work of a case in a new process and measure its memory.

    Raises:
        ValueError: The process failed.
    """
    # The fork server has the libraries loaded but no threads and no CUDA, which do not survive a
    # fork. The peak of its children does not begin with that of this process, as it does for a new
    # interpreter.
    context: ForkServerContext | SpawnContext = multiprocessing.get_context("spawn")
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(task, case, image_shape, sender), daemon=True)
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        process.join()
        raise ValueError(
            f"the process that measured the memory of {case.features} features ended with "
            f"status {process.exitcode}"
        ) from None
    finally:
        receiver.close()
    process.join()
    if isinstance(answer, str):
        raise ValueError(answer)
    return answer


def _measure(
    task: Task, case: MemoryCase, image_shape: tuple[int, int], sender: Connection
) -> None:
    try:
        sender.send(_peak(task, case, image_shape))
    except Exception as error:
        sender.send(f"memory of {case.features} features: {type(error).__name__}: {error}")
    finally:
        sender.close()


def _peak(task: Task, case: MemoryCase, image_shape: tuple[int, int]) -> PeakMemory:
    torch.set_num_threads(task.threads)
    query = exactly(task.pool(case.detector, 0), case.features)
    if case.model is not None and case.engine is not None:
        stage, subject, way = "network", case.model.label, case.engine.label
        booster = Booster.from_pretrained(
            case.model.name, task.device, case.engine.precision, engine=case.engine.name
        )
        before = _resident()
        booster(query, image_shape)
    else:
        stage, subject, way = "matching", case.detector, "match"
        reference = exactly(task.pool(case.detector, 1), case.features)
        before = _resident()
        match(query, reference, device=task.device)
    on_gpu = None
    if task.is_on_gpu:
        on_gpu = torch.cuda.max_memory_allocated() / _MEBIBYTE
    peak = max(_highest_resident(), before)
    return PeakMemory(stage, subject, way, task.device, case.features, before, peak, on_gpu)


def _resident() -> float:
    """Return the memory of this process in MiB, or its peak where that is all the system tells."""
    return _status("VmRSS") or _highest_resident()


def _highest_resident() -> float:
    """Return the peak memory of this process in MiB."""
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status("VmHWM") or usage / (_MEBIBYTE if sys.platform == "darwin" else 1024)


def _status(key: str) -> float | None:
    """Return a value of Linux's /proc/self/status in MiB; None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{key}:"):
            return float(line.split()[1]) / 1024
    return None
