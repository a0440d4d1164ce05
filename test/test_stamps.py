# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Times, and the policy for those that do not rise."""

from types import SimpleNamespace

import pytest

from feature_booster_ros.stamps import (
    NANOSECONDS,
    Order,
    StampWatch,
    in_order,
    parse_seconds,
    rising,
    show,
)

NOW = 1_700_000_000


def nanoseconds(seconds):
    return round(seconds * 1000) * (NANOSECONDS // 1000)


@pytest.mark.parametrize(
    ("stamps", "orders"),
    [
        ([NOW, NOW + 0.1], "rising rising"),
        ([NOW, NOW, NOW + 1], "rising repeated rising"),
        ([NOW, NOW + 0.2, NOW + 0.1, NOW + 0.3], "rising rising out_of_order rising"),
        ([NOW, NOW - 5, NOW - 4.9], "rising restarted rising"),
        ([NOW, 0, NOW + 0.1], "rising unset rising"),
        ([0, 0, 0], "rising unset unset"),
        ([0, 0.1, 0.2], "rising rising rising"),
        ([9, 9.1, 0, 0.1], "rising rising restarted rising"),
        ([5, NOW, NOW + 0.1], "rising restarted rising"),
    ],
)
def test_order(stamps, orders):
    told = []
    watch = StampWatch(told.append)
    assert [watch.add(nanoseconds(stamp)).value for stamp in stamps] == orders.split()
    assert bool(told) == ("rising" != " ".join(sorted(set(orders.split()))))


@pytest.mark.parametrize(
    ("stamps", "orders"),
    [
        ([NOW, 5, NOW + 0.1], "rising stray rising"),
        ([NOW, 2**31 - 1, NOW + 0.1, 7, NOW + 0.2], "rising stray rising stray rising"),
        ([NOW, 5, 5.1, 5.2], "rising stray restarted rising"),
        ([5, NOW, 7, NOW + 0.1, NOW + 0.2], "rising stray rising stray restarted"),
        ([NOW, 5, 2**31 - 1, NOW + 0.1], "rising stray stray rising"),
        ([NOW, NOW - 60, NOW - 59.9], "rising restarted rising"),
    ],
)
def test_a_stamp_days_away_must_be_confirmed(stamps, orders):
    watch = StampWatch(lambda text: None, confirm=True)
    assert [watch.add(nanoseconds(stamp)).value for stamp in stamps] == orders.split()


def test_each_kind_is_told_once_with_both_stamps_and_the_remedy():
    told = []
    watch = StampWatch(told.append, unusable="they are lost")
    for stamp in (NOW, NOW, NOW, NOW + 1, NOW + 0.9, NOW + 0.8, 0, 0):
        watch.add(nanoseconds(stamp), name="x.png")
    repeated, late, unset = told
    assert f"{NOW}.000000000 of x.png comes after {NOW}.000000000" in repeated
    assert "in whole seconds" in repeated and "they are lost; have the driver" in repeated
    assert f"{NOW}.900000000 of x.png comes after {NOW + 1}.000000000 (out of order)" in late
    assert "set header.stamp" in unset


def test_milliseconds_taken_for_nanoseconds_are_named():
    told = []
    watch = StampWatch(told.append)
    assert [watch.add(1_700_000_000_000 + 33 * i) for i in (0, 1)][1] is Order.REPEATED
    assert "another unit of time?" in told[0]


def test_what_is_far_back_is_up_to_the_caller():
    watch = StampWatch(lambda text: None)
    watch.add(nanoseconds(100))
    assert watch.add(nanoseconds(50), jump_back=1000.0) is Order.OUT_OF_ORDER


@pytest.mark.parametrize(
    ("stamps", "kept"),
    [
        ([1, 1.1, 1.3, 1.2, 1.4], [1, 1.1, 1.3, 1.4]),
        ([1, 1, 2], [1, 2]),
        ([8, 9, 1, 2, 9.5], [8, 9, 9.5]),
        ([1, 2, NOW, 3, 4], [1, 2, 3, 4]),
        ([0, NOW, NOW + 1], [0, NOW, NOW + 1]),
        ([], []),
    ],
)
def test_rising(stamps, kept):
    told = []
    frames = [SimpleNamespace(stamp_ns=nanoseconds(stamp), name="frame") for stamp in stamps]
    assert [frame.stamp_ns for frame in rising(frames, told.append)] == list(map(nanoseconds, kept))
    if len(kept) < len(stamps):
        assert f"{len(stamps) - len(kept)} frames were left out" in told[-1]


def test_in_order_mends_neighbors_and_keeps_parts_apart():
    def ordered(*stamps):
        return list(in_order(map(nanoseconds, stamps), lambda stamp: stamp, 3))

    assert ordered(1, 1.2, 1.1, 1.3) == [nanoseconds(stamp) for stamp in (1, 1.1, 1.2, 1.3)]
    assert ordered(8, 9, 10, 1, 2) == [nanoseconds(stamp) for stamp in (8, 9, 10, 1, 2)]
    same = [(5, "a"), (5, "b")]
    assert list(in_order(same, lambda item: item[0])) == same


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("1403636579763555584", "nanoseconds"),
        ("1403636579763555.5", "microseconds"),
        ("1403636579763", "milliseconds"),
    ],
)
def test_another_unit_is_no_time_in_seconds(text, unit):
    with pytest.raises(ValueError, match=f"looks like {unit}: convert it to seconds"):
        parse_seconds(text)


def test_seconds_keep_all_digits():
    assert show(parse_seconds("1403636579.763555584")) == "1403636579.763555584"
    assert show(-1_500_000_000) == "-1.500000000"
