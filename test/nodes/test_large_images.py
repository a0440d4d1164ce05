# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""config/fastdds.xml: images larger than Fast DDS's default shared memory arrive, best effort."""

import os

import cv2
import numpy as np
import pytest
from conftest import FASTDDS_PROFILES, wait_for
from sensor_msgs.msg import Image
from test_package import share

FRAMES = 20


@pytest.mark.skipif(
    os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp",
    reason="needs Fast DDS, which the profile is for: unset RMW_IMPLEMENTATION",
)
def test_large_images_arrive_best_effort(ros, start_node, tmp_path, monkeypatch):
    """Without the profile none or a few of these do."""
    monkeypatch.setenv(FASTDDS_PROFILES, str(share() / "config" / "fastdds.xml"))
    for number in range(FRAMES):
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), np.full((720, 1280, 3), number, np.uint8))
    images = ros.listen(Image, "image", "best_effort")
    parameters = {
        "source": str(tmp_path), "rate": 5.0, "wait_for_subscribers": 1,
        "qos_output_reliability": "best_effort",
    }  # fmt: skip
    player = start_node("image_player_node", parameters=parameters)
    assert player.wait() == 0
    # One or two may be lost to a busy machine.
    wait_for(lambda: len(images) >= FRAMES - 2, f"{FRAMES - 2} of {FRAMES} large images")
