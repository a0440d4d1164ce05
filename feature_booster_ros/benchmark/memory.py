# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Peak memory, each case in a process of its own, so that no peak hides another."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

# Here and not within: a fork of the process that has loaded these begins at once.
import torch

from ..booster import Booster
from ..matching import match
from .inputs import exactly
from .task import Task, TimedEngine, TimedModel

_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class MemoryCase:
    """What is done once: a model's engine boosts, or without a model ``detector``'s descriptors are
    matched.
    """

    features: int
    detector: str
    model: TimedModel | None = None
    engine: TimedEngine | None = None


@dataclass(frozen=True)
class PeakMemory:
    """In MiB.

    Attributes:
        stage: "network" or "matching".
        subject: the model, or the detector whose descriptors were matched.
        way: the engine.
        device: where.
        features: of an image.
        before: of the process, with libraries, weights and input.
        peak: of the process.
        device_peak: of PyTorch's tensors on the GPU; None on a CPU.
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
        """What the work itself took, at its peak."""
        return self.peak - self.before


def memory_cases(task: Task, detectors: tuple[str, ...]) -> list[MemoryCase]:
    """Every model by each engine, and each detector's matching, at every number of features."""
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
    """Does the work of a case in a new process.

    Raises:
        ValueError: the process failed.
    """
    # The fork server has the libraries loaded but no threads and no CUDA, which do not survive a
    # fork; and unlike a new interpreter's, its children's peak does not begin with this process's.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
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
    if case.model is not None:
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
    """MiB of this process now, or at its highest where the system does not tell."""
    return _status("VmRSS") or _highest_resident()


def _highest_resident() -> float:
    """MiB of this process at its highest."""
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status("VmHWM") or usage / (_MEBIBYTE if sys.platform == "darwin" else 1024)


def _status(key: str) -> float | None:
    """A number of Linux's /proc/self/status, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{key}:"):
            return float(line.split()[1]) / 1024
    return None
