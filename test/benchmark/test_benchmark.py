# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""feature-booster benchmark: real runs on small images, and the parts they are made of."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from torch.profiler import ProfilerActivity

from feature_booster_ros.benchmark.inputs import exactly
from feature_booster_ros.benchmark.network import (
    agreement,
    compare_engines,
    gpu_shares,
    profiled_events,
    sum_shares,
)
from feature_booster_ros.benchmark.rounds import MIN_ROUNDS, Limits, Spread, compare, time_rounds
from feature_booster_ros.benchmark.run import choose_engines, parse_threads
from feature_booster_ros.benchmark.stages import MATCH, OPENCV_MATCHER, compare_matching
from feature_booster_ros.benchmark.task import EAGER, Task, TimedEngine, TimedModel
from feature_booster_ros.benchmark.worker import run_task
from feature_booster_ros.booster import Booster, load_models
from feature_booster_ros.cli import main
from feature_booster_ros.features import Features

ROOT = Path(__file__).resolve().parents[2]
ONE_ROUND = Limits(1, 0.0)


def texture(seed: int, width: int = 200, height: int = 160) -> np.ndarray:
    """Blobs of many sizes, in which both detectors find a hundred features."""
    generator = np.random.default_rng(seed)
    image = np.zeros((height, width), np.float32)
    for size in (4, 8, 16):
        noise = generator.random((height // size, width // size), np.float32)
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def features(count: int, binary: bool, seed: int = 0) -> Features:
    generator = np.random.default_rng(seed)
    if binary:
        descriptors = generator.integers(0, 256, (count, 32), dtype=np.uint8)
    else:
        descriptors = generator.random((count, 128), np.float32)
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    numbers = [generator.random(count, np.float32) for _ in range(3)]
    return Features(100 * generator.random((count, 2), np.float32), *numbers, descriptors)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    whole = texture(0, 260, 160)
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), whole[:, 10 * index : 10 * index + 200])
    return folder


# Rounds


def test_rounds_take_turns():
    calls = []
    ways = {name: lambda number, name=name: calls.append((name, number)) for name in "ab"}
    seconds = time_rounds(ways, Limits(5, 60.0))
    assert [len(taken) for taken in seconds.values()] == [5, 5]
    in_rounds = calls[4:]  # after two calls of each to warm up
    turns = [call for i, call in enumerate(in_rounds) if i == 0 or call != in_rounds[i - 1]]
    assert turns == [(name, number) for number in range(5) for name in "ab"]


def test_rounds_end_when_time_is_up_but_not_before_there_are_some():
    seconds = time_rounds({"a": lambda number: None}, Limits(100, 0.0))
    assert len(seconds["a"]) == MIN_ROUNDS


def test_ratios_are_taken_round_by_round():
    # The machine slows down to a half meanwhile: the ratio does not.
    slowing = np.linspace(1, 2, 11)
    found = compare("network", "x", 10, {"a": 0.1 * slowing, "b": 0.05 * slowing}, "a")
    assert found.way("a").ratio == Spread(1.0, 1.0, 1.0)
    assert found.way("b").ratio.low == pytest.approx(0.5)
    assert found.way("b").ratio.high == pytest.approx(0.5)
    assert found.way("b").milliseconds.median == pytest.approx(75)
    assert found.rounds == 11
    with pytest.raises(KeyError):
        found.way("c")


# What is worked on


@pytest.mark.parametrize("binary", [False, True])
def test_exact_number_of_features(binary):
    pool = features(50, binary)
    few, many = exactly(pool, 20), exactly(pool, 120)
    assert (len(few), len(many)) == (20, 120)
    own = {row.tobytes() for row in pool.descriptors}
    assert len({row.tobytes() for row in few.descriptors} & own) == 20  # each once
    rows = {row.tobytes() for row in many.descriptors}
    assert own < rows and len(rows) == 120  # all of them, and no copy like another
    if not binary:
        assert np.linalg.norm(many.descriptors, axis=1) == pytest.approx(1, abs=1e-5)
    assert many.descriptors.dtype == pool.descriptors.dtype
    assert np.array_equal(exactly(pool, 120).descriptors, many.descriptors)


def test_agreement_of_descriptors():
    raw = features(10, binary=False)
    assert agreement(raw, raw)["minimum_cosine"] == pytest.approx(1)
    turned = raw.descriptors.copy()
    turned[3] = [1, *[0] * 127]
    other = Features(raw.keypoints, raw.scales, raw.angles, raw.scores, turned)
    cosine = raw.descriptors[3, 0]
    assert agreement(raw, other)["minimum_cosine"] == pytest.approx(cosine, abs=1e-6)
    bits = features(10, binary=True)
    flipped = bits.descriptors.copy()
    flipped[0, 0] ^= 0b101
    other = Features(bits.keypoints, bits.scales, bits.angles, bits.scores, flipped)
    assert agreement(bits, bits) == {"bits_flipped": 0}
    assert agreement(bits, other)["bits_flipped"] == pytest.approx(2 / 2560)


def test_an_engine_beside_itself_and_the_products():
    boosters = {EAGER: Booster.from_pretrained("SIFT+Boost-F", "cpu", "fp32", engine="eager")}
    boosters[TimedEngine("eager", "bf16")] = Booster.from_pretrained(
        "SIFT+Boost-F", "cpu", "bf16", engine="eager"
    )
    found = compare_engines(boosters, "m", features(40, False), (100, 100), 30, ONE_ROUND)
    names = ["eager", "eager bf16", "products", "products bf16"]
    # The shipped weights have parts that are zero.
    names += ["live products", "live products bf16"]
    assert [way.name for way in found.ways] == names
    assert found.way("eager").ratio.median == 1
    assert found.way("eager").notes["minimum_cosine"] == pytest.approx(1)
    assert 0.99 < found.way("eager bf16").notes["minimum_cosine"] < 1
    config = load_models()["SIFT+Boost-F"]
    encoder = 4 * 32 + 32 * 64 + 64 * 128 + 128 * 128 + 128 * 128
    describer = 128 * 256 + 256 * 128 + 128 * 128
    layers = config.attentional_layers * (4 * 128 * 128 + 2 * 128 * 256)
    flops = 2 * 30 * (encoder + describer + layers + 128 * 128)
    assert found.way("products").notes["gigaflops"] == pytest.approx(1e-9 * flops)
    live = found.way("live products").notes["gigaflops"]
    assert 0.8e-9 * flops < live < 0.9e-9 * flops


@pytest.mark.parametrize("binary", [False, True])
def test_matching_finds_what_opencv_finds(binary):
    pools = features(60, binary), features(60, binary, seed=1)
    found = compare_matching(pools, 50, "cpu", ONE_ROUND)
    assert found.subject == ("binary 256" if binary else "float 128")
    assert found.baseline == OPENCV_MATCHER and found.way(OPENCV_MATCHER).ratio.median == 1
    # Random bits have neighbors at equal distances, of which either may be taken.
    assert found.way(MATCH).notes["shared"] > (0.7 if binary else 0.99)


def test_shares_of_a_gpu():
    # As PyTorch's profiler names them, of two calls.
    shares = sum_shares(
        [
            ("aten::mm", False, 900.0),
            ("cudaLaunchKernel", False, 8.0),
            ("cudaGraphLaunch", False, 10.0),
            ("cudaMemcpyAsync", False, 2.0),
            ("cudaStreamSynchronize", False, 500.0),
            ("Memcpy HtoD (Pinned -> Device)", True, 30.0),
            ("Memset (Device)", True, 2.0),
            ("ampere_sgemm_128x64_tn", True, 300.0),
            ("void at::native::vectorized_elementwise_kernel<4>", True, 100.0),
        ],
        calls=2,
        total=0.5,
    )
    assert shares.launches == pytest.approx(0.010)
    assert shares.copies == pytest.approx(0.016)
    assert shares.arithmetic == pytest.approx(0.200)
    assert (shares.kernels, shares.total) == (1, 0.5)


def test_profiler_tells_what_ran_where():
    booster = Booster.from_pretrained("SIFT+Boost-F", "cpu", "fp32", engine="eager")
    events = profiled_events(
        lambda: booster(features(20, False), (100, 100)) and None, [ProfilerActivity.CPU]
    )
    taken = {name: microseconds for name, _, microseconds in events}
    assert taken["aten::addmm"] > 0
    assert not any(on_gpu for _, on_gpu, _ in events)


@pytest.mark.cuda
def test_shares_on_cuda():
    booster = Booster.from_pretrained("SIFT+Boost-F", "cuda", "fp32", engine="eager")
    shares = gpu_shares(booster, features(500, False), (100, 100))
    assert shares.kernels >= 40
    assert min(shares.launches, shares.copies, shares.arithmetic) > 0
    assert shares.copies + shares.arithmetic <= 1.1 * shares.total


# Settings


def test_numbers_of_threads():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert parse_threads(["all", "1", str(cores)]) == sorted({1, cores})


def test_engines_of_a_device():
    chosen = choose_engines([], ["cpu", "cpu"])
    assert list(chosen) == ["cpu"] and chosen["cpu"][0] == EAGER
    assert {engine.precision for engine in chosen["cpu"]} == {"fp32"}
    assert choose_engines(["eager:bf16"], ["cpu"])["cpu"] == (EAGER, TimedEngine("eager", "bf16"))


def test_frames_have_as_many_features_as_there_are(tmp_path):
    model = TimedModel("SIFT+Boost-F", "sift")
    task = Task("cpu", 1, (model,), (EAGER,), (500, 1000, 2000), ONE_ROUND, tmp_path)
    for found, counts in ((2000, (500, 1000, 2000)), (950, (500, 1000)), (90, (500,))):
        assert dataclasses.replace(task, found={"sift": found}).frame_features(model) == counts


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threads", "0"], "--threads takes numbers from 1 to"),
        (["--threads", "few"], "not few"),
        (["--threads", "100000"], "not 100000"),
        (["--features", "0"], "--features must be at least 1, not 0"),
        (["--images", "1"], "--images must be at least 2, not 1"),
        (["--repeats", "0"], "--repeats must be at least 1, not 0"),
        (["--engines", "warp"], "is called 'warp': there are eager"),
        (["--engines", "eager:fp8"], "fp8"),
        (["--models", "SIFT+Boost-X"], "no weights called 'SIFT+Boost-X'"),
        (["--devices", "tpu"], "no device is called 'tpu'"),
        (["--source", "no_such_folder"], "no_such_folder"),
        (["--source", "ONE"], "takes two at least"),
        (["--source", "BLANK"], "has a sift feature"),
        (["--output", "FILE"], "is a file: give a folder"),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path, capsys, images, arguments, said):
    one, blank = tmp_path / "ONE", tmp_path / "BLANK"
    (tmp_path / "FILE").write_text("")
    for folder, count in ((one, 1), (blank, 2)):
        folder.mkdir()
        for index in range(count):
            cv2.imwrite(str(folder / f"{index}.png"), np.full((60, 80), 9, np.uint8))
    made = [
        str(tmp_path / word) if word in ("ONE", "BLANK", "FILE") else word for word in arguments
    ]
    assert main(["benchmark", "--quick", "--source", str(images), *made]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("feature-booster: ") and said in error


def test_options_before_live_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["benchmark", "--source", "rendered", "live"])
    assert stopped.value.code == 2
    assert "--source must come after live" in capsys.readouterr().err


def test_live_without_ros_names_the_remedy(tmp_path):
    # The checkout comes first and has no messages, as on a machine without ROS.
    done = subprocess.run(
        [sys.executable, "-m", "feature_booster_ros.cli", "benchmark", "live"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "make build" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_process_that_fails_is_told(tmp_path):
    task = Task("cpu", 1, (), (EAGER,), (10,), ONE_ROUND, tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"cpu, 1 thread: FileNotFoundError.*images\.npz"):
        run_task(task, lambda result: None)


# A whole run


def test_benchmark_from_images_to_files(tmp_path, images, capsys):
    arguments = ["--source", str(images), "--features", "40", "60", "--threads", "1"]
    arguments += ["--models", "ORB+Boost-B", "SIFT+Boost-F", "--repeats", "2", "--seconds", "0"]
    assert main(["benchmark", *arguments, "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "# cpu, 1 thread\n" in printed and "Peak memory" in printed

    report = json.loads((tmp_path / "benchmark.json").read_text())
    assert report["machine"]["cores"] >= 1 and report["machine"]["torch"]
    assert report["others"] is None or report["others"] >= 0
    assert report["settings"]["image_size"] == [200, 160]
    engines = report["settings"]["engines"]["cpu"]
    (run,) = report["runs"]
    assert (run["device"], run["threads"], run["launches"]) == ("cpu", 1, [])
    by_stage = {}
    for comparison in run["comparisons"]:
        by_stage.setdefault(comparison["stage"], []).append(comparison)
        ways = {way["name"]: way for way in comparison["ways"]}
        assert ways[comparison["baseline"]]["ratio"] == {"median": 1, "low": 1, "high": 1}
        for way in ways.values():
            for spread in (way["ratio"], way["milliseconds"]):
                assert 0 < spread["low"] <= spread["median"] <= spread["high"]
    counts = {stage: len(comparisons) for stage, comparisons in by_stage.items()}
    assert counts == {"extraction": 1, "matching": 4, "network": 4, "frame": 4}

    for comparison in by_stage["network"]:
        names = [way["name"] for way in comparison["ways"]]
        assert names[: len(engines) + 1] == [*engines, "products"]
        assert set(names[len(engines) + 1 :]) <= {"live products"}
        for way in comparison["ways"][: len(engines)]:
            notes = way["notes"]
            assert notes["over_products"] > 0
            if comparison["subject"] == "SIFT+Boost-F":
                assert notes["minimum_cosine"] > 0.9999
            else:
                assert notes["bits_flipped"] < 0.005
    for comparison in by_stage["frame"]:
        found = {way["name"]: way["notes"].get("found") for way in comparison["ways"]}
        assert 30 < found["extract"] <= comparison["features"]
        assert 10 < found["match"] <= found["extract"]
    for way in by_stage["extraction"][0]["ways"]:
        assert 0 < way["notes"]["found"] <= 60
    cases = {(entry["stage"], entry["subject"], entry["way"]) for entry in report["memory"]}
    assert len(report["memory"]) == 2 * len(cases) == 2 * (2 * len(engines) + 2)
    assert all(1 < entry["before"] <= entry["peak"] for entry in report["memory"])
    for stage in ("network", "matching", "frame"):
        assert cv2.imread(str(tmp_path / f"{stage}_cost.png")).std() > 0
