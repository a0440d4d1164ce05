# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Processes that extract and render ahead of training."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import cv2

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class WorkerPool:
    """A context that maps a function over jobs in processes, or in this process for one worker.

    Args:
        workers: Number of processes.
    """

    def __init__(self, workers: int) -> None:
        # Spawned, not forked: a fork of a process whose OpenCV has threads can hang.
        spawn = multiprocessing.get_context("spawn")
        self._pool = (
            ProcessPoolExecutor(workers, spawn, cv2.setNumThreads, (1,)) if workers > 1 else None
        )

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[_Job], _Result], jobs: Iterable[_Job]) -> Iterator[_Result]:
        """Return the results of the jobs, in order."""
        return map(function, jobs) if self._pool is None else self._pool.map(function, jobs)


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
