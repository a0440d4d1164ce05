# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boost the features of a camera, match them, follow the camera, and show it all in RViz.

    ros2 launch feature_booster_ros booster.launch.py image:=/camera/image_raw
    ros2 launch feature_booster_ros booster.launch.py source:=/path/to/folder_or_video rviz:=true
    ros2 launch feature_booster_ros booster.launch.py image:=/camera/image_raw odometry:=true

`ros2 launch feature_booster_ros booster.launch.py --show-args` describes the arguments. The nodes
are lifecycle nodes that configure and activate themselves, hence no LifecycleNode here.
"""

import posixpath
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch_ros.actions import Node

PACKAGE = "feature_booster_ros"
CONFIG = Path(get_package_share_directory(PACKAGE)) / "config"
RVIZ_CONFIG = str(CONFIG / "booster.rviz")
BOOLEANS = ["true", "false"]
LOG_LEVELS = ["debug", "info", "warn", "error", "fatal"]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, and start the nodes once their values are known."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "model",
                default_value="",
                description="What boosts the descriptors: a name in config/models.yaml such as "
                "SIFT+Boost-F, or none for the raw ones. Empty: as in the parameters file",
            ),
            DeclareLaunchArgument(
                "device",
                default_value="",
                description="Where the network runs: auto, cpu, cuda or cuda:N. Empty: as in the "
                "parameters file",
            ),
            DeclareLaunchArgument(
                "max_features",
                default_value="",
                description="Largest number of features of an image. Empty: as in the parameters "
                "file",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(CONFIG / "booster.yaml"),
                description="Parameters of all nodes; the other arguments here override it",
            ),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of all nodes and their topics"
            ),
            DeclareLaunchArgument(
                "image", default_value="image", description="Topic of the camera's images"
            ),
            DeclareLaunchArgument(
                "camera_info",
                default_value="",
                description="Topic of its intrinsics. Empty: camera_info beside the images",
            ),
            DeclareLaunchArgument(
                "image_transport",
                default_value="raw",
                choices=["raw", "compressed"],
                description="Whether to take IMAGE or IMAGE/compressed",
            ),
            DeclareLaunchArgument(
                "matcher",
                default_value="true",
                choices=BOOLEANS,
                description="Match the features, with verification and a picture (match_image)",
            ),
            DeclareLaunchArgument(
                "odometry",
                default_value="false",
                choices=BOOLEANS,
                description="Follow the camera through its features: odometry, path, landmarks, TF",
            ),
            DeclareLaunchArgument(
                "camera_height",
                default_value="",
                description="Metres from the camera down to flat ground, for the odometry's scale. "
                "Empty: as in the parameters file",
            ),
            DeclareLaunchArgument(
                "source",
                default_value="",
                description="Play this as the camera: a folder of images, a video, a KITTI, TUM or "
                "EuRoC sequence, a rosbag2, webcam:0 or rendered. Empty: a driver publishes",
            ),
            DeclareLaunchArgument(
                "rate",
                default_value="",
                description="Frame rate of the player in Hz; 0 as recorded. Empty: as in the "
                "parameters file",
            ),
            DeclareLaunchArgument(
                "loop",
                default_value="",
                choices=["", *BOOLEANS],
                description="Start the source anew at its end. Empty: as in the parameters file",
            ),
            DeclareLaunchArgument(
                "rviz", default_value="false", choices=BOOLEANS, description="Open RViz"
            ),
            DeclareLaunchArgument(
                "rviz_config",
                default_value=RVIZ_CONFIG,
                description="What RViz shows; its topics are relative to the namespace",
            ),
            DeclareLaunchArgument(
                "log_level",
                default_value="info",
                choices=LOG_LEVELS,
                description="Lowest severity that the nodes log",
            ),
            OpaqueFunction(function=_nodes),
        ]
    )


def _nodes(context) -> list:
    """Return the nodes that the arguments ask for."""
    argument = context.launch_configurations
    image = argument["image"]
    camera_info = argument["camera_info"] or posixpath.join(posixpath.dirname(image), "camera_info")
    # Remapping a topic leaves the topics below it where they are.
    remappings = [
        ("image", image),
        ("image/compressed", f"{image}/compressed"),
        ("camera_info", camera_info),
    ]
    params_file = Path(argument["params_file"]).expanduser()
    if not params_file.is_file():
        raise FileNotFoundError(f"params_file: there is no file {params_file}")

    def node(executable: str, **parameters) -> Node:
        # An empty argument leaves the value to the parameters file.
        given = {name: value for name, value in parameters.items() if value != ""}
        return Node(
            package=PACKAGE,
            executable=executable,
            namespace=argument["namespace"],
            parameters=[str(params_file), given] if given else [str(params_file)],
            remappings=remappings,
            ros_arguments=["--log-level", argument["log_level"]],
            output="screen",
            emulate_tty=True,
        )

    transport = argument["image_transport"]
    nodes = [
        node(
            "booster_node",
            model=argument["model"],
            device=argument["device"],
            max_features=_number(argument, "max_features", int),
            image_transport=transport,
        )
    ]
    if argument["matcher"] == "true":
        nodes.append(node("matcher_node", device=argument["device"], image_transport=transport))
    if argument["odometry"] == "true":
        height = _number(argument, "camera_height", float)
        nodes.append(node("odometry_node", camera_height=height))
    if argument["source"]:
        nodes.append(
            node(
                "image_player_node",
                source=argument["source"],
                rate=_number(argument, "rate", float),
                loop=argument["loop"] and argument["loop"] == "true",
                image_transport=transport,
                wait_for_subscribers=_image_subscriptions(argument),
            )
        )
    stop_when_failed = [
        RegisterEventHandler(OnProcessExit(target_action=each, on_exit=_stop_when_failed))
        for each in nodes
    ]
    if argument["rviz"] == "true":
        nodes.append(
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=argument["namespace"],
                arguments=["-d", argument["rviz_config"]],
                remappings=remappings,
                output="screen",
            )
        )
    return stop_when_failed + nodes


def _image_subscriptions(argument) -> int:
    """Return how many subscriptions of the images the player waits for.

    A node that loads PyTorch takes seconds to subscribe, and would miss the start. RViz shows the
    images too, and has the matcher take them to draw on; what another configuration of RViz shows,
    nobody knows here.
    """
    if argument["rviz"] != "true" or argument["rviz_config"] != RVIZ_CONFIG:
        return 1
    return 3 if argument["matcher"] == "true" else 2


def _number(argument, name: str, kind: type):
    """Return the argument as int or float, and "" where it is empty."""
    try:
        return argument[name] and kind(argument[name])
    except ValueError:
        noun = "an integer" if kind is int else "a number"
        raise ValueError(f"{name} must be {noun}, not '{argument[name]}'") from None


def _stop_when_failed(event, context):
    """Stop the other nodes when one could not start: its error should be the last line read."""
    if event.returncode and not context.is_shutdown:
        return [EmitEvent(event=Shutdown(reason=f"{event.process_name} failed"))]
    return None
