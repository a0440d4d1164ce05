# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: real runs of it through real nodes over DDS, and the parts it is made of."""

import argparse
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from feature_booster_ros.evaluation.frame_pairs import (
    FramePair,
    common_pairs,
    compare_matches,
    contact_sheet,
    pair_statistics,
)
from feature_booster_ros.live import demo
from feature_booster_ros.live.demo_odometry import why_no_odometry
from feature_booster_ros.live.node_process import (
    NodeError,
    NodeGroup,
    NodeProcess,
    find_executable,
)
from feature_booster_ros.live.pipeline_recorder import PipelineRecord
from feature_booster_ros.matching.drawing import INLIER_COLOR, OUTLIER_COLOR
from feature_booster_ros.rendering.sequence import RenderedSequence
from feature_booster_ros.sources import open_source

PATIENCE = 400  # seconds for a run: it imports torch in five processes, maybe on busy cores


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(find_executable("demo")), "--output", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def nodes_of(folder: Path) -> list[str]:
    """Command lines of the nodes that a demo with this output folder has started and that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "--params-file" in line and str(folder) in line:
            found.append(line)
    return found


def wait_for_nodes(folder: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(nodes_of(folder)) < count:
        assert time.monotonic() < deadline, "the demo's nodes did not start"
        time.sleep(0.2)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rendered_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    source = "rendered:width=320,height=240,rate=10,depth=true"
    return folder, run(folder, "--source", source, "--frames", "9", "--max-features", "400")


def test_run_succeeds_and_leaves_no_process(rendered_run):
    folder, result = rendered_run
    assert result.returncode == 0, result.stdout + result.stderr
    assert "9/9" in result.stderr  # the progress bar
    assert not nodes_of(folder)


def test_table_has_what_ground_truth_says(rendered_run):
    folder, result = rendered_run
    rows = read_csv(folder / "matching.csv")
    assert [row["descriptors"] for row in rows] == ["raw", "SIFT+Boost-F"]
    for row in rows:
        assert row["descriptors"] in result.stdout and row["confirmed"] in result.stdout
        assert 300 <= float(row["features"]) <= 400
        assert float(row["features"]) >= float(row["matches"]) >= float(row["inliers"]) > 100
        assert 0.7 * float(row["matches"]) < float(row["confirmed"]) <= float(row["matches"])
    for row in read_csv(folder / "work.csv"):
        assert int(row["received"]) == 9
        assert int(row["processed"]) + int(row["dropped"]) == 9
        assert float(row["extract"]) > 0 and float(row["match"]) > 0
    assert float(read_csv(folder / "work.csv")[1]["boost"]) > 0


def test_trajectories_are_in_meters_beside_the_truth(rendered_run):
    folder, result = rendered_run
    rows = read_csv(folder / "odometry.csv")
    assert [row["descriptors"] for row in rows] == ["raw", "SIFT+Boost-F"]
    for row in rows:
        assert row["scale"] in result.stdout
        assert float(row["tracked"].removesuffix(" %")) > 50
        assert 0.95 < float(row["scale"]) < 1.05
        assert float(row["error"].removesuffix(" cm")) < 5
    assert cv2.imread(str(folder / "trajectory.png")) is not None


def test_both_are_judged_on_the_same_pairs(rendered_run):
    folder, _ = rendered_run
    rows = read_csv(folder / "pairs.csv")
    raw, boosted = (
        [(r["query"], r["reference"]) for r in rows if r["descriptors"] == name]
        for name in ("raw", "SIFT+Boost-F")
    )
    assert raw == boosted and len(raw) >= 4


def test_pictures_show_both_with_right_and_wrong_matches(rendered_run):
    folder, _ = rendered_run
    for name in ("hardest", "middling", "easiest"):
        picture = cv2.imread(str(folder / f"matches_{name}.png"))
        assert picture.shape[0] > 2 * 240 and picture.shape[1] >= 2 * 320
        for half in (picture[:240], picture[-240:]):
            assert (half == INLIER_COLOR).all(axis=2).sum() > 200  # of the dots at lines' ends
    hardest = cv2.imread(str(folder / "matches_hardest.png"))
    assert (hardest == OUTLIER_COLOR).all(axis=2).any()
    assert cv2.imread(str(folder / "sequence.png")).std() > 20
    assert cv2.imread(str(folder / "pairs.png")).shape[0] > 400


def test_folder_without_ground_truth(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    sequence = RenderedSequence(frames=4, rate=10, width=320, height=240)
    for index in range(4):
        cv2.imwrite(str(images / f"{index:03d}.png"), sequence.image(index))
    (images / "004.png").write_bytes(b"not a picture")
    result = run(tmp_path / "out", "--source", str(images), "--models", "none",
                 "--max-features", "300")  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "confirmed" not in result.stdout
    assert "not played: 004.png skipped: " in result.stdout
    assert int(float(read_csv(tmp_path / "out" / "matching.csv")[0]["inliers"])) > 50
    assert (tmp_path / "out" / "matches_hardest.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "/no/such/place"], "'/no/such/place' does not exist"),
        (["--source", "rendered:frames=-3"], "frames -3"),
        (["--frames", "1"], "matching takes two"),
        (["--start", "60"], "past the end"),
        (["--models", "SIFT+Boost-F", "ORB+Boost-B"], "one detector"),
    ],
)
def test_bad_arguments_are_told_in_one_line(tmp_path, arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert demo.main([*arguments, "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("demo: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "SURF"], "'SURF' is not known: take none, SIFT"),
        (["--models", "SIFT+Boost-F=/no/such.pth"], "'/no/such.pth' do not exist"),
        (["--frames", "0"], "0 is not above 0"),
        (["--rate", "fast"], "invalid float value"),
    ],
)
def test_bad_options_are_refused_by_the_parser(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        demo.main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_node_that_cannot_start_is_told_with_its_words(tmp_path):
    weights = tmp_path / "broken.safetensors"
    weights.write_bytes(b"not weights")
    result = run(tmp_path / "out", "--models", f"SIFT+Boost-F={weights}", "--frames", "3")
    assert result.returncode == 1
    assert "/sift_boost_f/booster_node ended with exit status 1" in result.stderr
    assert "broken.safetensors" in result.stderr
    assert "Traceback" not in result.stderr
    assert not nodes_of(tmp_path)


def test_node_that_dies_ends_the_demo(tmp_path):
    process = start(tmp_path, "--models", "none", "--rate", "1")
    try:
        wait_for_nodes(tmp_path, 3)
        victims = [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if path.exists() and b"matcher_node" in (line := path.read_bytes())
            and str(tmp_path).encode() in line and b"--params-file" in line
        ]  # fmt: skip
        os.kill(victims[0], signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "/raw/matcher_node ended with signal SIGKILL" in err
    assert not nodes_of(tmp_path)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_no_node_outlives_the_demo(tmp_path, number, status):
    process = start(tmp_path, "--models", "none", "--rate", "1")
    try:
        wait_for_nodes(tmp_path, 2)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status
    assert "Traceback" not in err
    deadline = time.monotonic() + 5  # the kernel's time to end the children of a killed process
    while nodes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not nodes_of(tmp_path)


def test_ctrl_c_while_python_forks_a_node_is_not_lost(tmp_path):
    pending = [signal.SIGINT]
    os.register_at_fork(before=lambda: pending and os.kill(os.getpid(), pending.pop()))
    with NodeGroup() as group:
        with pytest.raises(KeyboardInterrupt):
            group.start("image_player_node", tmp_path)
        assert len(group.nodes) == 1  # which the group ends


@pytest.mark.parametrize("prefix", ["", "/nowhere"])
def test_an_environment_that_is_not_sourced_names_the_remedy(monkeypatch, prefix):
    monkeypatch.setenv("AMENT_PREFIX_PATH", prefix)
    with pytest.raises(NodeError, match="source env.sh"):
        find_executable("booster_node")


def test_process_that_ends_badly_is_reported(tmp_path):
    with NodeGroup() as group:
        node = group.start("image_player_node", tmp_path, parameters={"rate": -1.0})
        deadline = time.monotonic() + PATIENCE
        while node.status is None and time.monotonic() < deadline:
            time.sleep(0.1)
        with pytest.raises(NodeError, match=r"(?s)/image_player_node ended with exit.*'rate'"):
            group.check()
    with pytest.raises(NodeError, match="make build"):
        NodeProcess("no_such_node", tmp_path)


def test_no_folder_for_logs_is_told_with_the_remedy(tmp_path, monkeypatch):
    for name in ("ROS_LOG_DIR", "ROS_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    result = run(tmp_path, "--frames", "2")
    assert result.returncode == 1
    assert result.stderr.startswith("demo: set HOME or ROS_LOG_DIR"), result.stderr


def test_models_get_namespaces_that_ros_allows():
    models = [
        demo.ModelChoice.parse(name) for name in ("none", "SIFT+Boost-F", "SIFT+Boost-F", "none")
    ]
    assert demo._namespaces(models) == ["raw", "sift_boost_f", "sift_boost_f_again1", "raw_again1"]
    with pytest.raises(argparse.ArgumentTypeError):
        demo.ModelChoice.parse("")


def test_times_are_weighted_by_frames():
    record = PipelineRecord()
    for processed, extract in ((1, 100.0), (1, 0.0), (4, 20.0)):
        record.add_diagnostics(
            "booster_node",
            {"processed": str(processed), "extract_ms": str(extract), "device": "cpu"},
        )
    assert record.milliseconds("booster_node", "extract") == pytest.approx((100 + 3 * 20) / 4)
    assert np.isnan(record.milliseconds("booster_node", "boost"))
    assert record.counts["booster_node", "processed"] == 4
    assert record.settings["booster_node", "device"] == "cpu"


def pair(query, matches, inliers, confirmed):
    points = np.random.default_rng(query).uniform(0, 50, (matches, 2))
    marks = [np.arange(matches) < count for count in (inliers, confirmed)]
    return FramePair(query, query - 1, 100, points, points, *marks)


def test_statistics_are_over_common_pairs():
    compared = {
        "a": [pair(2, 10, 8, 5), pair(1, 30, 20, 25), pair(3, 0, 0, 0)],
        "b": [pair(1, 20, 10, 10), pair(2, 20, 10, 10)],
    }
    shared = common_pairs(compared)
    assert [p.query for p in shared["a"]] == [p.query for p in shared["b"]] == [1, 2]
    statistics = pair_statistics(shared["a"])
    assert (statistics.pairs, statistics.matches, statistics.inliers) == (2, 20, 14)
    assert statistics.confirmed == 15 and statistics.precision == 30 / 40
    assert statistics.inlier_precision == 25 / 28
    assert statistics.fewest_inliers == 8
    empty = pair_statistics([pair(3, 0, 0, 0)])
    assert empty.matches == 0 and np.isnan(empty.precision)
    with pytest.raises(ValueError, match="no frame pair"):
        pair_statistics([])


def test_pictures_of_pairs():
    image = np.full((60, 80), 100, np.uint8)
    picture = compare_matches({"a": pair(1, 10, 3, 5), "b": pair(1, 0, 0, 0)}, image, image)
    assert picture.shape == (2 * 60 + 4, 2 * 80 + 4, 3)
    assert contact_sheet([image] * 5, columns=4, width=40).shape == (60, 160)
    assert contact_sheet([image], columns=4, width=40).shape == (30, 40)


@pytest.mark.parametrize(
    ("uri", "kind", "folder"),
    [
        ("rendered:seed=3,frames=9", "rendered", "rendered"),
        ("/data/drives/monday/", "folder", "monday"),
        ("folder:/data/drives/monday,rate=5", "folder", "monday"),
        ("drive 1.mcap,topic=/left/image", "rosbag", "drive_1.mcap"),
        ("webcam:1,width=1280", "webcam", "webcam_1"),
        ("/dev/video0", "webcam", "video0"),
        ("rtsp://camera.local/stream", "video", "stream"),
    ],
)
def test_each_source_has_a_folder(uri, kind, folder):
    assert demo.output_name(uri, kind) == folder


def test_depth_of_a_camera_without_intrinsics_gives_no_odometry():
    with open_source("rendered:frames=2,depth=true") as source:
        assert "intrinsics" not in why_no_odometry(source)
        source.camera = None
        assert "intrinsics are unknown: give them as SOURCE,camera=" in why_no_odometry(source)
