# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image pairs to train on, from wherever there is ground truth."""

from .pairs import PairSource, ViewGroup

__all__ = ["ViewGroup", "PairSource"]
