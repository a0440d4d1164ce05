# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The FeatureBooster network, its configurations, weights and engines."""

from .booster import Booster
from .checkpoint import CheckpointError, load_checkpoint, read_metadata, save_checkpoint
from .engines import available_engines
from .model_config import ModelConfig, available_models, load_models
from .network import FeatureBooster

__all__ = [
    "Booster",
    "CheckpointError",
    "FeatureBooster",
    "ModelConfig",
    "available_engines",
    "available_models",
    "load_checkpoint",
    "load_models",
    "read_metadata",
    "save_checkpoint",
]
