# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A child process that times one task.

The number of threads takes effect for all libraries only when a process starts.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

from .inputs import exactly
from .network import GpuShares, compare_engines, gpu_shares, load_boosters
from .rounds import Comparison
from .stages import compare_extraction, compare_frames, compare_matching
from .task import BINARY, FLOAT, Task

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Threads of PyTorch that spin while they wait take the cores from the next stage. As in the nodes,
# they sleep, unless the user has set the variable.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
# Features of an image in the comparison of extractors, if that number is among the requested ones.
_EXTRACTED = 2048


@dataclass(frozen=True)
class Launches:
    """Shares of an engine on a GPU."""

    subject: str
    engine: str
    features: int
    shares: GpuShares


Result = Comparison | Launches


def steps_of(task: Task) -> int:
    """Return the number of results of a task."""
    steps = 1 + 2 * len(task.features)
    for model in task.models:
        of_each = 1 + (len(task.engines_for(model)) if task.is_on_gpu else 0)
        steps += of_each * len(task.features) + len(task.frame_features(model))
    return steps


def run_task(task: Task, done: Callable[[Result], None]) -> None:
    """Time a task in a new process.

    Args:
        task: The task.
        done: Called with each result as it comes.

    Raises:
        ValueError: The process failed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, sender), daemon=True)
    before = {name: os.environ.get(name) for name in (*_THREAD_VARIABLES, *_WAITING)}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(task.threads)))
    for name, default in _WAITING.items():
        os.environ.setdefault(name, default)
    try:
        process.start()
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    sender.close()
    try:
        while (answer := receiver.recv()) is not None:
            if isinstance(answer, str):
                raise ValueError(answer)
            done(answer)
    except EOFError:
        process.join()
        raise ValueError(
            f"the process of {task.title} ended with status {process.exitcode} (-9: the system "
            "killed it, which it does when memory runs out)"
        ) from None
    finally:
        receiver.close()
        process.terminate()
        process.join()


def _work(task: Task, sender: Connection) -> None:
    try:
        _set_threads(task.threads)
        for result in results(task):
            sender.send(result)
        sender.send(None)
    except KeyboardInterrupt:
        pass
    except Exception as error:
        sender.send(f"{task.title}: {type(error).__name__}: {error}")
    finally:
        sender.close()


def _set_threads(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def results(task: Task) -> Iterator[Result]:
    """Yield every comparison of a task, timed in this process."""
    images = task.images()
    shape = images[0].shape
    extracted = _EXTRACTED if _EXTRACTED in task.features else max(task.features)
    yield compare_extraction(images, extracted, task.limits)
    for detector in (FLOAT, BINARY):
        pools = task.pool(detector, 0), task.pool(detector, 1)
        for count in task.features:
            yield compare_matching(pools, count, task.device, task.limits)
    for model in task.models:
        boosters = load_boosters(task, model)
        pool = task.pool(model.detector, 0)
        for count in task.features:
            yield compare_engines(boosters, model.label, pool, shape, count, task.limits)
            if task.is_on_gpu:
                features = exactly(pool, count)
                for engine, booster in boosters.items():
                    shares = gpu_shares(booster, features, shape)
                    yield Launches(model.label, engine.label, count, shares)
            if count in task.frame_features(model):
                yield compare_frames(boosters, model.label, images, count, task.limits)
