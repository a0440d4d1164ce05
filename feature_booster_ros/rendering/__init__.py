# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A software renderer with exact ground truth: scenes, camera paths, and the rendered sequence."""
