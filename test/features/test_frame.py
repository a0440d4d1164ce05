# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How each frame of a stream follows the one before."""

import dataclasses

import numpy as np
import pytest

from feature_booster_ros.features import Continuity, FeatureFrame, Features
from feature_booster_ros.stamps import NANOSECONDS, Order, StampWatch

FRAME = FeatureFrame(
    Features.empty(128, binary=False), None, 640, 480, 10 * NANOSECONDS, "camera", "sift", "none"
)
BINARY = Features.empty(256, binary=True)


def after(seconds, **changes):
    return dataclasses.replace(FRAME, stamp_ns=FRAME.stamp_ns + round(seconds * 1e9), **changes)


@pytest.fixture
def reports():
    return []


@pytest.fixture
def continuity(reports):
    return Continuity(StampWatch(reports.append, restart="starting again"))


def test_stamps_are_judged_as_stamp_watch_does(continuity, reports):
    assert continuity.add(FRAME) is Order.RISING
    assert continuity.add(after(0.1)) is Order.RISING
    assert continuity.add(after(0.1)) is Order.REPEATED
    assert continuity.add(after(0.05)) is Order.OUT_OF_ORDER
    assert continuity.add(after(0.2)) is Order.RISING
    assert continuity.add(after(-5.0)) is Order.RESTARTED
    assert continuity.add(after(-6.5), jump_back=10.0) is Order.OUT_OF_ORDER
    assert [text.endswith("starting again") for text in reports].count(True) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"frame_id": "other"}, "the camera changed from 'camera' to 'other'"),
        ({"model": "SIFT+Boost-F"}, "from sift none of 128 floats to sift SIFT+Boost-F of 128"),
        ({"detector": "orb", "features": BINARY}, "to orb none of 256 bits"),
    ],
)
def test_another_camera_or_kind_of_descriptors_restarts_with_any_stamp(
    continuity, reports, changes, reason
):
    continuity.add(FRAME)
    assert continuity.add(after(-0.5, **changes)) is Order.RESTARTED
    assert reason in reports[0] and reports[0].endswith(": starting again")
    assert continuity.add(after(-0.4, **changes)) is Order.RISING
    assert len(reports) == 1


def test_size_and_intrinsics_may_change(continuity):
    continuity.add(FRAME)
    assert continuity.add(after(0.1, width=320, height=240)) is Order.RISING


def test_after_a_reset_any_frame_is_the_first(continuity, reports):
    continuity.add(FRAME)
    continuity.reset()
    assert continuity.add(after(-0.5, frame_id="other")) is Order.RISING
    assert not reports


def test_shape_is_that_of_the_image():
    assert FRAME.shape == np.zeros((480, 640)).shape
