# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping, transitions and parameters of the nodes, over their services."""

import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from camera_messages import gray_photograph, image_message
from conftest import executable, wait_for

from feature_booster_ros.booster.model_config import weights_folder
from feature_booster_ros.msg import FeatureArray

NODES = ["booster_node", "matcher_node", "odometry_node"]
# Reliable, so that the one image a test publishes arrives; not lazy, as the node may not have seen
# the test's subscription by then.
ALONE = {"use_camera_info": False, "qos_input_reliability": "reliable", "lazy": False}
RAW = {**ALONE, "model": "none"}  # quick to start: no network


def refusals(ros, node, **values):
    """The reasons for which a node refuses parameters, one per value."""
    results = ros.set_parameters(node.full_name, **values)
    assert not any(result.successful for result in results), results
    return [result.reason for result in results]


def set_parameters(ros, node, **values):
    for result in ros.set_parameters(node.full_name, **values):
        assert result.successful, result.reason


def wait_for_state(ros, node, state):
    wait_for(lambda: ros.state(node.full_name) == state, f"{node.name} becoming {state}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", NODES)
def test_node_activates_itself_and_ends_cleanly(start_node, ros, name, number):
    node = start_node(name, parameters=RAW if name == "booster_node" else {})
    wait_for_state(ros, node, "active")
    assert node.stop(number) == 0
    assert "Traceback" not in node.output() and "rror" not in node.output()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("booster_node", "active: waiting for {0}/image and {0}/camera_info"),
        (
            "matcher_node",
            "active: waiting for a subscription to {0}/matches or match_image, then for "
            "{0}/features",
        ),
        ("odometry_node", "active: waiting for {0}/features"),
    ],
)
def test_node_says_what_it_waits_for(start_node, namespace, name, line):
    node = start_node(name, parameters={"model": "none"} if name == "booster_node" else {})
    node.wait_for_output(line.format(namespace))


@pytest.mark.parametrize("name", [*NODES, "image_player_node"])
def test_help(name):
    result = subprocess.run(
        [executable(name), "--help"], capture_output=True, text=True, timeout=90
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"usage: {name} [--ros-args")
    for text in ("Publishes" if name == "image_player_node" else "Subscribes to", "publishes",
        f"Example:\n  {name} --ros-args ", "autostart (bool, true)"):  # fmt: skip
        assert text.lower() in result.stdout.lower()


def test_arguments_without_effect_are_told():
    command = [executable("image_player_node"), "-p", "source:=/nowhere", "--fast"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert "no effect: -p --fast; parameters and remappings come after --ros-args" in result.stderr


def test_booster_node_says_that_images_paused_and_goes_on(start_node, ros):
    node = start_node("booster_node", parameters=RAW)
    features = ros.listen(FeatureArray, "features")
    node.wait_for_output("no images on")  # the check has spoken once
    ros.publish("image", image_message(gray_photograph((64, 48)), "mono8", 1))
    wait_for(lambda: features, "the first features")
    node.wait_for_output("have paused")
    ros.publish("image", image_message(gray_photograph((64, 48)), "mono8", 2))
    wait_for(lambda: len(features) == 2, "features after the pause")
    assert "Traceback" not in node.output()


FAULTY_NODE = """
import importlib, sys
from diagnostic_msgs.msg import DiagnosticArray
from feature_booster_ros.nodes.lifecycle import steady_timer
from feature_booster_ros.nodes.process import run

name, class_name, *arguments = sys.argv[1:]
module = importlib.import_module("feature_booster_ros.nodes." + name)

class FaultyNode(getattr(module, class_name)):
    def on_activate(self, state):
        result = super().on_activate(state)
        self.reported = name == "image_player_node"  # it has no diagnostics
        self.fault_timers = [steady_timer(self, 0.02, fault) for fault in (self.one, self.two)]
        self.end_timer = steady_timer(self, 0.1, self.end)
        self.create_subscription(DiagnosticArray, "/diagnostics", self.check, 10)
        return result

    def one(self):
        raise KeyError("a fault of one timer")

    def two(self):
        raise ZeroDivisionError("a fault of the other")

    def check(self, message):
        status = message.status[0]
        values = {value.key: value.value for value in status.values}
        if int(values["internal_errors"]) >= 10:
            print("level", ord(status.level), status.message)
            self.reported = True

    def end(self):
        if self.reported and self.faults >= 10:
            self.context.try_shutdown()

sys.exit(run(FaultyNode, arguments))
"""


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("booster_node", "BoosterNode"),
        ("matcher_node", "MatcherNode"),
        ("odometry_node", "OdometryNode"),
        ("image_player_node", "ImagePlayerNode"),
    ],
)
def test_exception_of_a_callback_is_reported_and_ends_no_node(name, class_name, tmp_path):
    parameters = {
        "booster_node": ["model:=none", "diagnostics_period:=0.1"],
        "matcher_node": ["diagnostics_period:=0.1"],
        "odometry_node": ["diagnostics_period:=0.1"],
        "image_player_node": [f"source:={tmp_path}", "at_end:=stay"],
    }[name]
    cv2.imwrite(str(tmp_path / "image.png"), gray_photograph((64, 48)))
    arguments = [word for each in parameters for word in ("-p", each)]
    result = subprocess.run(
        [sys.executable, "-c", FAULTY_NODE, name, class_name, "--ros-args", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert result.returncode == 0, result.stderr
    if name != "image_player_node":
        assert "level 2 internal error, see the log" in result.stdout
    # Each kind once in ten seconds.
    reports = [line for line in result.stderr.splitlines() if "internal error, please" in line]
    assert sum("a fault of one timer" in line for line in reports) == 1
    assert sum("a fault of the other" in line for line in reports) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_node_ends_cleanly_in_the_middle_of_work(start_node, ros, number):
    node = start_node("booster_node", parameters=RAW)
    features = ros.listen(FeatureArray, "features")
    for stamp in range(1, 6):
        ros.publish("image", image_message(gray_photograph((1280, 960)), "mono8", stamp))
    wait_for(lambda: features, "the first features")
    for stamp in range(6, 16):
        ros.publish("image", image_message(gray_photograph((1280, 960)), "mono8", stamp))
    assert node.stop(number) == 0
    assert "Traceback" not in node.output() and "rror" not in node.output()


@pytest.mark.parametrize("name", NODES)
def test_lifecycle_manager_takes_over(start_node, ros, name):
    node = start_node(
        name, parameters={"autostart": False, **(RAW if name == "booster_node" else {})}
    )
    node.wait_for_output("waiting for a lifecycle manager")
    assert ros.state(node.full_name) == "unconfigured"
    for _ in range(2):  # all that was made can be made again
        for transition, state in (
            ("configure", "inactive"),
            ("activate", "active"),
            ("deactivate", "inactive"),
            ("activate", "active"),
            ("deactivate", "inactive"),
            ("cleanup", "unconfigured"),
        ):
            assert ros.transition(node.full_name, transition), transition
            assert ros.state(node.full_name) == state
    assert not ros.transition(node.full_name, "activate")
    assert ros.transition(node.full_name, "configure")
    assert ros.transition(node.full_name, "activate")
    assert ros.transition(node.full_name, "shutdown")
    assert ros.state(node.full_name) == "finalized"
    assert node.stop() == 0


def test_only_an_active_node_works(start_node, ros):
    node = start_node("booster_node", parameters={**RAW, "autostart": False})
    features = ros.listen(FeatureArray, "features")
    publisher = ros.publisher(type(image_message(np.zeros((1, 1), np.uint8), "mono8")), "image")
    assert ros.transition(node.full_name, "configure")
    assert publisher.get_subscription_count() == 0
    assert ros.transition(node.full_name, "activate")
    ros.publish("image", image_message(gray_photograph(), "mono8", 1))
    wait_for(lambda: features, "features of an active node")
    assert ros.transition(node.full_name, "deactivate")
    wait_for(lambda: publisher.get_subscription_count() == 0, "the end of the subscription")
    assert ros.transition(node.full_name, "activate")
    ros.publish("image", image_message(gray_photograph(), "mono8", 2))
    wait_for(lambda: len(features) == 2, "features of a node that is active again")


def damaged_weights(folder, kind):
    """A weights file that is no use for SIFT+Boost-F, and what is said of it."""
    if kind == "missing":
        return folder / "nowhere.safetensors", "nowhere.safetensors"
    if kind == "truncated":
        path = folder / "truncated.safetensors"
        path.write_bytes((weights_folder() / "SIFT+Boost-F.safetensors").read_bytes()[:100_000])
        return path, "truncated.safetensors"
    return weights_folder() / "ORB+Boost-B.safetensors", "ORB+Boost-B"


@pytest.mark.parametrize("kind", ["missing", "truncated", "of another model"])
def test_bad_weights_leave_the_node_unconfigured_and_can_be_corrected(
    start_node, ros, tmp_path, kind
):
    weights, named = damaged_weights(tmp_path, kind)
    parameters = {**ALONE, "weights": str(weights), "autostart": False}
    node = start_node("booster_node", parameters=parameters)
    assert not ros.transition(node.full_name, "configure")
    output = node.wait_for_output("cannot configure")
    errors = [line for line in output.splitlines() if "ERROR" in line]
    assert len(errors) == 1 and named in errors[0], output
    assert "Traceback" not in output
    assert ros.state(node.full_name) == "unconfigured"
    set_parameters(ros, node, weights="")
    assert ros.transition(node.full_name, "configure")
    assert ros.transition(node.full_name, "activate")
    assert ros.state(node.full_name) == "active"


def test_node_that_cannot_start_itself_exits_with_the_reason(start_node):
    node = start_node("booster_node", parameters={**ALONE, "model": "NoSuch"})
    assert node.wait() == 1
    reason = "cannot configure: parameter 'model': no weights called 'NoSuch'"
    assert reason in node.output().splitlines()[-1]


@pytest.mark.parametrize("name", ["booster_node", "matcher_node"])
def test_cuda_where_there_is_none(start_node, ros, monkeypatch, name):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    node = start_node(name, parameters={"device": "cuda", "autostart": False})
    assert not ros.transition(node.full_name, "configure")
    output = node.wait_for_output("cannot configure")
    assert "'cuda'" in output and "use auto or cpu" in output and "Traceback" not in output
    assert ros.state(node.full_name) == "unconfigured"
    set_parameters(ros, node, device="cpu")
    assert ros.transition(node.full_name, "configure")


@pytest.mark.parametrize(
    ("name", "parameters", "named"),
    [
        ("booster_node", {"max_features": 0}, "'max_features' must be 1 to 100000, not 0"),
        (
            "booster_node",
            {"max_features": "many"},
            "'max_features' takes an integer, 1 to 100000, not 'many'",
        ),
        (
            "booster_node",
            {"precision": "fp8"},
            "'precision' must be one of auto, fp32, fp16, bf16, not 'fp8'",
        ),
        (
            "booster_node",
            {"sift_sigma": 2},
            "'sift_sigma' takes a double, 1.1 to 10.0, not 2: write 2.0",
        ),
        ("booster_node", {"grid_rows": 3}, "'grid_rows' (3) and 'grid_columns' (0)"),
        ("matcher_node", {"ratio": 1.5}, "'ratio' must be 0.01 to 1.0, not 1.5"),
        (
            "matcher_node",
            {"reference": "next"},
            "'reference' must be one of previous, keyframe, not 'next'",
        ),
        (
            "odometry_node",
            {"maximum_gap": 2.0},
            "cannot start: parameter 'maximum_gap' is called 'max_gap' now: rename it",
        ),
    ],
)
def test_bad_parameter_at_start_ends_the_node_with_an_error(start_node, name, parameters, named):
    node = start_node(name, parameters=parameters)
    assert node.wait() == 1
    assert named in node.output() and "Traceback" not in node.output()


def test_arguments_that_ros_cannot_parse(start_node):
    node = start_node("matcher_node", "-p", "ratio")
    assert node.wait() == 1
    assert "cannot start: rcl cannot parse these ROS arguments" in node.output()
    assert "Traceback" not in node.output()


def test_no_folder_for_logs_is_told_with_the_remedy(start_node, monkeypatch):
    monkeypatch.delenv("ROS_LOG_DIR", raising=False)
    monkeypatch.delenv("ROS_HOME", raising=False)
    monkeypatch.delenv("HOME")
    node = start_node("matcher_node")
    assert node.wait() == 1
    assert "cannot start: set HOME or ROS_LOG_DIR" in node.output()
    assert "Traceback" not in node.output()


def test_parameter_file_and_misspelt_name(start_node, ros, tmp_path):
    path = tmp_path / "parameters.yaml"
    path.write_text(
        "/**/booster_node:\n  ros__parameters:\n    model: none\n    use_camera_info: false\n"
        "    qos_input_reliability: reliable\n    lazy: false\n    max_features: 7\n    "
        "max_feature: 9\n"
    )
    node = start_node("booster_node", "--params-file", str(path))
    node.wait_for_output("there is no parameter 'max_feature' (did you mean 'max_features'?)")
    features = ros.listen(FeatureArray, "features")
    ros.publish("image", image_message(gray_photograph(), "mono8"))
    wait_for(lambda: features, "features")
    assert len(features[0].x) == 7


def test_parameters_refused_with_a_reason(start_node, ros):
    node = start_node("booster_node", parameters=ALONE)
    wait_for_state(ros, node, "active")
    reasons = refusals(
        ros,
        node,
        max_features=0,
        precision="fp8",
        sift_first_octave=-2,
        model="SIFT+Boost-X",
        detector="orb",
        image_transport="compressed",
        normalization="intrinsics",
        mask="/nowhere.png",
        grid_rows=4,
        autostart=False,
    )
    for reason, expected in zip(
        reasons,
        [
            ("max_features", "1", "100000"),
            ("'precision'", "fp32, fp16, bf16", "'fp8'"),
            ("sift_first_octave", "-1", "0"),
            ("'SIFT+Boost-X'", "SIFT+Boost-F"),
            ("'detector'", "SIFT+Boost-F", "sift", "auto"),
            ("'image_transport'", "unconfigured", "cleanup"),
            ("'normalization'", "'use_camera_info'"),
            ("'mask'", "/nowhere.png"),
            ("'grid_rows'", "'grid_columns'"),
            ("autostart", "at start", "-p autostart:="),
        ],
        strict=True,
    ):
        assert all(part in reason for part in expected), (reason, expected)
    # After all that it works as before.
    features = ros.listen(FeatureArray, "features")
    ros.publish("image", image_message(gray_photograph(), "mono8"))
    wait_for(lambda: features, "features")
    assert features[0].model == "SIFT+Boost-F"


def test_parameters_that_may_change_while_unconfigured(start_node, ros):
    node = start_node("booster_node", parameters=RAW)
    wait_for_state(ros, node, "active")
    assert "unconfigured" in refusals(ros, node, qos_output_reliability="best_effort")[0]
    for transition in ("deactivate", "cleanup"):
        assert ros.transition(node.full_name, transition)
    set_parameters(ros, node, qos_output_reliability="best_effort", qos_output_depth=2)
    for transition in ("configure", "activate"):
        assert ros.transition(node.full_name, transition)
    topic = f"{ros.namespace}/features"
    (publisher,) = wait_for(
        lambda: ros.node.get_publishers_info_by_topic(topic), "the publisher of features"
    )
    assert publisher.qos_profile.reliability.name == "BEST_EFFORT"


def test_default_quality_of_service(start_node, ros):
    start_node("booster_node", parameters={"model": "none"})
    publishers = wait_for(
        lambda: ros.node.get_publishers_info_by_topic(f"{ros.namespace}/features"),
        "the publisher of features",
    )
    assert publishers[0].qos_profile.reliability.name == "RELIABLE"
    for topic in ("image", "camera_info"):
        full = f"{ros.namespace}/{topic}"
        subscriptions = wait_for(
            lambda full=full: ros.node.get_subscriptions_info_by_topic(full),
            f"the subscription to {topic}",
        )
        assert subscriptions[0].qos_profile.reliability.name == "BEST_EFFORT"
        assert subscriptions[0].qos_profile.durability.name == "VOLATILE"
