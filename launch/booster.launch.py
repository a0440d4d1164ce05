# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boost the features of a camera, match them, follow the camera, and show it all in RViz.

    ros2 launch feature_booster_ros booster.launch.py image:=/camera/image_raw
    ros2 launch feature_booster_ros booster.launch.py source:=/path/to/folder_or_video rviz:=true
    ros2 launch feature_booster_ros booster.launch.py image:=/camera/image_raw odometry:=true
    ros2 launch feature_booster_ros booster.launch.py image:=/rgb/image depth:=/depth/image

`ros2 launch feature_booster_ros booster.launch.py --show-args` describes the arguments. The nodes
are lifecycle nodes that configure and activate themselves, hence no LifecycleNode here; with
autostart:=false a lifecycle manager does.
"""

import posixpath
import re
import signal
import tempfile
from functools import partial
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events import Shutdown
from launch_ros.actions import Node

from feature_booster_ros.nodes import fastdds

PACKAGE = "feature_booster_ros"
CONFIG = Path(get_package_share_directory(PACKAGE)) / "config"
PRESETS = CONFIG / "presets"
RESPAWN_DELAY = 1.0  # seconds
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
                "SIFT+Boost-F, or none for the raw ones. Empty: as in the parameters",
            ),
            DeclareLaunchArgument(
                "device",
                default_value="",
                description="Where the network runs: auto, cpu, cuda or cuda:N. Empty: as in the "
                "parameters",
            ),
            DeclareLaunchArgument(
                "max_features",
                default_value="",
                description="Largest number of features of an image. Empty: as in the parameters",
            ),
            DeclareLaunchArgument(
                "preset",
                default_value="odometry",
                choices=sorted(path.stem for path in PRESETS.glob("*.yaml")),
                description="Parameters for a purpose: odometry (from frame to frame on a CPU) or "
                "mapping (wide baselines, slower)",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value="",
                description="Parameters of the nodes, such as a copy of config/booster.yaml; it "
                "overrides the preset, and the other arguments here override it",
            ),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of all nodes and their topics"
            ),
            DeclareLaunchArgument(
                "cameras",
                default_value="",
                description="Names of several cameras, separated by commas, that one booster_node "
                "serves. Their topics and other nodes are in namespaces of these names. Empty: one "
                "camera",
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
                "depth",
                default_value="",
                description="Topic of depth images that are aligned to the images. Empty: as in "
                "the parameters (depth_input)",
            ),
            DeclareLaunchArgument(
                "right_image",
                default_value="",
                description="Topic of the images of a stereo pair's right camera, with its "
                "camera_info beside it. Empty: as in the parameters (depth_input)",
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
                description="Meters from the camera down to flat ground, for the odometry's scale. "
                "Empty: as in the parameters",
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
                "parameters",
            ),
            DeclareLaunchArgument(
                "loop",
                default_value="",
                choices=["", *BOOLEANS],
                description="Start the source again at its end. Empty: as in the parameters",
            ),
            DeclareLaunchArgument(
                "rviz", default_value="false", choices=BOOLEANS, description="Open RViz"
            ),
            DeclareLaunchArgument(
                "rviz_config",
                default_value="",
                description="What RViz shows; its topics are relative to the namespace. Empty: a "
                "copy of config/matches.rviz, with odometry of config/odometry.rviz",
            ),
            DeclareLaunchArgument(
                "fastdds_profile",
                default_value=str(CONFIG / "fastdds.xml"),
                description="Fast DDS profile of the nodes, so that large images arrive; start the "
                "camera's driver with it too (docs/reliability.md). It is not set where the "
                f"environment has {' or '.join(fastdds.VARIABLES)}. Empty: none",
            ),
            DeclareLaunchArgument(
                "autostart",
                default_value="true",
                choices=BOOLEANS,
                description="Whether the nodes but the player configure and activate themselves; "
                "false leaves that to a lifecycle manager",
            ),
            DeclareLaunchArgument(
                "respawn",
                default_value="false",
                choices=BOOLEANS,
                description="Start a node but the player again when a signal has killed it; false "
                "ends the launch then",
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
    """Return the nodes that the arguments ask for, and what ends the launch when one fails.

    Raises:
        ValueError: the value of an argument is not allowed.
        FileNotFoundError: there is no such file, or RViz is not installed.
    """
    argument = context.launch_configurations
    cameras = _cameras(argument)
    _check_files(argument)
    params_files = _params_files(argument)

    respawn = argument["respawn"] == "true"

    def namespace(camera: str) -> str:
        return posixpath.join(argument["namespace"], camera).rstrip("/")

    def node(executable: str, camera: str = "", **parameters) -> Node:
        # An empty argument leaves the value to the preset and the parameters file.
        given = {name: value for name, value in parameters.items() if value != ""}
        # Relative to the node's namespace, which for all but booster_node is the camera's.
        names = cameras if executable == "booster_node" else [""]
        return Node(
            package=PACKAGE,
            executable=executable,
            namespace=namespace(camera),
            parameters=[*params_files, given] if given else params_files,
            remappings=[pair for name in names for pair in _remappings(argument, name)],
            ros_arguments=[
                "--log-level",
                argument["log_level"],
                # Of config/security/policy.xml; without security nothing but a name.
                "--enclave",
                f"/{PACKAGE}/{executable}",
            ],
            output="screen",
            emulate_tty=True,
            # A player that is at its end shall not begin again.
            respawn=respawn and executable != "image_player_node",
            respawn_delay=RESPAWN_DELAY,
        )

    # Given only where it is not the default: the parameters file may say false, too.
    manual = {"autostart": False} if argument["autostart"] == "false" else {}
    transport = argument["image_transport"]
    nodes = {
        "booster_node": node(
            "booster_node",
            cameras=argument["cameras"],
            model=argument["model"],
            device=argument["device"],
            max_features=_number(argument, "max_features", int),
            image_transport=transport,
            depth_input=_depth_input(argument),
            **manual,
        )
    }
    for camera in cameras:
        if argument["matcher"] == "true":
            nodes[posixpath.join(camera, "matcher_node")] = node(
                "matcher_node",
                camera,
                device=argument["device"],
                image_transport=transport,
                **manual,
            )
        if argument["odometry"] == "true":
            nodes[posixpath.join(camera, "odometry_node")] = node(
                "odometry_node",
                camera,
                camera_height=_number(argument, "camera_height", float),
                **manual,
            )
    if argument["source"]:
        nodes["image_player_node"] = node(
            "image_player_node",
            source=argument["source"],
            rate=_number(argument, "rate", float),
            loop=argument["loop"] and argument["loop"] == "true",
            image_transport=transport,
            # Loading PyTorch takes seconds, in which the start would be played to nobody.
            wait_for_nodes=",".join(nodes),
        )
    profile = {}
    if argument["fastdds_profile"]:
        profile = fastdds.profile_environment(Path(argument["fastdds_profile"]))
    actions = [
        *(SetEnvironmentVariable(name, value) for name, value in profile.items()),
        *_stop_when_one_fails(nodes, respawn),
        *nodes.values(),
    ]
    if argument["rviz"] == "true":
        actions += [
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=namespace(camera),
                arguments=["-d", _rviz_config(argument)],
                remappings=_remappings(argument),
                output="screen",
            )
            for camera in cameras
        ]
    return actions


def _cameras(argument) -> list[str]:
    """Return the names of the cameras; an empty one for the only camera."""
    if not argument["cameras"]:
        return [""]
    if argument["source"]:
        raise ValueError("source plays one camera, but cameras names several: leave out one")
    topics = ("image", "camera_info", "depth", "right_image")
    if any(argument[topic].startswith("/") for topic in topics):
        raise ValueError(f"{', '.join(topics)} are relative to each camera's name: no / first")
    return [name.strip() for name in argument["cameras"].split(",")]


def _depth_input(argument) -> str:
    """Return what measures depth; empty where the parameters say it."""
    if argument["depth"] and argument["right_image"]:
        raise ValueError("depth and right_image both measure depth: leave out one")
    return "aligned" if argument["depth"] else "stereo" if argument["right_image"] else ""


def _remappings(argument, camera: str = "") -> list[tuple[str, str]]:
    """Return former and new names of the camera's topics, all with the camera's name."""
    image = argument["image"]
    camera_info = argument["camera_info"] or posixpath.join(posixpath.dirname(image), "camera_info")
    # Remapping a topic leaves the topics below it where they are.
    topics = {"image": image, "image/compressed": f"{image}/compressed", "camera_info": camera_info}
    if depth := argument["depth"]:
        topics |= {"depth": depth, "depth/compressedDepth": f"{depth}/compressedDepth"}
    if right := argument["right_image"]:
        topics |= {
            "right/image": right,
            "right/image/compressed": f"{right}/compressed",
            "right/camera_info": posixpath.join(posixpath.dirname(right), "camera_info"),
        }
    return [
        (posixpath.join(camera, old), posixpath.join(camera, new)) for old, new in topics.items()
    ]


def _params_files(argument) -> list[str]:
    """Return the preset and the parameters file, if there is one; it overrides the preset."""
    paths = [PRESETS / f"{argument['preset']}.yaml"]
    if argument["params_file"]:
        paths.append(Path(argument["params_file"]).expanduser())
    if argument["namespace"] or argument["cameras"]:
        return [str(_in_any_namespace(path)) for path in paths]
    return [str(path) for path in paths]


def _in_any_namespace(path: Path) -> Path:
    """Return a copy of a parameters file that holds for its nodes in any namespace."""
    # As text: another YAML parser would read some numbers, such as 1e-3, as strings.
    text = re.sub(r"^/?(\w+_node):", r"/**/\1:", path.read_text("utf-8"), flags=re.MULTILINE)
    copy = Path(tempfile.mkdtemp(prefix=f"{PACKAGE}_")) / path.name
    copy.write_text(text, "utf-8")
    return copy


def _rviz_config(argument) -> str:
    """Return the user's configuration of RViz, or a copy of ours.

    On closing RViz saves to the file that it has been given, which must not be the installed one.
    """
    if argument["rviz_config"]:
        return str(Path(argument["rviz_config"]).expanduser())
    name = "odometry.rviz" if argument["odometry"] == "true" else "matches.rviz"
    text = (CONFIG / name).read_text("utf-8")
    if argument["image_transport"] == "compressed":
        text = text.replace("Value: image\n", "Value: image/compressed\n")
    copy = Path(tempfile.mkdtemp(prefix=f"{PACKAGE}_")) / name
    copy.write_text(text, "utf-8")
    return str(copy)


def _check_files(argument) -> None:
    """Refuse what would otherwise fail after the first nodes have started."""
    for name in ("params_file", "rviz_config", "fastdds_profile"):
        path = Path(argument[name]).expanduser()
        if argument[name] and not path.is_file():
            raise FileNotFoundError(f"{name}: there is no file {path}")
    if argument["rviz"] == "true":
        try:
            get_package_prefix("rviz2")
        except PackageNotFoundError:
            raise FileNotFoundError(
                "rviz:=true needs rviz2, which is not installed: install it (apt install "
                "ros-$ROS_DISTRO-rviz2), or start without rviz:=true"
            ) from None


def _number(argument, name: str, kind: type):
    """Return the argument as int or float, and "" where it is empty."""
    try:
        return argument[name] and kind(argument[name])
    except ValueError:
        noun = "an integer" if kind is int else "a number"
        raise ValueError(f"{name} must be {noun}, not '{argument[name]}'") from None


def _stop_when_one_fails(nodes: dict[str, Node], respawn: bool) -> list[RegisterEventHandler]:
    """Return handlers that stop all nodes when one fails, and then fail with its reason.

    With `respawn` a node that a signal killed (segmentation fault, out of memory) has not failed.

    The launch must not go on without the node, must say why as its last words, and must end with a
    status that is not 0, which launch has only for an exception.
    """
    errors: dict[str, str] = {}
    running = set(nodes)
    failed: list[str] = []

    def keep_last_error(name: str, event) -> None:
        for line in event.text.decode(errors="replace").splitlines():
            if "[ERROR]" in line or "[FATAL]" in line:
                errors[name] = re.sub(r"\x1b\[[0-9;]*m", "", line).partition("]: ")[2]
            elif line.startswith("cannot start"):  # printed before there is a logger
                errors[name] = line

    def on_exit(name: str, event, context):
        killed = event.returncode < 0
        if killed and respawn and name != "image_player_node" and not context.is_shutdown:
            return None
        running.discard(name)
        if event.returncode and not context.is_shutdown:
            failed.append(name)
            if killed:
                errors[name] = f"{signal.Signals(-event.returncode).name} has ended it"
            return [EmitEvent(event=Shutdown(reason=f"{name} failed"))]
        if failed and not running:
            raise RuntimeError(_reason(failed[0]))
        return None

    def _reason(name: str) -> str:
        return f"{name} failed: {errors.get(name, 'its output above says why')}"

    handlers = []
    for name, node in nodes.items():
        handlers.append(
            OnProcessIO(
                target_action=node,
                on_stdout=partial(keep_last_error, name),
                on_stderr=partial(keep_last_error, name),
            )
        )
        handlers.append(OnProcessExit(target_action=node, on_exit=partial(on_exit, name)))
    return [RegisterEventHandler(handler) for handler in handlers]
