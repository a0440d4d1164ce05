# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that is killed and started again answers, while the rest of the pipeline goes on."""

import signal

import pytest
from conftest import FASTDDS_PROFILES, wait_for
from test_package import share

from feature_booster_ros.msg import FeatureArray, MatchArray

PARAMETERS = {
    "booster_node": {"model": "none", "max_features": 300},
    "matcher_node": {},
    "image_player_node": {"source": "rendered", "loop": True, "rate": 5.0},
}


@pytest.mark.parametrize("killed", ["booster_node", "matcher_node", "image_player_node"])
def test_killed_node_answers_after_its_restart(ros, start_node, monkeypatch, killed):
    monkeypatch.setenv(FASTDDS_PROFILES, str(share() / "config" / "fastdds.xml"))
    features = ros.listen(FeatureArray, "features")
    matches = ros.listen(MatchArray, "matches")
    nodes = {name: start_node(name, parameters=PARAMETERS[name]) for name in PARAMETERS}
    wait_for(lambda: matches, "matches")
    for _ in range(2):
        assert nodes[killed].stop(signal.SIGKILL) == -signal.SIGKILL
        nodes[killed] = start_node(killed, parameters=PARAMETERS[killed])
        nodes[killed].wait_for_output("active:")
        features.clear()
        matches.clear()
        wait_for(lambda: features and len(matches) > 1, f"the chain with a new {killed}")
    assert all(node.running() for node in nodes.values())
