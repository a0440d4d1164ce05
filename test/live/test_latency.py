# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""feature-booster benchmark live: real runs through real nodes, and the parts they are made of."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from feature_booster_ros.benchmark.command_line import add_benchmark_arguments
from feature_booster_ros.live.latency import live_settings, run_from_options
from feature_booster_ros.live.latency_images import (
    prepare_images,
    write_frame_camera,
)
from feature_booster_ros.live.latency_recorder import serialized_stamp
from feature_booster_ros.live.latency_report import (
    RateResult,
    Stream,
    highest_rate,
    own_share,
)
from feature_booster_ros.msg import FeatureArray, MatchArray
from feature_booster_ros.sources import Camera, Frame, open_source

PATIENCE = 400  # seconds for a run: it imports torch in three processes, maybe on busy cores


def run(folder, *arguments: str) -> subprocess.CompletedProcess:
    # Out of the checkout, whose package has no messages.
    return subprocess.run(
        [sys.executable, "-m", "feature_booster_ros.cli", "benchmark", "live", *arguments],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_benchmark_arguments(parser, run_from_options)
    return parser.parse_args(["live", "--source", "somewhere", *arguments])


@pytest.mark.parametrize("message_type", [CameraInfo, FeatureArray, MatchArray])
def test_stamp_is_read_out_of_the_bytes(message_type):
    header = Header(stamp=Time(sec=1_700_000_000, nanosec=987_654_321), frame_id="camera")
    assert (
        serialized_stamp(serialize_message(message_type(header=header)))
        == 1_700_000_000_987_654_321
    )
    big_endian = bytes([0, 0, 0, 0]) + (5).to_bytes(4, "big") + (7).to_bytes(4, "big")
    assert serialized_stamp(big_endian) == 5_000_000_007


def test_stream_of_a_topic():
    sent = [round(1e9 + 1e8 * index) for index in range(20)]
    arrivals = {stamp: stamp + 30_000_000 for stamp in sent[1:]}
    arrivals[12345] = 99999  # of a frame before
    stream = Stream.of(sent, arrivals)
    assert (stream.received, stream.dropped, stream.grows) == (19, 1, False)
    assert (stream.median, stream.high) == (pytest.approx(30), pytest.approx(30))
    assert stream.is_sustained
    assert not Stream.of(sent, {stamp: stamp + 1 for stamp in sent[2:]}).is_sustained
    # Each takes 80 ms longer than the one before.
    late = {stamp: stamp + round(1e7 + 8e7 * index) for index, stamp in enumerate(sent)}
    assert Stream.of(sent, late).grows and not Stream.of(sent, late).is_sustained
    assert Stream.of(sent, {}) == Stream(0, 20, None, None, False)
    assert not Stream.of([], {}).is_sustained


def test_share_of_the_node_itself():
    stages = {"convert": 1.0, "extract": 10.0, "boost": 8.0, "publish": 1.0}
    assert own_share(stages) == pytest.approx(0.1)
    assert own_share({**stages, "total": 24.0}) == pytest.approx(0.25)
    assert own_share({}) is None


def test_verdicts_and_the_highest_rate():
    good, bad = Stream(20, 0, 5.0, 6.0, False), Stream(10, 10, 5.0, 6.0, False)

    def result(rate, sent_rate, features, matches):
        return RateResult(rate, sent_rate, 20, features, matches, None, {}, None, {}, 1.0)

    results = [
        result(10.0, 10.0, good, good),
        result(20.0, 20.0, good, bad),
        result(30.0, 30.0, bad, bad),
        result(60.0, 40.0, good, good),
    ]
    both = dataclasses.replace(results[1], odometry=bad)
    assert both.verdict == "matches and odometry saturated"
    assert [each.verdict for each in results] == [
        "sustained", "matches saturated", "saturated", "the player is too slow",
    ]  # fmt: skip
    assert highest_rate(results[:3], "features") == 20
    assert highest_rate(results[:3], "matches") == 10
    assert highest_rate([result(5.0, 5.0, bad, None)], "matches") is None


def test_images_to_and_fro_and_their_intrinsics(tmp_path):
    camera = Camera(80, 40, np.array([[50.0, 0, 39.5], [0, 50.0, 19.5], [0, 0, 1]]), [0.1, 0, 0, 0])
    frames = [Frame(index, np.full((40, 80), index, np.uint8), camera) for index in range(4)]
    images, size = prepare_images(frames, (60, 60), tmp_path)
    assert size == (60, 60)
    path = write_frame_camera(frames[0], size, tmp_path / "camera.yaml")
    with open_source(f"folder:{images}", camera=path) as source:
        played = list(source.frames())
    assert [frame.image[0, 0] for frame in played] == [0, 1, 2, 3, 2, 1]
    # The middle 40 of 80 columns, half as large again: the middle stays the middle.
    matrix = played[0].camera.matrix
    assert matrix[[0, 1], [0, 1]] == pytest.approx([75, 75])
    assert matrix[[0, 1], [2, 2]] == pytest.approx([29.5, 29.5])
    assert played[0].camera.distortion.tolist() == [0.1, 0, 0, 0, 0]
    assert write_frame_camera(Frame(0, frames[0].image), None, tmp_path / "none.yaml") == ""
    (tmp_path / "other").mkdir()
    assert prepare_images(frames, None, tmp_path / "other")[1] == (80, 40)


def test_parameters_of_the_booster():
    settings = live_settings(
        options("--parameter", "sift_sigma=2", "--parameter", "lazy=false", "--no-matcher")
    )
    booster = settings.parameters["booster_node"]
    assert booster["model"] == "ORB+Boost-B"
    assert booster["lazy"] is False
    sigma = booster["sift_sigma"]
    assert isinstance(sigma, float) and sigma == 2
    assert not settings.with_matcher and settings.size == (640, 480)
    assert live_settings(options("--size", "source")).size is None


def test_parameters_of_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "/**/booster_node:\n  ros__parameters: {model: SIFT+Boost-F, max_features: 700}\n"
        "/odometry_node:\n  ros__parameters: {camera_height: 2}\n"
        "/image_player_node:\n  ros__parameters: {rate: 5}\n"
    )
    settings = live_settings(
        options("--params-file", str(path), "--max-features", "300", "--odometry")
    )
    booster = settings.parameters["booster_node"]
    assert (booster["model"], booster["max_features"]) == ("SIFT+Boost-F", 300)
    assert repr(settings.parameters["odometry_node"]["camera_height"]) == "2.0"
    assert list(settings.nodes.values()) == ["features", "matches", "odometry"]
    path.write_text("/matcher_node:\n  ros__parameters: {speed: 1}\n")
    with pytest.raises(ValueError, match="matcher_node has no parameter 'speed'"):
        live_settings(options("--params-file", str(path)))
    path.write_text("/mather_node:\n  ros__parameters: {ratio: 0.8}\n")
    with pytest.raises(ValueError, match=r"mine\.yaml has no section of booster_node"):
        live_settings(options("--params-file", str(path)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--parameter", "speed=1"], "booster_node has no parameter 'speed'"),
        (["--parameter", "speed"], "NAME=VALUE"),
        (["--size", "640"], "--size"),
        (["--size", "0x480"], "--size"),
        (["--rates", "5", "0"], "--rates must be above 0"),
        (["--seconds", "0"], "--seconds must be at least 1"),
        (["--images", "1"], "--images must be at least 2"),
    ],
)
def test_bad_options_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        live_settings(options(*arguments))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    noise = np.random.default_rng(0).random((40, 60)).astype(np.float32)
    whole = (255 * cv2.resize(noise, (400, 260), interpolation=cv2.INTER_NEAREST)).astype(np.uint8)
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), whole[:240, 8 * index : 8 * index + 320])
    return folder


def test_live_from_images_to_files(tmp_path, images):
    arguments = ["--source", str(images), "--size", "320x240", "--max-features", "100"]
    arguments += ["--rates", "4", "--seconds", "3", "--output", str(tmp_path / "out")]
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert "Latency from the image's stamp" in done.stdout
    content = json.loads((tmp_path / "out" / "live.json").read_text())
    assert content["settings"]["parameters"]["booster_node"]["max_features"] == 100
    (rate,) = content["rates"]
    assert rate["rate"] == 4 and 1 <= rate["sent"] <= 13
    for topic in ("features", "matches"):
        stream = rate[topic]
        assert stream["received"] + stream["dropped"] == rate["sent"]
        assert stream["received"] == 0 or 0 < stream["median"] <= stream["high"]
    assert rate["features"]["received"] >= 1
    assert rate["stages"]["booster_node"]["extract"] > 0
    assert 0 <= rate["own_share"] < 1
    assert set(rate["processor_seconds"]) == {
        "booster_node", "matcher_node", "image_player_node", "this benchmark",
    }  # fmt: skip
    assert all(taken > 0 for taken in rate["processor_seconds"].values())
    assert cv2.imread(str(tmp_path / "out" / "live_latency.png")).std() > 0


def test_live_odometry(tmp_path):
    arguments = ["--source", "rendered", "--images", "12", "--size", "320x240", "--no-matcher"]
    arguments += ["--odometry", "--rates", "4", "--seconds", "3", "--output", str(tmp_path / "out")]
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    (rate,) = json.loads((tmp_path / "out" / "live.json").read_text())["rates"]
    assert rate["matches"] is None and rate["odometry"]["received"] >= 1
    assert rate["odometry"]["median"] > rate["features"]["median"] > 0
    assert rate["processor_seconds"]["odometry_node"] > 0


def test_node_that_cannot_start_says_why(tmp_path, images):
    arguments = ["--source", str(images), "--parameter", "weights=missing.pth", "--no-matcher"]
    done = run(tmp_path, *arguments)
    assert done.returncode == 1
    assert "/live/booster_node ended with exit status 1" in done.stderr
    assert "missing.pth" in done.stderr and "Traceback" not in done.stderr
