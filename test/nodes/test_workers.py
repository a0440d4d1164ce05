# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two stages of work on the newest items: what overlaps, what is dropped, and in which order."""

from __future__ import annotations

import threading
import time

import pytest
from conftest import wait_for

from feature_booster_ros.nodes.workers import OverlappedWorker


class Stages:
    """Two stages that log what they do; each can be held up."""

    def __init__(self):
        self.log: list[tuple[str, int]] = []
        self.gates = {"first": threading.Event(), "second": threading.Event()}
        for gate in self.gates.values():
            gate.set()

    def first(self, item):
        self._work("first", item)
        return item

    def second(self, item):
        self._work("second", item)
        self.log.append(("done", item))

    def items(self, stage):
        return [item for name, item in list(self.log) if name == stage]

    def _work(self, stage, item):
        self.log.append((stage, item))
        assert self.gates[stage].wait(60)


@pytest.fixture
def stages():
    return Stages()


def test_the_next_item_is_begun_while_the_second_stage_works(stages):
    worker = OverlappedWorker(stages.first, stages.second, "test", lambda: True)
    stages.gates["second"].clear()
    worker.submit(1)
    wait_for(lambda: stages.items("second") == [1], "the second stage's first item")
    worker.submit(2)
    wait_for(lambda: stages.items("first") == [1, 2], "the first stage's second item")
    assert stages.items("done") == []
    # The result of 2 waits for the second stage; of what comes meanwhile, the newest stays.
    assert [worker.submit(item) for item in (3, 4, 5)] == [False, True, True]
    stages.gates["second"].set()
    wait_for(lambda: stages.items("done") == [1, 2, 5], "all results in order")
    worker.stop()


def test_without_overlap_the_stages_take_turns(stages):
    overlap = False
    worker = OverlappedWorker(stages.first, stages.second, "test", lambda: overlap)
    stages.gates["second"].clear()
    worker.submit(1)
    wait_for(lambda: stages.items("second") == [1], "the second stage's first item")
    worker.submit(2)
    time.sleep(0.1)
    assert stages.items("first") == [1]
    stages.gates["second"].set()
    wait_for(lambda: stages.items("done") == [1, 2], "both results")
    # A change takes effect with the next item.
    overlap = True
    stages.gates["second"].clear()
    worker.submit(3)
    wait_for(lambda: stages.items("second") == [1, 2, 3], "the third result")
    worker.submit(4)
    wait_for(lambda: stages.items("first") == [1, 2, 3, 4], "an overlap")
    stages.gates["second"].set()
    worker.stop()


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("slow", ["first", "second"])
def test_order_is_kept_and_what_is_begun_is_finished(overlap, slow):
    begun, done = [], []

    def first(item):
        begun.append(item)
        time.sleep(0.004 if slow == "first" else 0.0)
        return None if item % 7 == 0 else item

    def second(item):
        time.sleep(0.004 if slow == "second" else 0.0)
        done.append(item)

    worker = OverlappedWorker(first, second, "test", lambda: overlap)
    dropped = 0
    for item in range(1, 201):
        dropped += worker.submit(item)
        if item % 2:  # every other item follows at once, so that some are dropped at any speed
            time.sleep(0.0005)
    wait_for(lambda: done and done[-1] == 200, "the newest item")
    worker.stop()
    assert done == [item for item in begun if item % 7]
    assert begun == sorted(set(begun))
    assert len(begun) + dropped == 200 and dropped > 0


def test_the_first_stage_waits_for_newer_items_where_the_second_is_slow():
    """A result that would only wait is made late, of an item that came meanwhile."""
    seconds = 0.8
    began = []

    def second(item):
        began.append(item)
        time.sleep(seconds)

    worker = OverlappedWorker(lambda item: item, second, "test", lambda: True)
    worker.submit(1)
    wait_for(lambda: began == [1], "the first result")
    worker.submit(2)  # begun at once, as it is not known yet how long the second stage takes
    wait_for(lambda: began == [1, 2], "the second result")
    for item in (3, 4, 5):
        worker.submit(item)
        time.sleep(0.01)
    wait_for(lambda: len(began) == 3, "the third result")
    worker.stop()
    assert began == [1, 2, 5]


def test_streams_take_turns_with_their_newest_items(stages):
    worker = OverlappedWorker(stages.first, stages.second, "test", lambda: False)
    stages.gates["first"].clear()
    worker.submit(1, "a")
    wait_for(lambda: stages.items("first") == [1], "the first item")
    submitted = [(2, "a"), (3, "a"), (10, "b"), (4, "a"), (20, "c"), (11, "b")]
    assert [worker.submit(*each) for each in submitted] == [False, True, False, True, False, True]
    stages.gates["first"].set()
    wait_for(lambda: len(stages.items("done")) == 4, "an item of each")
    worker.stop()
    assert stages.items("done") == [1, 4, 11, 20]


def test_stop_finishes_what_is_begun_and_forgets_the_rest(stages):
    worker = OverlappedWorker(stages.first, stages.second, "test", lambda: True)
    for gate in stages.gates.values():
        gate.clear()
    worker.submit(1)
    wait_for(lambda: stages.items("first") == [1], "the first item")
    stages.gates["first"].set()
    wait_for(lambda: stages.items("second") == [1], "its result")
    stages.gates["first"].clear()
    worker.submit(2)
    wait_for(lambda: stages.items("first") == [1, 2], "the second item")
    worker.submit(3)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    time.sleep(0.05)
    for gate in stages.gates.values():
        gate.set()
    stopping.join(60)
    assert not stopping.is_alive()
    assert stages.items("done") == [1, 2]
    assert worker.submit(4) is False
    time.sleep(0.05)
    assert stages.items("first") == [1, 2]


def test_stop_of_an_idle_worker(stages):
    worker = OverlappedWorker(stages.first, stages.second, "test", lambda: True)
    worker.stop()
    worker.stop()
    assert not stages.log
