# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MegaDepth: from its reconstructions and depth maps to image pairs."""
