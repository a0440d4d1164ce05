# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boost and match the features of several cameras, each in the namespace of its name.

    ros2 launch feature_booster_ros cameras.launch.py cameras:=left,right
    ros2 launch feature_booster_ros cameras.launch.py cameras:=left,right one_process:=true

The topics are /left/image_raw and /left/camera_info, /left/features, /left/matches and so on. The
first command starts booster.launch.py for each camera; the second one starts it once, with one
booster_node, which loads the network once. The other arguments of booster.launch.py hold for all.
"""

import posixpath
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource

BOOSTER_LAUNCH = Path(__file__).with_name("booster.launch.py")


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, and include booster.launch.py once their values are known."""
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
                "namespace", default_value="", description="Namespace of all cameras"
            ),
            DeclareLaunchArgument(
                "one_process",
                default_value="false",
                choices=["true", "false"],
                description="Serve all cameras by one booster_node, with one network",
            ),
            OpaqueFunction(function=_include),
        ]
    )


def _include(context) -> list[IncludeLaunchDescription]:
    argument = context.launch_configurations
    # An included launch file has the values of this one's arguments, too.
    if argument["one_process"] == "true":
        return [IncludeLaunchDescription(_booster_launch())]
    return [
        IncludeLaunchDescription(
            _booster_launch(),
            launch_arguments={
                "namespace": posixpath.join(argument["namespace"], name.strip()),
                "cameras": "",
            }.items(),
        )
        for name in argument["cameras"].split(",")
    ]


def _booster_launch() -> PythonLaunchDescriptionSource:
    return PythonLaunchDescriptionSource(str(BOOSTER_LAUNCH))
