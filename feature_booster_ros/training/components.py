# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make what a run's settings name: network configuration, batches, optimizer, moving average."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..booster import FeatureBooster, ModelConfig, load_models
from .datasets.batches import PairBatch, collate
from .datasets.mixture import StepPairs
from .datasets.sources import OpeningContext
from .datasets.workers import default_workers
from .settings import TrainingSettings

MOMENTUM = 0.9
"""Momentum of SGD."""


def make_config(settings: TrainingSettings) -> ModelConfig:
    """Return the configuration of the model as the run changes it.

    Raises:
        ValueError: There is no such model, or a setting does not suit it.
    """
    models = load_models(settings.models or None)
    if settings.model not in models:
        raise ValueError(
            f"no model is called {settings.model!r} in models.yaml; there are {', '.join(models)}"
        )
    config = models[settings.model]
    if settings.soft_signs and not config.binary:
        raise ValueError(f"soft_signs is for binary models; {config.name} has none to soften")
    return ModelConfig.from_dict(config.name, {**config.to_dict(), **settings.network})


def make_network(settings: TrainingSettings, config: ModelConfig) -> FeatureBooster:
    """Return the network to train.

    With the loss gce, a binary network has batch normalization in place of its last activation,
    which does not change signs: :mod:`.bits`.
    """
    if settings.loss == "gce" and config.binary:
        config = dataclasses.replace(config, last_activation="none")
    return FeatureBooster(config, settings.dropout)


def make_context(settings: TrainingSettings, config: ModelConfig) -> OpeningContext:
    """Return what the sources of data need from the run to be opened."""
    cache = Path(settings.cache or Path(settings.output) / "cache")
    return OpeningContext(config.detector, cache, settings.threads or default_workers())


def make_batch(
    pairs: StepPairs, settings: TrainingSettings, config: ModelConfig, device: torch.device
) -> PairBatch:
    """Return the pairs of a step as a batch."""
    return collate(pairs.pairs, config.keypoint_dim, device, one_to_one=settings.loss == "gce")


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return the optimizer that the settings name. Of the parameters only matrices decay."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=MOMENTUM)
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[settings.optimizer]
    return kind(groups, lr=settings.lr)


def make_scaler(settings: TrainingSettings, device: torch.device) -> torch.amp.GradScaler:
    """Return the scaler of the loss, which float16 needs and other precisions do not use.

    Raises:
        ValueError: The precision is float16 on a CPU.
    """
    needed = settings.precision == "fp16"
    if needed and device.type != "cuda":
        raise ValueError("precision fp16 is for CUDA devices: on a CPU take bf16 or fp32")
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cuda", enabled=needed)
    return torch.cuda.amp.GradScaler(enabled=needed)  # PyTorch before 2.3


def make_average(network: nn.Module, decay: float) -> AveragedModel:
    """Return the exponential moving average of a network's weights (Polyak averaging).

    It begins with the weights as they are; call ``update_parameters`` after each step. The decay is
    smaller in the first steps, so that the start is forgotten.

    Args:
        network: Network to average.
        decay: Weight of the average in a step, in [0, 1).
    """

    def blend(average: Tensor, weights: Tensor, step: Tensor | int) -> Tensor:
        return torch.lerp(average, weights, 1 - min(decay, (1 + int(step)) / (10 + int(step))))

    averaged = AveragedModel(network, avg_fn=blend)
    averaged.update_parameters(network)  # the first call copies, and counts
    return averaged


def learning_rate_factor(step: int, steps: int, settings: TrainingSettings) -> float:
    """Return the learning rate of a step as a share of its peak.

    It warms up linearly to 1, and then decays to ``final_lr`` at the last step.

    Args:
        step: Number of the step, from 0.
        steps: Number of steps of the run.
        settings: Warm-up and decay.
    """
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = min(1.0, (step - settings.warmup) / max(1, steps - settings.warmup))
    if settings.decay == "none":
        return 1.0
    left = 1 - done if settings.decay == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return settings.final_lr + (1 - settings.final_lr) * left


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters.

    The rate is a function of the step alone, so a run is resumed without the state of a scheduler.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
