# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training of boosters: image pairs with ground truth, losses, the loop."""
