# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Structure from motion by COLMAP on features and matches of this package."""
