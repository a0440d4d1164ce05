# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The profile of Fast DDS for large messages, and who gets it."""

from pathlib import Path

import pytest

from feature_booster_ros.live.node_process import NodeGroup
from feature_booster_ros.nodes import fastdds


@pytest.fixture
def unconfigured(monkeypatch):
    """An environment that does not configure Fast DDS."""
    for name in fastdds.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    "distribution, name",
    [
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_profile_has_the_variable_of_the_distribution(unconfigured, distribution, name):
    unconfigured.setenv("ROS_DISTRO", distribution)
    unconfigured.chdir("/")
    assert fastdds.profile_environment(Path("tmp/profile.xml")) == {name: "/tmp/profile.xml"}


@pytest.mark.parametrize("name", fastdds.VARIABLES)
def test_what_is_configured_stays(unconfigured, name):
    unconfigured.setenv(name, "1")
    assert fastdds.profile_environment(Path("profile.xml")) == {}


def test_nodes_that_publish_large_messages_get_the_profile(unconfigured, tmp_path):
    (name,) = fastdds.profile_environment(Path("profile.xml"))
    variables = {}
    with NodeGroup() as group:
        for executable in ("image_player_node", "matcher_node"):
            node = group.start(executable, tmp_path)
            environment = Path(f"/proc/{node.pid}/environ").read_bytes().decode().split("\0")
            variables[executable] = dict(entry.split("=", 1) for entry in environment if entry)
    profile = Path(variables["image_player_node"][name])
    assert profile.name == "fastdds.xml" and profile.is_file()
    assert name not in variables["matcher_node"]
