# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`feature-booster evaluate odometry`, and that its errors are right."""

import json

import cv2
import numpy as np
import pytest

from feature_booster_ros import cli
from feature_booster_ros.evaluation.odometry_run import path_length, trajectory_error
from feature_booster_ros.odometry.rigid import rigid, rotation_of


@pytest.fixture
def truth():
    return [
        (0.1 * i, rigid(rotation_of([0, 0.05 * i, 0]), [np.sin(0.2 * i), 0.1 * i, 0.5 * i]))
        for i in range(30)
    ]


def test_a_scaled_and_turned_trajectory_has_no_error(truth):
    turn = rigid(rotation_of([0.3, -0.5, 1.0]), [4.0, 5.0, 6.0])
    moved = []
    for stamp, pose in truth:
        scaled = pose.copy()
        scaled[:3, 3] *= 3.0
        moved.append((stamp, turn @ scaled))
    error = trajectory_error(moved, truth)
    assert error.ate == pytest.approx(0, abs=1e-9)
    assert error.rpe_translation == pytest.approx(0, abs=1e-9)
    assert error.rpe_rotation == pytest.approx(0, abs=1e-4)


def test_noise_is_what_it_is(truth):
    rng = np.random.default_rng(0)
    noisy = [(s, rigid(p[:3, :3], p[:3, 3] + rng.normal(0, 0.05, 3))) for s, p in truth]
    error = trajectory_error(noisy, truth)
    assert 0.5 * 0.05 * 3**0.5 < error.ate < 1.2 * 0.05 * 3**0.5
    assert error.ate_share == pytest.approx(100 * error.ate / path_length(truth))
    assert len(error.errors) == len(error.stamps) == 30


def test_too_little_to_align_is_no_error(truth):
    assert trajectory_error(truth[:2], truth) is None
    assert trajectory_error(truth, []) is None


def test_the_command_writes_table_files_and_picture(tmp_path, capsys):
    options = ["--methods", "sift", "--every", "6", "--max-features", "300"]
    output = ["--output", str(tmp_path / "out")]
    assert not cli.main(["evaluate", "odometry", "rendered:frames=60,rate=10", *options, *output])
    printed = capsys.readouterr().out
    assert "| sift " in printed and "ATE m" in printed
    record = json.loads((tmp_path / "out" / "odometry.json").read_text())
    assert record["runs"][0]["frames"] == 10
    truth = np.loadtxt(tmp_path / "out" / "truth.tum")
    assert truth.shape == (10, 8)
    assert (tmp_path / "out" / "odometry.png").stat().st_size > 10_000


def test_a_source_without_intrinsics_is_refused(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((48, 64), np.uint8))
    assert cli.main(["evaluate", "odometry", str(tmp_path), "--methods", "sift"]) != 0
    assert "needs the camera's intrinsics" in capsys.readouterr().err
