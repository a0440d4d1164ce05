# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What Foxglove gets: annotations of images, live and in a bag, and a layout of our topics."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import wait_for
from interface_package import build_interfaces
from rosbags import highlevel
from std_msgs.msg import Header
from test_bag import record
from test_matcher_node import FRAMES, camera_info_message

from feature_booster_ros.cli import main
from feature_booster_ros.msg import MatchArray
from feature_booster_ros.nodes.messages import from_match_array, to_feature_array

ROOT = Path(__file__).parents[2]
MESSAGES = {
    "Color": "float64 r\nfloat64 g\nfloat64 b\nfloat64 a",
    "Point2": "float64 x\nfloat64 y",
    "KeyValuePair": "string key\nstring value",
    "CircleAnnotation": "builtin_interfaces/Time timestamp\nPoint2 position\nfloat64 diameter\n"
    "float64 thickness\nColor fill_color\nColor outline_color\nKeyValuePair[] metadata",
    "PointsAnnotation": "uint8 UNKNOWN=0\nuint8 POINTS=1\nuint8 LINE_LOOP=2\nuint8 LINE_STRIP=3\n"
    "uint8 LINE_LIST=4\nbuiltin_interfaces/Time timestamp\nuint8 type\nPoint2[] points\n"
    "Color outline_color\nColor[] outline_colors\nColor fill_color\nfloat64 thickness\n"
    "KeyValuePair[] metadata",
    "TextAnnotation": "builtin_interfaces/Time timestamp\nPoint2 position\nstring text\n"
    "float64 font_size\nColor text_color\nColor background_color\nKeyValuePair[] metadata",
    "ImageAnnotations": "CircleAnnotation[] circles\nPointsAnnotation[] points\n"
    "TextAnnotation[] texts\nKeyValuePair[] metadata",
}
"""foxglove_msgs 3.2, of which this package fills what earlier and later releases have too."""

LISTENER = """
import json, sys
import rclpy
from foxglove_msgs.msg import ImageAnnotations
rclpy.init()
node = rclpy.create_node("listener", namespace=sys.argv[1])
heard = []
node.create_subscription(ImageAnnotations, "image_annotations", heard.append, 5)
while not heard:
    rclpy.spin_once(node, timeout_sec=1.0)
for part in heard[0].points:
    color = part.outline_color
    print(json.dumps({
        "stamp": part.timestamp.sec, "type": part.type, "thickness": part.thickness,
        "points": [[point.x, point.y] for point in part.points],
        "color": [color.r, color.g, color.b, color.a],
    }))
"""


@pytest.fixture(scope="module")
def foxglove_msgs(tmp_path_factory):
    """The environment of processes with foxglove_msgs."""
    return build_interfaces(tmp_path_factory.mktemp("foxglove_msgs"), "foxglove_msgs", MESSAGES)


def test_annotations_are_the_keypoints_and_matches(foxglove_msgs, start_node, ros, monkeypatch):
    for name, value in foxglove_msgs.items():
        monkeypatch.setenv(name, value)
    start_node("matcher_node", parameters={"match_image_max_lines": 1000})
    listener = subprocess.Popen(
        [sys.executable, "-c", LISTENER, ros.namespace], stdout=subprocess.PIPE, text=True
    )
    try:
        heard = ros.listen(MatchArray, "matches")

        def send(number: int) -> None:
            stamp = number + 1
            message = to_feature_array(
                FRAMES[number % 2], Header(frame_id="camera"), camera_info_message(), "sift", "none"
            )
            message.header.stamp.sec = stamp
            ros.publish("features", message)

        numbers = iter(range(1000))

        def is_heard() -> bool:
            send(next(numbers))
            try:
                return listener.wait(0.5) == 0
            except subprocess.TimeoutExpired:
                return False

        wait_for(is_heard, "annotations")
        parts = [json.loads(line) for line in listener.stdout]
    finally:
        listener.kill()
    keypoints, outliers, inliers = parts
    assert [part["type"] for part in parts] == [1, 4, 4]  # POINTS, LINE_LIST
    assert len({part["stamp"] for part in parts}) == 1
    stamp = keypoints["stamp"]
    wait_for(lambda: any(m.header.stamp.sec == stamp for m in heard), "the matches")
    message = next(m for m in heard if m.header.stamp.sec == stamp)
    _, marks, query, reference = from_match_array(message)
    # From the corner of the first pixel, where our messages count from its center.
    query_keypoints = FRAMES[(stamp - 1) % 2].keypoints
    np.testing.assert_allclose(keypoints["points"], query_keypoints + 0.5)
    for part, chosen in ((outliers, ~marks), (inliers, marks)):
        lines = np.stack([reference[chosen], query[chosen]], axis=1).reshape(-1, 2)
        np.testing.assert_allclose(np.reshape(part["points"], (-1, 2)), lines + 0.5)
    assert marks.sum() > 50
    assert np.argmax(inliers["color"][:3]) == 1 and np.argmax(outliers["color"][:3]) == 0
    assert all(part["thickness"] > 0 and part["color"][3] > 0 for part in parts)


def test_a_bag_has_annotations_and_all_definitions(foxglove_msgs, tmp_path):
    source, output = record(tmp_path / "flight"), tmp_path / "boosted"
    program = "import sys; from feature_booster_ros.cli import main; sys.exit(main())"
    subprocess.run(
        [sys.executable, "-c", program, "bag", source, output, "--no-odometry"],
        env={**os.environ, **foxglove_msgs},
        check=True,
    )
    with highlevel.AnyReader([output]) as reader:  # with the definitions of the file
        annotations = {}
        for connection, _, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            if connection.topic == "/image_annotations":
                (stamp,) = {(p.timestamp.sec, p.timestamp.nanosec) for p in message.points}
                annotations[stamp] = len(message.points[0].points)
            elif connection.topic == "/matches":
                assert message.header.stamp.sec > 0
        assert len(annotations) == 6 and min(annotations.values()) > 50
        for connection in reader.connections:
            assert connection.msgdef.format.name == "MSG" and connection.msgdef.data


@pytest.mark.skipif(
    importlib.util.find_spec("foxglove_msgs") is not None,
    reason="needs an environment without foxglove_msgs",
)
def test_without_foxglove_msgs_there_are_no_annotations(tmp_path, capsys):
    source = record(tmp_path / "flight")
    assert main(["bag", str(source), str(tmp_path / "out"), "--no-odometry"]) == 0
    assert "image_annotations" not in capsys.readouterr().out


def test_the_layout_shows_our_topics():
    layout = json.loads((ROOT / "config" / "foxglove_layout.json").read_text())
    panels = layout["configById"]

    def places(node: dict | str) -> list[str]:
        return [node] if isinstance(node, str) else places(node["first"]) + places(node["second"])

    assert sorted(places(layout["layout"])) == sorted(panels)
    shown = {
        *(panel["imageMode"]["imageTopic"] for panel in panels.values() if "imageMode" in panel),
        *panels["Image!image"]["imageMode"]["annotations"],
        *panels["3D!map"]["topics"],
        panels["Plot!odometry"]["paths"][0]["value"].partition(".")[0],
    }
    page = (ROOT / "docs" / "nodes.md").read_text()
    assert shown == {
        "/image", "/match_image", "/image_annotations", "/landmarks", "/path", "/odometry"
    }  # fmt: skip
    assert all(f"`{topic[1:]}`" in page for topic in shown)
