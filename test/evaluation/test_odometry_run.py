# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`feature-booster evaluate odometry`, and that its errors are right."""

import dataclasses
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from feature_booster_ros import cli
from feature_booster_ros.evaluation.colmap_run import run_colmap
from feature_booster_ros.evaluation.odometry_report import (
    odometry_text,
    plot_support,
    plot_trajectories,
)
from feature_booster_ros.evaluation.odometry_run import run_odometry
from feature_booster_ros.evaluation.relative_pose import resized_matrix
from feature_booster_ros.evaluation.trajectories import (
    OdometryComparison,
    OdometryRun,
    path_length,
    positions,
    trajectory_error,
    why_no_error,
)
from feature_booster_ros.features import Features, create_extractor
from feature_booster_ros.methods import create_methods
from feature_booster_ros.odometry.rigid import make_transform, rotation_matrix
from feature_booster_ros.rendering.sequence import RenderedSequence
from feature_booster_ros.sources import Camera

WALK = "rendered:frames=24,rate=8,width=320,height=240"
SHORT = ["--methods", "sift", "--every", "2", "--count", "8", "--max-features", "400"]


@pytest.fixture
def truth():
    return [
        (
            0.1 * i,
            make_transform(rotation_matrix([0, 0.05 * i, 0]), [np.sin(0.2 * i), 0.1 * i, 0.5 * i]),
        )
        for i in range(30)
    ]


def test_a_scaled_and_turned_trajectory_has_no_error(truth):
    turn = make_transform(rotation_matrix([0.3, -0.5, 1.0]), [4.0, 5.0, 6.0])
    moved = []
    for stamp, pose in truth:
        scaled = pose.copy()
        scaled[:3, 3] *= 3.0
        moved.append((stamp, turn @ scaled))
    error = trajectory_error(moved, truth)
    assert error.ate == pytest.approx(0, abs=1e-9)
    assert error.rpe_translation == pytest.approx(0, abs=1e-9)
    assert error.rpe_rotation == pytest.approx(0, abs=1e-4)
    aligned = positions(moved) @ error.alignment[:3, :3].T + error.alignment[:3, 3]
    np.testing.assert_allclose(aligned, positions(truth), atol=1e-9)


def test_noise_is_what_it_is(truth):
    rng = np.random.default_rng(0)
    noisy = [(s, make_transform(p[:3, :3], p[:3, 3] + rng.normal(0, 0.05, 3))) for s, p in truth]
    error = trajectory_error(noisy, truth)
    assert 0.5 * 0.05 * 3**0.5 < error.ate < 1.2 * 0.05 * 3**0.5
    assert error.ate_share == pytest.approx(100 * error.ate / path_length(truth))
    assert len(error.errors) == len(error.stamps) == 30


@pytest.mark.parametrize(
    ("trajectory", "reference", "reason"),
    [
        (slice(2), slice(None), "2 of its 2 poses have one in the reference, 3 are needed"),
        (slice(None), slice(0), "no reference poses"),
    ],
)
def test_too_little_to_align_has_a_reason(truth, trajectory, reference, reason):
    assert trajectory_error(truth[trajectory], truth[reference]) is None
    assert reason in why_no_error(truth[trajectory], truth[reference])


def test_what_stands_still_has_a_reason(truth):
    still = [(stamp, np.eye(4)) for stamp, _ in truth]
    assert trajectory_error(truth, still) is trajectory_error(still, truth) is None
    assert "the reference does not move" in why_no_error(truth, still)
    assert "the trajectory does not move" in why_no_error(still, truth)


def test_error_along_a_straight_line(truth):
    straight = [(stamp, make_transform(np.eye(3), [0, 0, 10 * stamp])) for stamp, _ in truth]
    rng = np.random.default_rng(0)
    turn = make_transform(rotation_matrix([0.3, -0.5, 1.0]), [4.0, 5.0, 6.0])
    noisy = [
        (stamp, turn @ make_transform(np.eye(3), 0.2 * pose[:3, 3] + rng.normal(0, 0.01, 3)))
        for stamp, pose in straight
    ]
    error = trajectory_error(noisy, straight)
    # Five times as large, as the scale is; not all of it along the line.
    assert 0.5 * 0.05 * 3**0.5 < error.ate < 1.2 * 0.05 * 3**0.5
    exact = trajectory_error([(stamp, turn @ pose) for stamp, pose in straight], straight)
    assert exact.ate == pytest.approx(0, abs=1e-9)


@pytest.fixture(scope="module")
def walk():
    """Every other frame of a walk, with its features."""
    extractor = create_extractor("sift", max_features=400)
    sequence = RenderedSequence(frames=16, width=320, height=240, rate=8)
    frames = list(sequence.frames(step=2))
    return sequence.camera, frames, [(frame.stamp, extractor(frame.image)) for frame in frames]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """The same frames as a folder of images: no ground truth."""
    folder = tmp_path_factory.mktemp("walk")
    sequence = RenderedSequence(frames=16, width=320, height=240, rate=8)
    for number, frame in enumerate(sequence.frames(step=2)):
        cv2.imwrite(str(folder / f"{number}.png"), frame.image)
    matrix = sequence.camera.matrix
    intrinsics = ",".join(str(matrix[row]) for row in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return f"{folder},camera={intrinsics}"


def test_the_command_writes_table_files_and_pictures(tmp_path, capsys):
    output = tmp_path / "out"
    options = [*SHORT, "--start", "2", "--colmap", "--output", str(output)]
    assert not cli.main(["evaluate", "odometry", WALK, *options])
    printed = capsys.readouterr().out
    assert "| sift " in printed and "| COLMAP " in printed and " ATE m " in printed
    record = json.loads((output / "odometry.json").read_text())
    assert record["reference"] == "truth"
    sift, colmap = record["runs"]
    assert (sift["method"], colmap["method"]) == ("sift", "COLMAP")
    assert colmap["frames"] == 8 and colmap["tracked"] == 1.0 and colmap["seconds"] > 0
    assert colmap["ate_percent"] < 1.0 and colmap["rpe_deg"] < 0.5
    assert min(colmap["inliers_of_frames"]) > 20
    assert "tracking_ms_median" in sift and "tracking_ms_median" not in colmap
    truth, way = (np.loadtxt(output / f"{name}.tum") for name in ("truth", "COLMAP"))
    assert truth.shape == way.shape == (8, 8)
    np.testing.assert_allclose(truth[:, 0], (2 + 2 * np.arange(8)) / 8, atol=1e-6)
    for name in ("odometry.png", "odometry_support.png"):
        assert cv2.imread(str(output / name)).std() > 10


def test_frames_whose_stamps_do_not_rise_are_left_out(tmp_path, capsys, caplog, monkeypatch):
    frames = RenderedSequence.frames

    def faulty(self, *arguments):
        for number, frame in enumerate(frames(self, *arguments)):
            yield frame
            if number == 3:
                yield frame
                yield dataclasses.replace(frame, stamp_ns=frame.stamp_ns - 100_000_000)

    monkeypatch.setattr(RenderedSequence, "frames", faulty)
    output = tmp_path / "out"
    assert not cli.main(["evaluate", "odometry", WALK, *SHORT, "--output", str(output)])
    assert "| sift " in capsys.readouterr().out
    record = json.loads((output / "odometry.json").read_text())
    assert record["runs"][0]["frames"] == 8
    assert "(repeated" in caplog.text and "2 frames were left out" in caplog.text


def test_without_truth_the_others_are_measured_against_colmap(photographs, tmp_path, capsys):
    output = tmp_path / "out"
    options = ["--methods", "sift", "--max-features", "400", "--colmap", "--output", str(output)]
    assert not cli.main(["evaluate", "odometry", photographs, *options])
    printed = capsys.readouterr().out
    assert "ATE % against COLMAP" in printed and "ATE m" not in printed
    record = json.loads((output / "odometry.json").read_text())
    assert record["reference"] == "COLMAP"
    sift, colmap = record["runs"]
    assert sift["ate_percent"] < 5.0 and "ate_m" not in sift
    assert "ate_percent" not in colmap
    assert not (output / "truth.tum").exists() and (output / "COLMAP.tum").exists()


def test_without_truth_and_colmap_there_is_no_error_but_a_picture(photographs, tmp_path, capsys):
    output = tmp_path / "out"
    options = ["--methods", "sift", "--max-features", "400", "--output", str(output)]
    assert not cli.main(["evaluate", "odometry", photographs, *options])
    printed = capsys.readouterr().out
    assert printed.count("n/a") == 4 and "no ATE and RPE: the source has no ground-truth" in printed
    record = json.loads((output / "odometry.json").read_text())
    assert record["reference"] is None and "ate_percent" not in record["runs"][0]
    assert (output / "odometry.png").exists()


def test_a_zoom_on_the_way_is_followed(walk):
    """As odometry_node follows a camera_info that changes."""
    camera, frames, _ = walk
    ratio = 1.5
    wide = Camera(480, 360, resized_matrix(camera.matrix, ratio))
    zoomed = [
        replace(frame, image=cv2.resize(frame.image, None, fx=ratio, fy=ratio), camera=wide)
        for frame in frames[4:]
    ]
    source = SimpleNamespace(frames=lambda *_: iter([*frames[:4], *zoomed]))
    (run,) = run_odometry(source, create_methods(["sift"], 400)).runs
    assert run.is_tracked.all() and len(set(run.map_numbers)) == 1
    assert run.error.ate_share < 2


def test_colmap_sees_through_a_lens(walk):
    """Its camera is ideal: the features have to be moved to where that sees them."""
    camera, frames, described = walk
    distortion = np.array([-0.3, 0.08, 0.002, -0.001])
    bent = [
        (stamp, with_keypoints(each, through_lens(each.keypoints, camera.matrix, distortion)))
        for stamp, each in described
    ]
    truth = [(frame.stamp, frame.pose) for frame in frames]
    lens = Camera(camera.width, camera.height, camera.matrix, distortion)
    run = run_colmap("COLMAP", bent, lens, threads=1)
    assert run.is_tracked.all() and run.maps == 1
    assert trajectory_error(run.trajectory, truth).ate_share < 1.0
    np.testing.assert_allclose(run.trajectory[0][1], np.eye(4), atol=1e-9)
    ignored = run_colmap("COLMAP", bent, camera, threads=1)
    assert trajectory_error(ignored.trajectory, truth).ate_share > 1.0


def test_colmap_finds_the_same_each_time(walk):
    camera, _, described = walk
    first, second = (run_colmap("COLMAP", described, camera, threads=1) for _ in range(2))
    assert first.trajectory
    for (stamp, pose), (stamp_again, pose_again) in zip(
        first.trajectory, second.trajectory, strict=True
    ):
        assert stamp == stamp_again
        np.testing.assert_allclose(pose, pose_again, atol=1e-7)


def test_frames_that_show_nothing_in_common_are_not_registered(walk):
    camera, _, described = walk
    rng = np.random.default_rng(0)
    strange = []
    for stamp, each in described[:4]:
        noise = rng.normal(size=each.descriptors.shape).astype(np.float32)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        strange.append(
            (stamp, Features(each.keypoints, each.scales, each.angles, each.scores, noise))
        )
    run = run_colmap("COLMAP", strange, camera, threads=1)
    assert run.trajectory == [] and run.maps == 0 and run.tracked == 0 and run.mean_inliers == 0
    comparison = OdometryComparison([run], [], [], "")
    assert "| COLMAP |      4 |         0 |    0 |   n/a |" in odometry_text(comparison)


def test_lost_frames_and_new_maps_are_marked_in_the_picture(truth, tmp_path):
    def drawn(is_tracked, map_numbers):
        run = OdometryRun(
            method="sift",
            trajectory=[pose for pose, known in zip(truth, is_tracked, strict=True) if known],
            stamps=np.array([stamp for stamp, _ in truth]),
            is_tracked=is_tracked,
            inliers=np.where(is_tracked, 100, 0),
            map_numbers=map_numbers,
            tracking_seconds=np.full(30, 0.01),
            mapping_seconds=np.zeros(30),
            seconds=0.3,
        )
        comparison = OdometryComparison([run], [], [], "")
        plot_support(tmp_path / "support.png", comparison, "a title")
        plot_trajectories(tmp_path / "ways.png", comparison, "a title")
        return [
            cv2.imread(str(tmp_path / name)).astype(int) for name in ("support.png", "ways.png")
        ]

    always = np.ones(30, bool)
    lost = always.copy()
    lost[10:15] = False
    one, two = np.zeros(30, int), (np.arange(30) >= 20).astype(int)
    support, way = drawn(always, one)
    gap_support, gap_way = drawn(lost, one)
    new_map, _ = drawn(always, two)
    assert red(support) == 0 and red(gap_support) > 50
    assert blue(gap_support) < blue(support) and blue(gap_way) < 0.95 * blue(way)
    assert (new_map.max(axis=2) < 60).sum() > (support.max(axis=2) < 60).sum() + 50


def test_missing_pycolmap_names_the_remedy(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    assert cli.main(["evaluate", "odometry", WALK, *SHORT, "--colmap"]) == 1
    assert "pip install '.[odometry]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--start", "-1"], "--start must be at least 0, not -1"),
        (["--count", "0"], "--count must be at least 1, not 0"),
        (["--every", "0"], "--every must be at least 1, not 0"),
        (["--start", "99"], "start 99 is past the end"),
    ],
)
def test_frames_that_are_not_there_are_refused(option, message, capsys):
    options = ["--methods", "sift", *option]
    assert cli.main(["evaluate", "odometry", "rendered:frames=2", *options]) == 1
    assert message in capsys.readouterr().err


def test_a_source_without_intrinsics_is_refused(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((48, 64), np.uint8))
    assert cli.main(["evaluate", "odometry", str(tmp_path), "--methods", "sift"]) != 0
    assert "needs the camera's intrinsics" in capsys.readouterr().err


def with_keypoints(features: Features, keypoints: np.ndarray) -> Features:
    return Features(
        keypoints.astype(np.float32), features.scales, features.angles, features.scores,
        features.descriptors,
    )  # fmt: skip


def through_lens(pixels: np.ndarray, matrix: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """Where a lens puts what a pinhole camera sees at these pixels (N, 2)."""
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(matrix).T
    return cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, distortion)[0].reshape(-1, 2)


def red(image: np.ndarray) -> int:
    """Pixels of pure red, as of the crosses; BGR."""
    return int(((image[..., 2] > 200) & (image[..., :2].max(axis=2) < 60)).sum())


def blue(image: np.ndarray) -> int:
    """Pixels of the first method's line, matplotlib's C0; BGR."""
    return int((np.abs(image - [180, 119, 31]).max(axis=2) < 30).sum())
