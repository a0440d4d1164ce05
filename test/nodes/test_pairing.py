# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Items paired with the nearest in time of another stream, on a clock of the test's."""

from __future__ import annotations

import pytest

from feature_booster_ros.nodes.pairing import LONGEST_WAIT, NearestPairing

MS = 1_000_000


class Streams:
    def __init__(self):
        self.now = 0.0
        self.pairs = []
        self.pairing = NearestPairing(
            20 * MS, lambda item, companion: self.pairs.append((item, companion)), lambda: self.now
        )

    def item(self, stamp):
        self.pairing.add(stamp * MS, stamp)

    def companion(self, stamp):
        self.pairing.add_companion(stamp * MS, stamp)

    def wait(self, seconds):
        self.now += seconds
        self.pairing.hand_on_decided()


@pytest.fixture
def streams():
    return Streams()


def test_equal_stamps_pair_at_once_whichever_comes_first(streams):
    streams.companion(100)
    streams.item(100)
    assert streams.pairs == [(100, 100)]
    streams.item(200)
    assert len(streams.pairs) == 1
    streams.companion(200)
    assert streams.pairs[1:] == [(200, 200)]
    assert (streams.pairing.paired, streams.pairing.missing) == (2, 0)


def test_the_nearest_within_the_limit_is_taken(streams):
    streams.companion(90)
    streams.item(100)
    streams.companion(104)
    streams.item(200)
    streams.companion(221)
    assert streams.pairs == [(100, 104), (200, None)]
    assert streams.pairing.nearest_ns == 21 * MS


def test_a_lost_companion_costs_no_item_and_no_wait(streams):
    streams.item(100)
    streams.companion(100)
    streams.item(200)
    streams.item(300)
    streams.companion(300)
    assert streams.pairs == [(100, 100), (200, None), (300, 300)]


def test_companions_that_end_are_waited_for_once(streams):
    streams.companion(100)
    streams.item(100)
    streams.item(200)
    assert len(streams.pairs) == 1
    streams.wait(LONGEST_WAIT)
    for stamp in (300, 400, 500):
        streams.item(stamp)
    assert streams.pairs[1:] == [(stamp, None) for stamp in (200, 300, 400, 500)]
    assert list(streams.pairing.latest) == [True, False, False, False, False]


def test_companions_that_come_back_are_waited_for_again(streams):
    streams.item(100)
    streams.wait(LONGEST_WAIT)
    streams.item(200)  # handed on at once
    streams.companion(200)  # too late, but it would have been in time
    streams.item(300)
    assert streams.pairs == [(100, None), (200, None)]
    streams.companion(300)
    assert streams.pairs[2:] == [(300, 300)]
    assert list(streams.pairing.latest) == [False, False, True]


def test_companions_of_another_time_are_not_waited_for(streams):
    for stamp in range(2000, 3000, 100):
        streams.item(stamp)
        streams.companion(stamp - 1500)
        streams.wait(LONGEST_WAIT / 2)
    assert len(streams.pairs) >= 8
    assert {companion for _, companion in streams.pairs} == {None}
    assert streams.pairing.nearest_ns == 1600 * MS  # as the image comes before its companion


def test_a_recording_that_starts_again_pairs_from_its_first_image(streams):
    for _ in range(2):
        for stamp in range(10_000, 13_000, 1000):
            streams.item(stamp)
            streams.companion(stamp)
    assert streams.pairs == 2 * [(stamp, stamp) for stamp in range(10_000, 13_000, 1000)]


def test_a_companion_that_was_overtaken_costs_no_other(streams):
    for stamp in (100, 300, 200):
        streams.companion(stamp)
    for stamp in (100, 200, 300):
        streams.item(stamp)
    assert streams.pairs == [(100, 100), (200, 200), (300, 300)]


def test_no_more_items_wait_than_are_kept(streams):
    for stamp in range(100, 1300, 100):
        streams.item(stamp)
    assert streams.pairs == [(100, None), (200, None)]
