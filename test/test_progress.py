# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Progress of long work, on a terminal and in a log."""

import io
import re

from feature_booster_ros.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_whole_lines():
    log = io.StringIO()
    assert list(Progress(range(3), "views", file=log)) == [0, 1, 2]
    first, *_, last = lines = log.getvalue().splitlines()
    assert "\r" not in log.getvalue() and all(line.startswith("views: ") for line in lines)
    assert re.fullmatch(r"views: 0/3 \[[\d:]+<\?\]", first)
    assert re.fullmatch(r"views: 3/3 \[[\d:]+<[\d:]+\]", last)


def test_a_log_shows_what_is_measured():
    log = io.StringIO()
    with Progress(total=2, desc="train", leave=False, file=log) as bar:
        bar.set_postfix({"loss": 0.5})
        bar.update(2)
    assert re.fullmatch(r"train: 2/2 \[.*, loss=0.5\]", log.getvalue().splitlines()[-1])


def test_a_terminal_gets_a_bar():
    terminal = Terminal()
    list(Progress(range(3), "views", file=terminal))
    assert terminal.getvalue().startswith("\rviews:   0%|")
