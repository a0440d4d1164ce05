# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Optimizers, the learning rate's course, and the moving average of the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .settings import TrainingSettings

MOMENTUM = 0.9


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings name."""
    common = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    if settings.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), momentum=MOMENTUM, **common)
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    return kinds[settings.optimizer](network.parameters(), **common)


def make_scaler(settings: TrainingSettings, device: torch.device):
    """The scaler of the loss that float16 gradients need; without effect for other precisions.

    Raises:
        ValueError: float16 was asked for on a CPU.
    """
    needed = settings.precision == "fp16"
    if needed and device.type != "cuda":
        raise ValueError("precision fp16 is for CUDA devices: on a CPU take bf16 or fp32")
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cuda", enabled=needed)
    return torch.cuda.amp.GradScaler(enabled=needed)  # PyTorch before 2.3


def learning_rate_factor(step: int, steps: int, settings: TrainingSettings) -> float:
    """Share of the peak learning rate at a step, counted from 0: linear warm-up to 1, then down to
    ``final_lr`` at the last of ``steps``.
    """
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = min(1.0, (step - settings.warmup) / max(1, steps - settings.warmup))
    if settings.decay == "none":
        return 1.0
    left = 1 - done if settings.decay == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return settings.final_lr + (1 - settings.final_lr) * left


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Of all parameters. A function of the step alone, it needs no state of a schedule."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class AveragedWeights:
    """Exponential moving average of a network's weights (Polyak averaging).

    Args:
        network: whose weights as they are now start the average.
        decay: of the average in a step; smaller in the first steps, so that the start is forgotten.

    Attributes:
        weights: the average, by name as in the network's ``state_dict``.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self.weights: dict[str, Tensor] = {
            name: tensor.detach().clone() for name, tensor in network.state_dict().items()
        }

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Takes the weights after a step, counted from 1, into the average."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            self.weights[name].lerp_(tensor, 1 - decay)
