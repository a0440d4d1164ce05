# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""feature-booster bag: what it adds is what the nodes publish, and an interruption costs little."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import TIMEOUT, newest_values
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import deserialize_message, serialize_message
from records import BagWriter
from rosbags import highlevel
from sensor_msgs.msg import CameraInfo, Image

from feature_booster_ros.cli import main
from feature_booster_ros.msg import FeatureArray, MatchArray
from feature_booster_ros.nodes import bag
from feature_booster_ros.nodes.messages import from_feature_array
from feature_booster_ros.rendering.sequence import RenderedSequence

FRAMES = 7
SECOND = 1_000_000_000
PARAMETERS = """
/booster_node:
  ros__parameters: {model: "SIFT+Boost-F", max_features: 300, device: cpu, descriptor_type: float32}
/matcher_node:
  ros__parameters: {ratio: 0.9, device: cpu}
"""


def record(path: Path, storage: str = "mcap") -> Path:
    """A rendered flight with camera_info after each image, and a topic that nobody knows."""
    flight = RenderedSequence(3, FRAMES, 320, 240, rate=10.0)
    matrix = flight.camera.matrix
    with BagWriter(path, storage) as writer:
        for index in range(FRAMES):
            stamp_ns = 100 * SECOND + index * SECOND // 10
            writer.image("/front/image_raw", stamp_ns, flight.image(index))
            writer.camera_info(
                "/front/camera_info",
                stamp_ns,
                height=240,
                width=320,
                k=matrix.ravel(),
                d=np.zeros(5),
            )
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return record(tmp_path_factory.mktemp("bags") / "flight")


@pytest.fixture
def parameters(tmp_path):
    path = tmp_path / "parameters.yaml"
    path.write_text(PARAMETERS)
    return path


def messages_of(path: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Times of recording and serialized messages by topic."""
    found: dict[str, list[tuple[int, bytes]]] = {}
    with highlevel.AnyReader([path]) as reader:
        for connection, time_ns, raw in reader.messages():
            found.setdefault(connection.topic, []).append((time_ns, bytes(raw)))
    return found


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_topics_are_added_to_what_was_recorded(tmp_path, parameters, storage, capsys):
    source, output = record(tmp_path / "flight", storage), tmp_path / "boosted"
    command = ["bag", str(source), str(output), "--params-file", str(parameters)]
    assert main(command) == 0
    assert f"{FRAMES} on /features, {FRAMES - 1} on /matches" in capsys.readouterr().out
    before, after = messages_of(source), messages_of(output)
    for topic, messages in before.items():
        assert after[topic] == messages
    assert set(after) - set(before) == {"/features", "/matches", "/odometry"}
    features = [deserialize_message(raw, FeatureArray) for _, raw in after["/features"]]
    assert [len(message.x) for message in features] == [300] * FRAMES
    images = [deserialize_message(raw, Image) for _, raw in before["/front/image_raw"]]
    assert [m.header.stamp for m in features] == [m.header.stamp for m in images]
    # As they were recorded, so that a player keeps their distance.
    assert [t for t, _ in after["/features"]] == [t for t, _ in before["/front/image_raw"]]
    assert {path.suffix for path in output.iterdir()} == {
        ".yaml",
        ".db3" if storage == "sqlite3" else ".mcap",
    }
    assert not list(tmp_path.glob("*.partial"))
    with highlevel.AnyReader([output]) as reader:
        names = {name: entry.msgtype for name, entry in reader.topics.items()}
    assert names["/matches"] == "feature_booster_ros/msg/MatchArray"
    assert names["/odometry"] == "nav_msgs/msg/Odometry"


def test_matches_are_those_of_the_nodes(recorded, parameters, tmp_path, start_node, ros):
    assert main(["bag", str(recorded), str(tmp_path / "out"), "--params-file", str(parameters),
                 "--no-odometry"]) == 0  # fmt: skip
    stored = messages_of(tmp_path / "out")
    assert "/odometry" not in stored
    file = ("--ros-args", "--params-file", str(parameters.with_name("live.yaml")))
    Path(file[2]).write_text(PARAMETERS.replace("/booster", "/**/booster").replace(
        "/matcher", "/**/matcher"))  # fmt: skip
    names = ("booster_node", "matcher_node")
    nodes = [
        start_node(name, *file, parameters={"lazy": False, "diagnostics_period": 0.1})
        for name in names
    ]
    diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
    features, matches = ros.listen(FeatureArray, "features"), ros.listen(MatchArray, "matches")
    ros.publisher(CameraInfo, "camera_info")
    ros.publisher(Image, "image")
    # The nodes and the listeners must know the publishers before the first frame.
    for node in nodes:
        wait_until(lambda: ros.connection(node.full_name).success)  # noqa: B023
    pairs = zip(stored["/front/image_raw"], stored["/front/camera_info"], strict=True)
    for index, ((_, image), (_, camera_info)) in enumerate(pairs):
        ros.publish("camera_info", deserialize_message(camera_info, CameraInfo))
        ros.publish("image", deserialize_message(image, Image))
        # The first frame has no matches, but one that waits would be dropped for the second.
        for node in nodes:
            name = node.full_name
            wait_until(
                lambda: int(newest_values(diagnostics, name).get("processed", 0)) > index  # noqa: B023
            )
        wait_until(lambda: len(features) > index and len(matches) >= index)  # noqa: B023
    for topic, messages in (("/features", features), ("/matches", matches)):
        times = [time_ns for time_ns, _ in stored[topic]]
        live = list(zip(times, map(serialize_message, messages), strict=True))
        assert_same(live, stored[topic], type(messages[0]))


def assert_same(one: list[tuple[int, bytes]], other: list[tuple[int, bytes]], kind: type) -> None:
    """Messages are equal, but for rounding of the network, which the threads of a process vary."""
    assert [time_ns for time_ns, _ in one] == [time_ns for time_ns, _ in other]
    for (_, a), (_, b) in zip(one, other, strict=True):
        a, b = deserialize_message(a, kind), deserialize_message(b, kind)
        for name, field_type in kind.get_fields_and_field_types().items():
            x, y = getattr(a, name), getattr(b, name)
            if name == "descriptors":
                dtype = np.uint8 if a.descriptor_type == FeatureArray.BINARY else np.float32
                x, y = (np.frombuffer(each, dtype) for each in (x, y))
            if field_type.startswith("sequence"):
                np.testing.assert_allclose(x, y, atol=1e-4, err_msg=name)
            else:
                assert x == y, name


def wait_until(condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "the nodes do not answer"
        time.sleep(0.02)


def test_work_that_was_killed_goes_on(recorded, parameters, tmp_path, monkeypatch):
    # Unlike SIFT's, the order of ORB's features is the same in every process.
    parameters.write_text(
        PARAMETERS.replace("SIFT+Boost-F", "none").replace("cpu,", "cpu, detector: orb,")
    )
    output, partial = tmp_path / "out", tmp_path / "out.partial"
    script = (
        "import sys; from pathlib import Path; from feature_booster_ros.nodes import bag\n"
        "bag.PART_FRAMES = 2\n"
        "given = [Path(word) for word in sys.argv[1:]]\n"
        "bag.process_bag(given[0], given[1], bag.read_settings(given[2], False))"
    )
    words = map(str, (recorded, output, parameters))
    process = subprocess.Popen([sys.executable, "-c", script, *words])
    wait_until(lambda: list(partial.glob("frames_*")) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    kept = list(partial.glob("frames_*"))
    assert kept

    monkeypatch.setattr(bag, "PART_FRAMES", 2)
    other = bag.read_settings(None, False)
    with pytest.raises(ValueError, match="other parameters"):
        bag.process_bag(recorded, output, other)
    settings = bag.read_settings(parameters, False)
    extracted = []
    extract = bag.FeaturePipeline.extract
    monkeypatch.setattr(
        bag.FeaturePipeline,
        "extract",
        lambda self, image: extracted.append(1) or extract(self, image),
    )
    bag.process_bag(recorded, output, settings)
    assert len(extracted) == FRAMES - 2 * len(kept)
    bag.process_bag(recorded, tmp_path / "whole", settings)
    found, expected = messages_of(output), messages_of(tmp_path / "whole")
    assert_same(found["/features"], expected["/features"], FeatureArray)
    assert_same(found["/matches"], expected["/matches"], MatchArray)
    assert found["/front/image_raw"] == expected["/front/image_raw"]


def test_what_cannot_be_processed_is_named(recorded, tmp_path, capsys):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("/booster_node:\n  ros__parameters: {max_feature: 3}\n")
    (tmp_path / "there").mkdir()
    files = {
        "hello": "has no section of booster_node, matcher_node, odometry_node",
        "[": "is no YAML",
        "/booster_node: 3": "/booster_node has no parameters",
        "/booster_node: {max_features: 3}": "/booster_node has no parameters",
        "/a/matcher_node: {ros__parameters: {}}\n/b/matcher_node: {ros__parameters: {}}": "two",
    }
    for number, text in enumerate(files):
        (tmp_path / f"{number}.yaml").write_text(text)
    for arguments, said in (
        ([tmp_path / "missing", tmp_path / "out"], "missing"),
        ([recorded, tmp_path / "there"], "there exists"),
        ([recorded, tmp_path / "out", "--params-file", wrong], "max_feature"),
        ([recorded, tmp_path / "out", "--topic", "/rear"], "/rear"),
        *(
            ([recorded, tmp_path / "out", "--params-file", tmp_path / f"{number}.yaml"], said)
            for number, said in enumerate(files.values())
        ),
    ):
        assert main(["bag", *map(str, arguments)]) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_bag_is_not_processed_twice(tmp_path, recorded, parameters, capsys):
    arguments = ["--params-file", str(parameters), "--no-odometry"]
    assert main(["bag", str(recorded), str(tmp_path / "once"), *arguments]) == 0
    assert main(["bag", str(tmp_path / "once"), str(tmp_path / "twice"), *arguments]) == 1
    assert "/features already" in capsys.readouterr().err


def test_features_have_the_depth_that_was_recorded(tmp_path, parameters):
    flight = RenderedSequence(3, 4, 320, 240, rate=10.0, depth=True, baseline=0.1)
    with BagWriter(tmp_path / "flight", "mcap") as writer:
        for index, frame in enumerate(flight):
            stamp_ns = 100 * SECOND + index * SECOND // 10
            writer.image("/left/image_raw", stamp_ns, frame.image)
            right_calibration = frame.right.camera.calibration
            for name, calibration in (("left", frame.calibration), ("right", right_calibration)):
                fields = {
                    "width": 320, "height": 240, "d": np.zeros(5),
                    "k": np.array(calibration.k), "p": np.array(calibration.p),
                }  # fmt: skip
                writer.camera_info(f"/{name}/camera_info", stamp_ns, **fields)
            if index != 1:
                writer.image("/depth", stamp_ns + 10_000_000, frame.depth, "32FC1")
            if index != 2:
                writer.image("/right/image_raw", stamp_ns, frame.right.image)
    command = ["--topic", "/left/image_raw", "--params-file", str(parameters), "--no-odometry"]
    for option, topic, missing in (
        ("--depth-topic", "/depth", 1),
        ("--right-topic", "/right/image_raw", 2),
    ):
        output = tmp_path / option
        assert main(["bag", str(tmp_path / "flight"), str(output), *command, option, topic]) == 0
        for index, (_, raw) in enumerate(messages_of(output)["/features"]):
            features = from_feature_array(deserialize_message(raw, FeatureArray))
            if index == missing:
                assert features.depths is None
                continue
            is_known = np.isfinite(features.depths)
            assert is_known.mean() > 0.3
            columns, rows = np.rint(features.keypoints[is_known]).astype(int).T
            truth = flight.depth(index)[rows, columns]
            # A disparity is of 2 to 12 pixels here.
            assert np.median(np.abs(features.depths[is_known] - truth) / truth) < 0.08
