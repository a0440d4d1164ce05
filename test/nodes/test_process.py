# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The threads of a node's process, as OpenCV, PyTorch and its OpenMP take them."""

import os
import re
import subprocess
import sys

import pytest

SCRIPT = """
from feature_booster_ros.nodes.process import limit_threads, sleep_at_barriers
sleep_at_barriers()
limit_threads({before})
import cv2, torch
limit_threads({after})
print("threads", cv2.getNumThreads(), torch.get_num_threads())
"""


def run(before, after, **environment):
    """What a process says in which the threads are limited before and after PyTorch is loaded."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    inherited.pop("GOMP_SPINCOUNT", None)
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before, after=after)],
        env={**inherited, "OMP_DISPLAY_ENV": "true", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout + result.stderr


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 1)])
def test_opencv_and_pytorch_take_the_limit_and_sleep_at_barriers(before, after):
    output = run(before, after)
    assert "threads 1 1" in output
    assert re.search(r"OMP_WAIT_POLICY *= *'PASSIVE'", output)


def test_the_users_own_setting_stays():
    output = run(0, 0, OMP_WAIT_POLICY="ACTIVE", OMP_NUM_THREADS="1")
    assert re.search(r"threads \d+ 1\b", output)
    assert re.search(r"OMP_WAIT_POLICY *= *'ACTIVE'", output)
