# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one network, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..booster.booster import resolve_device

PATIENCE = timedelta(hours=6)
"""The others wait so long for the first process, which extracts features and validates."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: its number.
        count: how many there are.
        device: where this one computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the one that logs and writes."""
        return self.rank == 0

    def items(self, batch: int) -> range:
        """The places of a batch that this process sees to; ValueError if there are not enough."""
        if batch < self.count:
            raise ValueError(f"batch must be at least {self.count}, the processes, not {batch}")
        return range(self.rank, batch, self.count)

    def sum(self, tensor: Tensor) -> Tensor:
        """The tensor summed over the processes, in place."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, network: nn.Module) -> None:
        """Every process's gradient becomes the sum of all. The loss of each is its share of the
        whole, divided by counts of the whole; so this is the gradient of one process alone.
        """
        if self.count == 1:
            return
        for parameter in network.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in network.parameters()]
        # One message for all: the network is small, and latency what a message costs.
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        pieces = flat.split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def copy_from_first(self, network: nn.Module) -> None:
        """Gives all the weights of the first."""
        if self.count > 1:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, 0)

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The others enter when the first has left."""
        if self.count > 1 and not self.is_first:
            dist.barrier()
        yield
        if self.count > 1 and self.is_first:
            dist.barrier()


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """This process among those that ``torchrun`` started, or alone without it.

    Args:
        device: "cpu", "cuda:N", or "auto" and "cuda" for a GPU of its own for each process of a
            machine.

    Raises:
        ValueError: there is no such device, or not one for each process.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, resolve_device(device))
        return
    cuda = torch.cuda.is_available() and device in ("auto", "cuda")
    on = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}" if cuda else device)
    if on.type == "cuda":
        torch.cuda.set_device(on)
    dist.init_process_group("nccl" if on.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), on)
    finally:
        dist.destroy_process_group()
