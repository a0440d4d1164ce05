# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boost and match the features of several cameras, each in the namespace of its name.

    ros2 launch feature_booster_ros cameras.launch.py cameras:=left,right
    ros2 launch feature_booster_ros cameras.launch.py cameras:=left,right one_process:=true

The first one starts booster.launch.py for each camera, whose other arguments can be given too. The
second one starts one booster_node for all, which loads the network once. Either way /left/image_raw
and /left/camera_info become /left/features and /left/matches.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

PACKAGE = "feature_booster_ros"
BOOSTER_LAUNCH = Path(__file__).with_name("booster.launch.py")


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, and start the nodes once their values are known."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "cameras",
                default_value="left,right",
                description="Names of the cameras, separated by commas: namespaces of their topics",
            ),
            DeclareLaunchArgument(
                "image",
                default_value="image_raw",
                description="Topic of a camera's images, in its namespace",
            ),
            DeclareLaunchArgument(
                "model",
                default_value="SIFT+Boost-F",
                description="What boosts the descriptors: a name in config/models.yaml, or none",
            ),
            DeclareLaunchArgument(
                "one_process",
                default_value="false",
                choices=["true", "false"],
                description="Serve all cameras by one booster_node, with one network",
            ),
            OpaqueFunction(function=_nodes),
        ]
    )


def _nodes(context) -> list:
    argument = context.launch_configurations
    names = [name.strip() for name in argument["cameras"].split(",")]
    image, model = argument["image"], argument["model"]
    if argument["one_process"] == "false":
        source = PythonLaunchDescriptionSource(str(BOOSTER_LAUNCH))
        return [
            IncludeLaunchDescription(
                source,
                launch_arguments={"namespace": name, "image": image, "model": model}.items(),
            )
            for name in names
        ]
    booster = Node(
        package=PACKAGE,
        executable="booster_node",
        parameters=[{"cameras": argument["cameras"], "model": model}],
        remappings=[(f"{name}/image", f"{name}/{image}") for name in names],
        output="screen",
        on_exit=Shutdown(),
    )
    matchers = [
        Node(
            package=PACKAGE,
            executable="matcher_node",
            namespace=name,
            remappings=[("image", image)],
            output="screen",
            on_exit=Shutdown(),
        )
        for name in names
    ]
    return [booster, *matchers]
