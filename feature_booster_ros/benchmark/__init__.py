# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time every stage: engines side by side, OpenCV, and the bare matrix products."""
