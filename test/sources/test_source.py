# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Playing a source once and over and over."""

from __future__ import annotations

from records import write_pictures

from feature_booster_ros.sources import open_source, play


def test_one_pass_has_the_recorded_stamps(tmp_path):
    write_pictures(tmp_path, ["a.png", "b.png"])
    played = list(play(open_source(tmp_path)))
    assert [stamp_ns for _, stamp_ns in played] == [0, 100_000_000]


def test_stamps_go_on_at_the_frame_distance_in_the_next_pass(tmp_path):
    write_pictures(tmp_path, ["a.png", "b.png", "c.png", "d.png"])
    passes = iter([True, True, False])
    played = list(play(open_source(tmp_path), step=2, again=lambda: next(passes)))
    assert [frame.name for frame, _ in played] == ["a.png", "c.png"] * 3
    assert [stamp_ns // 100_000_000 for _, stamp_ns in played] == [0, 2, 4, 6, 8, 10]


def test_again_is_asked_at_the_end_of_the_pass(tmp_path):
    write_pictures(tmp_path, ["a.png", "b.png"])
    asked = []
    player = play(open_source(tmp_path), again=lambda: asked.append(True))
    next(player)
    next(player)
    assert not asked
    assert next(player, None) is None
    assert asked == [True]
