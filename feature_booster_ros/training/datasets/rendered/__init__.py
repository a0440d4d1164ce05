# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image pairs rendered from random scenes, with exact depth."""
