# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's matrix products on the CPU's cores, with one thread and separate chunks for each core.

A product that all threads of PyTorch (or of NumPy's BLAS) share ends when the last thread is done.
On a busy machine a thread that waits for a core delays all others, with every chunk. Here such a
thread processes fewer chunks. The calling thread does not multiply, since PyTorch's other threads
would then spin while they wait for more work.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from .nearest import Multiply, Work, chunks, product

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Multiply by PyTorch: a :data:`~.nearest.Multiply`."""
    torch.mm(torch.from_numpy(a), torch.from_numpy(b), out=torch.from_numpy(out))


def exact_multiply() -> Multiply:
    """Return PyTorch's product, or NumPy's where PyTorch's is not exact.

    PyTorch's BLAS is fast everywhere, while NumPy of a distribution may have the reference
    implementation. ``torch.set_float32_matmul_precision`` and other settings make PyTorch round the
    factors.
    """
    products = _FACTORS @ _ONES
    return multiply if torch.equal(products, _FACTORS) else product


_FACTORS = torch.full((32, 32), 1 + 2.0**-16)
"""Factors of 17 bits, in a matrix large enough for the implementations that round."""
_ONES = torch.eye(32)


def run_on_cores(work: Work, count: int, step: int) -> list[np.ndarray]:
    """Process chunks in as many threads as PyTorch uses: a :data:`~.nearest.Run`."""
    threads = torch.get_num_threads()
    if threads == 1:
        return [work(chunks(count, step))]
    pending = _Pending(chunks(count, step))
    pool = _pool_of(threads)
    futures = [pool.submit(work, pending) for _ in range(min(threads, -(-count // step)))]
    return [future.result() for future in futures]


class _Pending(Iterator):
    """An iterator that several threads share."""

    def __init__(self, everything: Iterable[range]) -> None:
        self._everything = iter(everything)
        self._one_at_a_time = threading.Lock()

    def __next__(self) -> range:
        with self._one_at_a_time:
            return next(self._everything)


def _pool_of(threads: int) -> ThreadPoolExecutor:
    """Return a pool of that many threads, each of which multiplies alone."""
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size != threads:
            if _pool is not None:
                _pool.shutdown(wait=False)
            _pool = ThreadPoolExecutor(
                threads, "match", initializer=_pin_thread, initargs=(itertools.count(),)
            )
            _pool_size = threads
            # PyTorch's number of threads is local to a thread, but also the default of new ones:
            # all threads are started before it is restored.
            all_started = threading.Barrier(threads)
            list(_pool.map(lambda _: all_started.wait(), range(threads)))
            torch.set_num_threads(threads)
        return _pool


def _pin_thread(places: Iterator[int]) -> None:
    """Make this thread multiply alone, on one core that no other thread of the pool uses.

    Linux often wakes two threads on the same core and separates them only after some milliseconds,
    a fifth of the time of 2000 features.
    """
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, [allowed[next(places) % len(allowed)]])


def _forget_pool() -> None:
    """Drop the pool in a forked process, which does not inherit its threads."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
