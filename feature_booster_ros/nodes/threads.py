# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How many threads a node's process computes with, and how they wait."""

from __future__ import annotations

import os
import sys

import cv2


def sleep_at_barriers() -> None:
    """Has the threads of PyTorch sleep while they wait for one another, rather than spin.

    A spinning thread holds the core that the one it waits for needs. With another process busy on
    one of two cores, one image in twenty then takes the network ten times as long as the others.
    Sleeping costs a tenth on a machine of its own. To be called before PyTorch is loaded; the
    user's own setting stays.
    """
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def limit_threads(count: int) -> None:
    """Has OpenCV and PyTorch compute in ``count`` threads; 0 leaves both as they are."""
    if count == 0:
        return
    cv2.setNumThreads(count)
    # For a PyTorch that is loaded later, and for one that is there.
    os.environ["OMP_NUM_THREADS"] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
