# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure how well features match: metrics, and the runs that apply them."""
