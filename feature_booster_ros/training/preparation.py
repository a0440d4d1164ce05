# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the settings of a run come to: a network's configuration, data, batches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from ..booster import ModelConfig, load_models
from .datasets.batches import PairBatch, collate
from .datasets.mixture import StepPairs
from .datasets.photo_views import default_workers
from .datasets.specification import OpeningContext
from .settings import TrainingSettings


def trained_config(settings: TrainingSettings) -> ModelConfig:
    """The model's configuration as the run changes it.

    Raises:
        ValueError: there is no such model, or a setting does not suit it.
    """
    models = load_models(settings.models or None)
    if settings.model not in models:
        raise ValueError(
            f"no model is called {settings.model!r} in models.yaml; there are {', '.join(models)}"
        )
    config = models[settings.model]
    if settings.soft_signs and not config.binary:
        raise ValueError(f"soft_signs is for binary models; {config.name} has none to soften")
    return dataclasses.replace(
        config,
        descriptor_transform=settings.descriptor_transform or config.descriptor_transform,
        use_kenc=config.use_kenc and settings.keypoint_encoder,
        use_cross=config.use_cross and settings.cross_boosting,
        use_mha=config.use_mha or settings.multi_head_attention,
    )


def opening_context(settings: TrainingSettings, config: ModelConfig) -> OpeningContext:
    """What opening the run's data takes."""
    cache = Path(settings.cache or Path(settings.output) / "cache")
    return OpeningContext(config.detector, cache, settings.threads or default_workers())


def collate_step(
    pairs: StepPairs,
    step: int,
    settings: TrainingSettings,
    config: ModelConfig,
    device: torch.device,
) -> PairBatch:
    """The pairs of a step as a batch."""
    rng = np.random.default_rng([settings.seed, step])
    return collate(pairs.pairs, settings.features, config.keypoint_dim, rng, device)
