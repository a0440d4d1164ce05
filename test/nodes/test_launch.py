# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What booster.launch.py starts for which arguments. Needs a ROS 2 distribution."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from camera_messages import gray_photograph, image_message
from conftest import TIMEOUT, wait_for
from sensor_msgs.msg import Image

from feature_booster_ros.msg import MatchArray
from feature_booster_ros.nodes import fastdds
from feature_booster_ros.nodes.parameters import from_values

pytest.importorskip("ros2launch", reason="needs ros2launch, of a ROS 2 distribution, not on PyPI")
import launch  # noqa: E402
import launch_ros  # noqa: E402

NODES = ("booster_node", "matcher_node", "odometry_node")
NODE_TYPES = {"BoosterNode", "MatcherNode", "OdometryNode", "ImagePlayerNode"}
ROS2 = [
    sys.executable,
    "-c",
    "import sys; from ros2cli.cli import main; sys.exit(main(argv=sys.argv[1:]))",
]
LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "booster.launch.py"


@pytest.fixture
def launch_file():
    """Return the launch file as a module."""
    specification = importlib.util.spec_from_file_location("booster_launch", LAUNCH_FILE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def started(launch_file, monkeypatch):
    """Return a function from launch arguments to each node's keyword arguments, by executable."""
    nodes = {}

    class RecordedNode(launch_ros.actions.Node):
        def __init__(self, **keywords):
            nodes[keywords["executable"]] = keywords
            super().__init__(**keywords)

    monkeypatch.setattr(launch_file, "Node", RecordedNode)
    monkeypatch.setattr(launch_file, "get_package_prefix", lambda package: "/installed")

    def run(**arguments) -> dict[str, dict]:
        context = launch.LaunchContext()
        context.launch_configurations.update(arguments)
        for entity in launch_file.generate_launch_description().entities:
            entity.visit(context)
        return nodes

    return run


def overridden(node: dict) -> dict:
    """Return the parameters that come after the files."""
    last = node["parameters"][-1]
    return last if isinstance(last, dict) else {}


def test_every_argument_is_described(launch_file):
    arguments = launch_file.generate_launch_description().get_launch_arguments()
    names = {argument.name for argument in arguments}
    assert {"model", "device", "max_features", "params_file", "namespace", "image"} <= names
    assert {"camera_info", "source", "rate", "loop", "rviz", "matcher", "log_level"} <= names
    assert {"odometry", "camera_height"} <= names
    assert all(argument.description != "no description given" for argument in arguments)
    assert all(argument.default_value is not None for argument in arguments)


def test_a_camera_driver_publishes_by_default(started):
    nodes = started()
    assert set(nodes) == {"booster_node", "matcher_node"}
    assert overridden(nodes["booster_node"]) == {"image_transport": "raw"}


def test_arguments_reach_the_nodes(started):
    player = {"source": "rendered", "rate": "5", "loop": "true"}
    nodes = started(model="ORB+Boost-B", device="cpu", max_features="500", **player)
    booster = overridden(nodes["booster_node"])
    assert (booster["model"], booster["device"]) == ("ORB+Boost-B", "cpu")
    assert booster["max_features"] == 500
    player = overridden(nodes["image_player_node"])
    assert (player["source"], player["rate"], player["loop"]) == ("rendered", 5.0, True)


def test_topics_and_namespace(started):
    nodes = started(image="/front/image_raw", namespace="robot", image_transport="compressed")
    booster = nodes["booster_node"]
    assert booster["namespace"] == "robot"
    assert overridden(booster)["image_transport"] == "compressed"
    assert dict(booster["remappings"]) == {
        "image": "/front/image_raw",
        "image/compressed": "/front/image_raw/compressed",
        "camera_info": "/front/camera_info",
    }


def test_topics_that_measure_depth(started):
    nodes = started(image="/rgb/image", depth="/depth/image", source="rendered")
    for executable in ("booster_node", "image_player_node"):
        topics = dict(nodes[executable]["remappings"])
        assert topics["depth"] == "/depth/image"
        assert topics["depth/compressedDepth"] == "/depth/image/compressedDepth"
    assert overridden(nodes["booster_node"])["depth_input"] == "aligned"
    booster = started(right_image="/infra2/image_rect_raw")["booster_node"]
    topics = dict(booster["remappings"])
    assert topics["right/image"] == "/infra2/image_rect_raw"
    assert topics["right/image/compressed"] == "/infra2/image_rect_raw/compressed"
    assert topics["right/camera_info"] == "/infra2/camera_info"
    assert overridden(booster)["depth_input"] == "stereo"


def test_several_cameras_of_one_booster(started):
    nodes = started(cameras="left, right", image="image_raw", namespace="robot")
    booster, matcher = nodes["booster_node"], nodes["matcher_node"]
    assert (booster["namespace"], matcher["namespace"]) == ("robot", "robot/right")
    assert overridden(booster)["cameras"] == "left, right"
    assert dict(booster["remappings"])["right/image"] == "right/image_raw"
    assert dict(booster["remappings"])["left/camera_info"] == "left/camera_info"
    assert dict(matcher["remappings"])["image"] == "image_raw"


def test_parameters_file_holds_in_a_namespace(started, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("/booster_node:\n  ros__parameters:\n    sigma: 1e-1\nmatcher_node: {}\n")
    nodes = started(namespace="robot", params_file=str(path))
    text = Path(nodes["booster_node"]["parameters"][1]).read_text()
    assert text == path.read_text().replace("/booster", "/**/booster").replace(
        "matcher_node", "/**/matcher_node"
    )
    assert started(params_file=str(path))["booster_node"]["parameters"][1] == str(path)


def test_presets(started, launch_file):
    preset = launch_file.PRESETS / "odometry.yaml"
    assert started()["booster_node"]["parameters"][0] == str(preset)
    path = Path(started(preset="mapping", namespace="robot")["booster_node"]["parameters"][0])
    assert path.name == "mapping.yaml" and "/**/booster_node:" in path.read_text()


def test_each_node_is_in_its_enclave_of_the_policy(started, launch_file):
    policy = ElementTree.parse(launch_file.CONFIG / "security" / "policy.xml")
    enclaves = {enclave.get("path") for enclave in policy.iter("enclave")}
    nodes = started(source="rendered", odometry="true")
    assert {node["ros_arguments"][-1] for node in nodes.values()} == enclaves


def test_camera_info_elsewhere(started):
    booster = started(image="/front/image_raw", camera_info="/calibration")["booster_node"]
    assert dict(booster["remappings"])["camera_info"] == "/calibration"


def test_parameters_are_those_of_the_node(started):
    """The names that the launch file overrides are parameters, with values of their type."""
    nodes = started(
        model="none", device="cpu", max_features="9", source="rendered", rate="1", loop="false",
        odometry="true", camera_height="1.65", depth="depth",
    )  # fmt: skip
    assert len(nodes) == 4
    for executable, node in nodes.items():
        module = importlib.import_module(f"feature_booster_ros.nodes.{executable}")
        (node_type,) = (each for name, each in vars(module).items() if name in NODE_TYPES)
        from_values(node_type.parameter_type, overridden(node))


@pytest.mark.parametrize(
    ("arguments", "waited_for"),
    [
        ({}, "booster_node,matcher_node"),
        ({"matcher": "false"}, "booster_node"),
        ({"odometry": "true", "rviz": "true"}, "booster_node,matcher_node,odometry_node"),
    ],
)
def test_player_waits_for_the_nodes(started, arguments, waited_for):
    player = overridden(started(source="rendered", **arguments)["image_player_node"])
    assert player["wait_for_nodes"] == waited_for


def test_matcher_off_rviz_on(started):
    assert set(started(matcher="false", rviz="true")) == {"booster_node", "rviz2"}


@pytest.mark.parametrize(
    ("arguments", "overridden_by"),
    [({}, {}), ({"camera_height": "1.65"}, {"camera_height": 1.65})],
)
def test_odometry_on_demand(started, arguments, overridden_by):
    nodes = started(odometry="true", **arguments)
    assert set(nodes) == {"booster_node", "matcher_node", "odometry_node"}
    assert overridden(nodes["odometry_node"]) == overridden_by


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_features": "many"}, "max_features must be an integer, not 'many'"),
        ({"source": "rendered", "rate": "fast"}, "rate must be a number, not 'fast'"),
        ({"odometry": "true", "camera_height": "tall"}, "camera_height must be a number"),
        ({"preset": "none"}, "none"),
        ({"params_file": "missing.yaml"}, "there is no file missing.yaml"),
        ({"rviz_config": "missing.rviz"}, "rviz_config: there is no file missing.rviz"),
        ({"fastdds_profile": "missing.xml"}, "fastdds_profile: there is no file missing.xml"),
        ({"rviz": "perhaps"}, "perhaps"),
        ({"cameras": "left,right", "source": "rendered"}, "source plays one camera"),
        ({"cameras": "left,right", "image": "/image"}, "relative to each camera's name"),
        ({"cameras": "left,right", "depth": "/depth"}, "relative to each camera's name"),
        ({"depth": "a", "right_image": "b"}, "depth and right_image both measure depth"),
    ],
)
def test_bad_argument_is_named(started, arguments, error):
    with pytest.raises(Exception, match=error):
        started(**arguments)


def test_rviz_has_a_copy_of_its_configuration(started, launch_file, tmp_path):
    """RViz asks on closing whether to save to the file that it was given."""
    _, path = started(rviz="true", image_transport="compressed")["rviz2"]["arguments"]
    assert Path(path).name == "matches.rviz"
    assert Path(path).parent != launch_file.CONFIG
    assert "Value: image/compressed\n" in Path(path).read_text()
    _, path = started(rviz="true", odometry="true")["rviz2"]["arguments"]
    assert Path(path).read_text() == (launch_file.CONFIG / "odometry.rviz").read_text()
    own = tmp_path / "own.rviz"
    own.touch()
    assert started(rviz="true", rviz_config=str(own))["rviz2"]["arguments"] == ["-d", str(own)]


def test_lifecycle_manager_and_respawn(started):
    nodes = started(source="rendered", odometry="true", autostart="false", respawn="true")
    player = nodes.pop("image_player_node")
    assert all(overridden(node)["autostart"] is False for node in nodes.values())
    assert all(node["respawn"] for node in nodes.values())
    assert "autostart" not in overridden(player) and not player["respawn"]


@pytest.mark.parametrize("arguments, is_set", [({}, True), ({"fastdds_profile": ""}, False)])
def test_nodes_get_the_fastdds_profile(launch_file, monkeypatch, arguments, is_set):
    for name in fastdds.VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is as before after the test
    (name,) = fastdds.profile_environment(Path())
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    for entity in launch_file.generate_launch_description().entities:
        for action in entity.visit(context) or []:
            if isinstance(action, launch.actions.SetEnvironmentVariable):
                action.visit(context)
    path = str((launch_file.CONFIG / "fastdds.xml").resolve())
    assert context.environment[name] == (path if is_set else "")


def test_missing_rviz_is_said_before_anything_starts(started, launch_file, monkeypatch):
    def not_found(package):
        raise launch_file.PackageNotFoundError(package)

    monkeypatch.setattr(launch_file, "get_package_prefix", not_found)
    with pytest.raises(FileNotFoundError, match="needs rviz2, which is not installed"):
        started(rviz="true")
    assert "booster_node" in started()


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("max_features:=0", "parameter 'max_features' must be 1 to 100000, not 0"),
        ("model:=NoSuch", "parameter 'model': no weights called 'NoSuch'"),
        ("source:=/nope", "source '/nope' does not exist"),
    ],
)
def test_node_that_fails_ends_the_launch_with_its_reason_last(argument, reason):
    result = subprocess.run(
        [*ROS2, "launch", str(LAUNCH_FILE), argument],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode != 0
    assert reason in result.stdout.splitlines()[-1]


def test_killed_node_ends_the_launch_with_the_signal_last(namespace):
    process = subprocess.Popen(
        [*ROS2, "launch", str(LAUNCH_FILE), "model:=none", f"namespace:={namespace[1:]}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if started := re.search(r"\[matcher_node-\d+\]: process started with pid \[(\d+)\]", line):
            os.kill(int(started[1]), signal.SIGKILL)
    assert process.wait(TIMEOUT) != 0
    assert "matcher_node failed: SIGKILL has ended it" in lines[-1]


@pytest.fixture
def launched(namespace, tmp_path):
    """Return a function that runs a launch file in the test's namespace; ended with the test.

    It returns a function to what launch has written so far.
    """
    log = tmp_path / "launch.log"
    processes = []

    def run(file: str, *arguments: str):
        with log.open("w") as stream:
            processes.append(
                subprocess.Popen(
                    [*ROS2, "launch", str(LAUNCH_FILE.with_name(file)), *arguments,
                     f"namespace:={namespace[1:]}"],
                    stdout=stream, stderr=subprocess.STDOUT,
                )
            )  # fmt: skip
        return log.read_text

    yield run
    for process in processes:
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0, log.read_text()


def test_nodes_say_when_they_are_ready_and_a_killed_one_comes_back(launched, namespace):
    output = launched("booster.launch.py", "model:=none", "odometry:=true", "respawn:=true")
    ready = [f"{name}]: active: waiting for" for name in NODES]
    wait_for(lambda: all(line in output() for line in ready), "all nodes' ready lines")
    pid = re.search(r"\[booster_node-\d+\]: process started with pid \[(\d+)\]", output())[1]
    os.kill(int(pid), signal.SIGKILL)
    wait_for(lambda: output().count(ready[0]) == 2, "a second ready line of booster_node")
    assert all(output().count(line) == 1 for line in ready[1:])


def test_without_autostart_a_manager_takes_the_nodes_up(launched, ros):
    output = launched("booster.launch.py", "model:=none", "odometry:=true", "autostart:=false")
    for name in NODES:
        assert ros.state(name) == "unconfigured"
        assert "active:" not in output()
    for label in ("configure", "activate"):
        for name in NODES:
            assert ros.transition(name, label)
    assert [ros.state(name) for name in NODES] == ["active"] * 3


@pytest.mark.parametrize(("one_process", "processes"), [("false", 4), ("true", 3)])
def test_two_cameras_are_boosted_and_matched(launched, ros, one_process, processes):
    image = image_message(gray_photograph(), "mono8")
    matches = {name: ros.listen(MatchArray, f"{name}/matches") for name in ("left", "right")}
    publishers = [ros.publisher(Image, f"{name}/image_raw") for name in matches]
    output = launched("cameras.launch.py", f"one_process:={one_process}", "model:=none")

    def matched():
        image.header.stamp.sec += 1
        for publisher in publishers:
            publisher.publish(image)
        time.sleep(0.2)
        return all(matches.values())

    wait_for(matched, "matches of both cameras")
    assert output().count("process started") == processes
