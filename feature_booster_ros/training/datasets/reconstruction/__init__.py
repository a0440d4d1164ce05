# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image pairs from COLMAP reconstructions of the user's own images."""
