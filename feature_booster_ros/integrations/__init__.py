# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features and matches in the formats of other programs: hloc, COLMAP, RTAB-Map."""
