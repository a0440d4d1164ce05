# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames that did not arrive are counted by the stamps of those that did."""

import random

import pytest

from feature_booster_ros.nodes.diagnostics import MissingFrames

FRAMES = 1000
PERIOD = 200_000_000  # nanoseconds


def missing(stamps):
    frames = MissingFrames()
    return sum(frames.add(stamp) for stamp in stamps)


@pytest.mark.parametrize("jitter", [0.0, 0.15])
@pytest.mark.parametrize("lost", [0.0, 0.05, 0.5])
def test_lost_frames_are_counted(jitter, lost):
    source = random.Random(1)
    times = [round((i + source.uniform(-jitter, jitter)) * PERIOD) for i in range(FRAMES)]
    arrived = [stamp for stamp in times if source.random() >= lost]
    actual = FRAMES - len(arrived)
    # The first intervals tell no rate yet; jitter blurs some gaps.
    assert missing(arrived) == pytest.approx(actual, abs=25 + 0.2 * actual)
    assert lost or missing(arrived) == 0


def test_pause_and_new_rate_are_no_loss():
    stamps = [i * PERIOD for i in range(50)]
    stamps += [stamps[-1] + 60 * 10**9 + i * PERIOD for i in range(50)]
    assert missing(stamps) == 0
    # At half the rate the frames count as missing only until that is the usual one.
    stamps += [stamps[-1] + (i + 1) * 2 * PERIOD for i in range(200)]
    assert missing(stamps) < 40
