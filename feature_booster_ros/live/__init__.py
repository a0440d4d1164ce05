# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What starts the nodes and listens to them: the demo, and the measurement of live latency."""
