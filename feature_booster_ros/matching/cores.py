# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's matrix products on the CPU's cores, a thread and chunks of its own for each.

A product that all threads of PyTorch (or of NumPy's BLAS) work on ends when the last one is done:
on cores that others use too, one that waits for its turn keeps all of them waiting, with every
chunk. Here a thread that is held up takes fewer chunks. The calling thread multiplies nothing
either: PyTorch's other threads would then wait for more, and take the cores' time while they do.
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
    """The :data:`~.nearest.Multiply` of PyTorch."""
    torch.mm(torch.from_numpy(a), torch.from_numpy(b), out=torch.from_numpy(out))


def exact_multiply() -> Multiply:
    """PyTorch's, as its BLAS is a fast one everywhere, while a distribution's NumPy may have the
    reference implementation; but NumPy's where PyTorch was told, by
    ``torch.set_float32_matmul_precision`` or another of several ways, to round the factors.
    """
    products = _FACTORS @ _ONES
    return multiply if torch.equal(products, _FACTORS) else product


_FACTORS = torch.full((32, 32), 1 + 2.0**-16)
"""Of 17 bits. Not smaller, since small products may be spared the rounding."""
_ONES = torch.eye(32)


def on_cores(work: Work, count: int, step: int) -> list[np.ndarray]:
    """The :data:`~.nearest.Share` of as many threads as PyTorch uses."""
    threads = torch.get_num_threads()
    if threads == 1:
        return [work(chunks(count, step))]
    pending = _Pending(chunks(count, step))
    pool = _pool_of(threads)
    futures = [pool.submit(work, pending) for _ in range(min(threads, -(-count // step)))]
    return [future.result() for future in futures]


class _Pending(Iterator):
    """What is left of an iterator that several threads take from."""

    def __init__(self, everything: Iterable[range]) -> None:
        self._everything = iter(everything)
        self._one_at_a_time = threading.Lock()

    def __next__(self) -> range:
        with self._one_at_a_time:
            return next(self._everything)


def _pool_of(threads: int) -> ThreadPoolExecutor:
    """So many threads, none of which has PyTorch use others."""
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size != threads:
            if _pool is not None:
                _pool.shutdown(wait=False)
            _pool = ThreadPoolExecutor(
                threads, "match", initializer=_settle, initargs=(itertools.count(),)
            )
            _pool_size = threads
            # All are started here: the number is one's own for each thread, but is also what new
            # threads begin with, for which it is set back.
            all_started = threading.Barrier(threads)
            list(_pool.map(lambda _: all_started.wait(), range(threads)))
            torch.set_num_threads(threads)
        return _pool


def _settle(places: Iterator[int]) -> None:
    """Have this thread multiply alone, on a core of its own.

    Linux often wakes two threads on the same core, and parts them after some milliseconds only: a
    fifth of the time that 2000 features take.
    """
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, [allowed[next(places) % len(allowed)]])


def _forget_pool() -> None:
    """A forked process has the pool without its threads."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
