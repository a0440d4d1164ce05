# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""feature-booster view: pictures, a video that plays, and a recording for Rerun."""

import signal
import subprocess
import sys
from contextlib import closing

import av
import cv2
import numpy as np
import pytest
from conftest import wait_for

from feature_booster_ros.cli import main
from feature_booster_ros.colors import color_by_height
from feature_booster_ros.integrations.video_file import VideoFile
from feature_booster_ros.matching.drawing import INLIER_COLOR

FLIGHT = "rendered:width=320,height=240,frames=6"
QUICK = ["--max-features", "300", "--device", "cpu"]


def video_frames(path):
    """Codec, pixel format, rate and pictures (N, H, W, 3) BGR of a video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(stream)]
        context = stream.codec_context
        return context.name, context.pix_fmt, float(stream.average_rate), np.array(pictures)


def test_pictures_and_video_of_both_methods(tmp_path, capsys):
    folder = tmp_path / "view"
    arguments = ["view", FLIGHT, "-o", str(folder), "--every", "2", *QUICK]
    assert main(arguments) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("sift: ") and said[1].startswith("SIFT+Boost-F: ")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["000001.jpg", "000002.jpg", "matches.mp4"]  # frames 0 and 2, 2 and 4
    picture = cv2.imread(str(folder / "000002.jpg"))
    assert picture.shape == (240, 644, 3)  # 4:3 images, side by side
    codec, pixels, rate, pictures = video_frames(folder / "matches.mp4")
    assert (codec, pixels, rate) == ("h264", "yuv420p", 2.5)
    assert pictures.shape == (2, 240, 644, 3)
    # What is seen in the video is what is seen in the picture.
    assert np.abs(pictures[1].astype(int) - picture).mean() < 6
    for half in (picture[:, :320], picture[:, 324:]):
        assert (np.abs(half.astype(int) - INLIER_COLOR) < 60).all(axis=2).sum() > 100

    assert main(arguments) == 1
    assert "view exists" in capsys.readouterr().err


def test_wide_images_are_one_below_the_other_in_a_video_alone(tmp_path):
    path = tmp_path / "new" / "wide.mp4"
    source = "rendered:width=600,height=182,frames=2"
    assert main(["view", source, "-o", str(path), *QUICK, "--methods", "orb", "ORB+Boost-B"]) == 0
    assert video_frames(path)[-1].shape == (1, 368, 600, 3)
    assert [each.name for each in path.parent.iterdir()] == ["wide.mp4"]


def test_sizes_that_video_cannot_have(tmp_path):
    path, picture = tmp_path / "odd.mp4", np.full((101, 151, 3), 200, np.uint8)
    with closing(VideoFile(path, 29.97)) as video:
        video.write(picture)
        video.write(np.full((202, 151, 3), 90, np.uint8))
    *_, pictures = video_frames(path)
    assert pictures.shape == (2, 102, 152, 3)
    assert pictures[1][50, 76].max() < 110 and pictures[1][50, 10].max() < 20


def test_ctrl_c_leaves_a_video_that_plays(tmp_path):
    folder = tmp_path / "view"
    program = "import sys; from feature_booster_ros.cli import main; sys.exit(main())"
    source = "rendered:width=160,height=120,frames=100000"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "view", source, "-o", str(folder), *QUICK],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: (folder / "000003.jpg").exists() or process.poll(), "a picture")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in errors
    assert len(video_frames(folder / "matches.mp4")[-1]) >= 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no/such/place"], "no/such/place"),
        ([FLIGHT, "--every", "0"], "step 0"),
        ([FLIGHT, "--count", "1"], "matching takes two"),
        ([FLIGHT, "--methods", "surf"], "surf"),
    ],
)
def test_what_cannot_be_shown_is_named(tmp_path, arguments, said, capsys):
    assert main(["view", *arguments, "-o", str(tmp_path / "out.mp4"), *QUICK]) == 1
    assert said in capsys.readouterr().err


def test_rerun_has_keypoints_matches_trajectories_and_landmarks(tmp_path):
    pytest.importorskip("rerun", reason="needs rerun-sdk: pip install '.[rerun]'")
    path = tmp_path / "flight.rrd"
    arguments = ["-o", str(tmp_path / "out.mp4"), "--rerun", str(path), *QUICK]
    assert main(["view", "rendered:frames=12", *arguments]) == 0
    listed = subprocess.run(
        [sys.executable, "-m", "rerun", "rrd", "print", str(path)], capture_output=True, text=True
    )
    for method in ("sift", r"SIFT\+Boost-F"):
        for entity in (
            "camera", "camera/keypoints", "camera/inliers", "camera/outliers", "trajectory",
            "landmarks",
        ):  # fmt: skip
            assert f"/{method}/{entity} " in listed.stdout, (entity, listed)


def test_height_is_seen_whatever_a_few_points_are():
    heights = np.r_[np.linspace(0, 3, 100), 1e4]
    colors = color_by_height(heights).astype(int)
    assert colors.shape == (101, 3)
    low, middle, high = colors[2], colors[50], colors[97]
    assert low.argmax() == 2 and middle.argmax() == 1 and high.argmax() == 0  # blue, green, red
    assert color_by_height(np.zeros(0)).shape == (0, 3)
    assert len(np.unique(color_by_height(np.ones(5)), axis=0)) == 1
