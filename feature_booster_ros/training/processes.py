# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Processes that train one network, as ``torchrun`` starts them, and the signals that stop them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..booster.booster import resolve_device

MAX_WAIT = timedelta(hours=6)
"""Longest wait for the first process, which extracts features and validates."""


@dataclass(frozen=True)
class Processes:
    """A process among those of the run.

    Attributes:
        rank: Number of this process, from 0.
        count: Number of processes.
        device: Device of this process.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that logs and writes."""
        return self.rank == 0

    def items(self, batch: int) -> range:
        """Return the places of a batch that this process fills.

        Raises:
            ValueError: There are more processes than places.
        """
        if batch < self.count:
            raise ValueError(f"batch must be at least {self.count}, the processes, not {batch}")
        return range(self.rank, batch, self.count)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum the tensor over the processes, in place, and return it."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, network: nn.Module) -> None:
        """Replace the gradient of every process by the sum of all.

        The loss of each process is its share of the whole, divided by counts of the whole, so the
        sum is the gradient that one process alone has.
        """
        if self.count == 1:
            return
        gradients = []
        for parameter in network.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        # One message for all: the network is small, and the cost of a message is its latency.
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        pieces = flat.split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def copy_from_first(self, network: nn.Module) -> None:
        """Copy the weights of the first process to all."""
        if self.count > 1:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, 0)

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Let the other processes enter when the first has left."""
        if self.count > 1 and not self.is_first:
            dist.barrier()
        yield
        if self.count > 1 and self.is_first:
            dist.barrier()


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, or run alone without it.

    Args:
        device: "cpu", "cuda:N", or "auto" or "cuda" for one GPU for each process of a machine.

    Yields:
        This process.

    Raises:
        ValueError: There is no such device, or not one for each process.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, resolve_device(device))
        return
    cuda = torch.cuda.is_available() and device in ("auto", "cuda")
    on = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}" if cuda else device)
    if on.type == "cuda":
        torch.cuda.set_device(on)
    dist.init_process_group("nccl" if on.type == "cuda" else "gloo", timeout=MAX_WAIT)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), on)
    finally:
        dist.destroy_process_group()


class StopRequest:
    """Context in which the first SIGINT or SIGTERM only sets ``asked``.

    A second signal interrupts at once, as it does outside. ``torchrun`` passes the terminal's
    Ctrl-C on as SIGTERM.

    Attributes:
        asked: Whether a signal has come.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        # Handlers can be changed in the main thread only.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
