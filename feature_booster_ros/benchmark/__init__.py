# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What each stage costs: engines side by side, beside OpenCV and the bare arithmetic."""
