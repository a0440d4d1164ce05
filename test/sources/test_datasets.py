# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""KITTI, TUM RGB-D and EuRoC in the layouts that they are downloaded in."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from records import shared, write_euroc, write_kitti, write_pictures, write_tum

from feature_booster_ros.depth import StereoRig
from feature_booster_ros.sources import open_source

# KITTI


def test_kitti_has_times_intrinsics_and_poses(tmp_path):
    pictures = write_kitti(tmp_path)
    source = open_source(tmp_path)
    frames = list(source)
    assert source.rate == pytest.approx(10)
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000, 300_000_000]
    np.testing.assert_array_equal(frames[2].image, pictures[2])
    np.testing.assert_array_equal(frames[2].camera.matrix, [[50, 0, 32], [0, 50, 24], [0, 0, 1]])
    assert (frames[2].camera.width, frames[2].camera.height) == (64, 48)
    np.testing.assert_array_equal(frames[2].pose[:3, 3], [0, 0, 2])


def test_kitti_camera_1_stands_half_a_metre_to_the_right(tmp_path):
    write_kitti(tmp_path)
    frame = next(iter(open_source(tmp_path / "image_1")))
    np.testing.assert_allclose(frame.pose[:3, 3], [0.5, 0, 0], atol=1e-12)


def test_kitti_poses_of_the_benchmark_lie_two_folders_up(tmp_path):
    sequence = tmp_path / "sequences" / "03"
    write_kitti(sequence)
    (tmp_path / "poses").mkdir()
    (sequence / "poses.txt").rename(tmp_path / "poses" / "03.txt")
    assert next(iter(open_source(sequence))).pose is not None


def test_kitti_thinned_out_keeps_its_own_times_and_poses(tmp_path):
    write_kitti(tmp_path)
    (tmp_path / "image_0" / "000001.png").unlink()
    frames = list(open_source(tmp_path))
    assert [frame.stamp for frame in frames] == pytest.approx([0, 0.2, 0.3])
    assert [frame.pose[2, 3] for frame in frames] == [0, 2, 3]


def test_kitti_without_enough_times_names_the_first_image_without(tmp_path):
    write_kitti(tmp_path)
    (tmp_path / "times.txt").write_text("0\n0.1\n")
    with pytest.raises(ValueError, match=r"times\.txt has 2 times.* 4 images.*000002\.png"):
        open_source(tmp_path)


def test_kitti_with_too_many_times_plays_with_a_warning(tmp_path, caplog):
    write_kitti(tmp_path)
    with (tmp_path / "times.txt").open("a") as file:
        file.write("0.4\n")
    assert len(list(open_source(tmp_path))) == 4
    assert "5 times for 4 images" in caplog.text


def test_kitti_with_unsorted_times_plays_in_their_order_with_a_warning(tmp_path, caplog):
    write_kitti(tmp_path)
    (tmp_path / "times.txt").write_text("0\n0.2\n0.1\n0.3\n")
    frames = list(open_source(tmp_path))
    assert [frame.name[:6] for frame in frames] == ["000000", "000002", "000001", "000003"]
    assert "0.100000000 of 000002.png comes after 0.200000000" in caplog.text


def test_kitti_with_a_bad_line_names_file_and_line(tmp_path):
    write_kitti(tmp_path)
    (tmp_path / "times.txt").write_text("0\nten\n0.2\n0.3\n")
    with pytest.raises(ValueError, match=r"times\.txt, line 2: 'ten' is not a time"):
        open_source(tmp_path)


def test_kitti_with_a_bad_pose_names_file_and_line(tmp_path):
    write_kitti(tmp_path)
    (tmp_path / "poses.txt").write_text("1 0 0\n")
    with pytest.raises(ValueError, match=r"poses\.txt, line 1: 3 values, expected 12"):
        open_source(tmp_path)


def test_kitti_without_the_camera_in_calib_names_those_there(tmp_path):
    write_kitti(tmp_path)
    (tmp_path / "calib.txt").write_text("P7: 1\n")
    with pytest.raises(ValueError, match=r"calib\.txt has no P0, only P7"):
        open_source(tmp_path)


def test_kitti_without_calib_has_no_intrinsics(tmp_path, caplog):
    write_kitti(tmp_path)
    (tmp_path / "calib.txt").unlink()
    frame = next(iter(open_source(tmp_path)))
    assert frame.camera is None
    assert frame.pose is not None
    assert "intrinsics are unknown" in caplog.text


def test_kitti_with_fewer_poses_gives_the_rest_none(tmp_path):
    write_kitti(tmp_path)
    (tmp_path / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n")
    assert [frame.pose is None for frame in open_source(tmp_path)] == [False, True, True, True]


def test_kitti_camera_that_is_not_there_is_named(tmp_path):
    write_kitti(tmp_path)
    with pytest.raises(FileNotFoundError, match="image_3"):
        open_source(tmp_path, camera_index=3)


def _write_kitti_raw(sequence, calibration):
    write_pictures(sequence / "image_00" / "data", ["0000000000.png", "0000000001.png"])
    (sequence / "image_00" / "timestamps.txt").write_text(
        "2011-09-26 13:02:25.964389445\n2011-09-26 13:02:26.074389000\n"
    )
    (sequence.parent / "calib_cam_to_cam.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\n" + calibration
    )


def test_kitti_raw_sync_has_dated_times_and_the_rectified_camera(tmp_path):
    sequence = tmp_path / "2011_09_26" / "2011_09_26_drive_0001_sync"
    _write_kitti_raw(sequence, "S_rect_00: 64 48\nP_rect_00: 50 0 32 0 0 50 24 0 0 0 1 0\n")
    source = open_source(sequence)
    first, second = source
    assert first.stamp_ns == 1317042145_964389445
    assert second.stamp_ns - first.stamp_ns == 109_999_555
    assert (source.camera.width, source.camera.matrix[0, 0]) == (64, 50)


def test_kitti_raw_extract_has_the_distorted_camera(tmp_path):
    sequence = tmp_path / "2011_09_26" / "2011_09_26_drive_0001_extract"
    _write_kitti_raw(
        sequence, "S_00: 64 48\nK_00: 49 0 32 0 49 24 0 0 1\nD_00: -0.3 0.1 0.001 0.002 -0.03\n"
    )
    camera = open_source(sequence / "image_00" / "data").camera
    assert camera.matrix[0, 0] == 49
    np.testing.assert_array_equal(camera.distortion, [-0.3, 0.1, 0.001, 0.002, -0.03])


def test_real_kitti():
    source = open_source(shared("sequences/kitti_a"))
    frames = list(source)
    assert len(frames) == 51
    assert source.rate == pytest.approx(10)
    assert source.camera.matrix[0, 0] == 707.0912
    assert {(frame.camera.height, frame.camera.width) for frame in frames} == {
        frames[0].image.shape
    }
    # It drives forwards, 60 m in 5 s.
    assert frames[-1].pose[2, 3] == pytest.approx(60, abs=5)


# TUM RGB-D


def test_tum_has_exact_times_of_its_listing(tmp_path):
    pictures = write_tum(tmp_path)
    frames = list(open_source(tmp_path))
    assert frames[0].stamp_ns == 1305031102_175304000
    np.testing.assert_array_equal(frames[1].image, pictures[1])


def test_tum_poses_are_interpolated(tmp_path):
    write_tum(tmp_path)
    frames = list(open_source(tmp_path))
    # 175.304 lies 1/8975 of the way from 175.300 to 211.200 ms.
    share = 4 / 35_900
    np.testing.assert_allclose(frames[0].pose[0, 3], share, rtol=1e-6)
    turned = np.arctan2(frames[0].pose[1, 0], frames[0].pose[0, 0])
    np.testing.assert_allclose(turned, share * np.pi / 2, rtol=1e-6)


def test_tum_poses_are_not_interpolated_across_a_gap(tmp_path):
    write_tum(tmp_path)
    assert list(open_source(tmp_path))[2].pose is None


def test_tum_without_listing_takes_times_from_the_names(tmp_path):
    write_tum(tmp_path)
    (tmp_path / "rgb.txt").unlink()
    frames = list(open_source(tmp_path))
    assert frames[0].stamp_ns == 1305031102_175304000


@pytest.mark.parametrize(
    ("name", "fx"),
    [
        ("rgbd_dataset_freiburg1_xyz", 517.3),
        ("rgbd_dataset_freiburg2_desk", 520.9),
        ("fr3_office", 535.4),
    ],
)
def test_tum_knows_the_kinect_by_the_name(tmp_path, name, fx):
    write_tum(tmp_path / name)
    camera = open_source(tmp_path / name).camera
    assert camera.matrix[0, 0] == fx
    assert (camera.width, camera.height) == (640, 480)


@pytest.mark.parametrize("name", ["office", "afr1", "fr12"])
def test_tum_does_not_guess_intrinsics(tmp_path, name):
    write_tum(tmp_path / name)
    assert open_source(tmp_path / name).camera is None


def test_tum_with_an_image_missing_skips_it(tmp_path):
    write_tum(tmp_path)
    (tmp_path / "rgb" / "1305031102.211214.png").unlink()
    source = open_source(tmp_path)
    assert len(list(source)) == 2
    assert "does not exist" in source.skipped[0][1]


def test_tum_with_an_unsorted_listing_is_played_in_order(tmp_path, caplog):
    write_tum(tmp_path)
    lines = (tmp_path / "rgb.txt").read_text().splitlines()
    (tmp_path / "rgb.txt").write_text("\n".join([lines[2], lines[1], lines[3]]))
    stamps = [frame.stamp_ns for frame in open_source(tmp_path)]
    assert stamps == sorted(stamps)
    assert "(out of order): frames are played in the order of their stamps" in caplog.text


def test_tum_with_names_that_are_no_times_is_refused(tmp_path):
    write_pictures(tmp_path / "rgb", ["first.png"])
    with pytest.raises(ValueError, match=r"first\.png is not named by its time"):
        open_source(tmp_path, kind="tum")


def test_tum_without_anything_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither rgb\.txt nor rgb"):
        open_source(tmp_path, kind="tum")


def test_real_tum():
    source = open_source(shared("sequences/tum_office"), camera="535.4,539.2,320.1,247.6")
    frames = list(source)
    assert len(frames) == 17
    assert frames[0].stamp_ns == 1341847980_722988000
    assert source.rate == pytest.approx(1, abs=0.05)


# EuRoC


@pytest.mark.parametrize("inside", [".", "mav0", "mav0/cam0", "mav0/cam0/data"])
def test_euroc_is_opened_from_any_of_its_folders(tmp_path, inside):
    pictures = write_euroc(tmp_path)
    frames = list(open_source(tmp_path / inside))
    assert frames[0].stamp_ns == 1403636579763555584
    np.testing.assert_array_equal(frames[1].image, pictures[1])


def test_euroc_has_intrinsics_with_distortion(tmp_path):
    write_euroc(tmp_path)
    camera = open_source(tmp_path).camera
    assert camera.matrix[0, 2] == 36.7
    assert camera.model == "plumb_bob"
    np.testing.assert_array_equal(
        camera.distortion, [-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05]
    )


def test_euroc_pose_is_the_camera_s_not_the_body_s(tmp_path):
    write_euroc(tmp_path)
    frames = list(open_source(tmp_path))
    np.testing.assert_allclose(frames[2].pose[:3, 3], [2, 0.1, 0])


def test_euroc_rate(tmp_path):
    write_euroc(tmp_path)
    assert open_source(tmp_path).rate == pytest.approx(20, rel=1e-3)


def test_euroc_camera_that_is_not_there_is_named(tmp_path):
    write_euroc(tmp_path)
    with pytest.raises(FileNotFoundError, match="cam1"):
        open_source(tmp_path, camera_index=1)


def test_euroc_with_an_unknown_distortion_model_is_refused(tmp_path):
    write_euroc(tmp_path)
    sensor = tmp_path / "mav0" / "cam0" / "sensor.yaml"
    sensor.write_text(sensor.read_text().replace("radial-tangential", "fov"))
    with pytest.raises(ValueError, match=r"sensor\.yaml: distortion model 'fov'"):
        open_source(tmp_path)


def test_euroc_without_sensor_yaml_has_no_intrinsics(tmp_path, caplog):
    write_euroc(tmp_path)
    (tmp_path / "mav0" / "cam0" / "sensor.yaml").unlink()
    assert open_source(tmp_path).camera is None
    assert "intrinsics are unknown" in caplog.text


def test_euroc_with_a_bad_listing_names_the_line(tmp_path):
    write_euroc(tmp_path)
    listing = tmp_path / "mav0" / "cam0" / "data.csv"
    listing.write_text("#timestamp [ns],filename\nsoon,a.png\n")
    with pytest.raises(ValueError, match=r"data\.csv, line 2"):
        open_source(tmp_path)


def test_euroc_names_without_suffix_are_png(tmp_path):
    write_euroc(tmp_path)
    listing = tmp_path / "mav0" / "cam0" / "data.csv"
    listing.write_text(listing.read_text().replace(".png", ""))
    assert len(list(open_source(tmp_path))) == 3


def test_euroc_header_need_not_be_a_comment(tmp_path):
    write_euroc(tmp_path)
    for listing in tmp_path.glob("mav0/*/data.csv"):
        listing.write_text(listing.read_text().replace("#timestamp", "timestamp"))
    assert [frame.pose is None for frame in open_source(tmp_path)] == [False] * 3


def test_euroc_in_seconds_names_file_line_and_unit(tmp_path):
    write_euroc(tmp_path)
    listing = tmp_path / "mav0" / "cam0" / "data.csv"
    listing.write_text("#timestamp,filename\n1403636579.763555584,1403636579763555584.png\n")
    with pytest.raises(ValueError, match=r"data\.csv, line 2: .*nanoseconds.*seconds"):
        open_source(tmp_path)


def test_euroc_in_microseconds_is_refused(tmp_path):
    write_euroc(tmp_path)
    listing = tmp_path / "mav0" / "cam0" / "data.csv"
    listing.write_text("".join(f"{1403636579763555 + 50_000 * i},{i}.png\n" for i in range(3)))
    with pytest.raises(ValueError, match=r"data\.csv: 2e\+04 images a second.*not in nanoseconds"):
        open_source(tmp_path)


def test_euroc_camera_on_the_body_as_kalibr_writes_it(tmp_path):
    write_euroc(tmp_path)
    sensor = tmp_path / "mav0" / "cam0" / "sensor.yaml"
    text = sensor.read_text()
    start, end = text.index("T_BS"), text.index("rate_hz")
    rows = "[[1, 0, 0, 0], [0, 1, 0, -0.1], [0, 0, 1, 0], [0, 0, 0, 1]]"
    sensor.write_text(f"{text[:start]}T_cam_imu: {rows}\n{text[end:]}")
    frames = list(open_source(tmp_path))
    np.testing.assert_allclose(frames[2].pose[:3, 3], [2, 0.1, 0])


def test_euroc_without_the_camera_on_the_body_keeps_its_intrinsics(tmp_path, caplog):
    write_euroc(tmp_path)
    sensor = tmp_path / "mav0" / "cam0" / "sensor.yaml"
    text = sensor.read_text()
    sensor.write_text(text[: text.index("T_BS")] + text[text.index("rate_hz") :])
    (frame, *_) = open_source(tmp_path)
    assert frame.camera is not None
    assert frame.pose is None
    assert "neither T_BS nor T_cam_imu" in caplog.text


def test_ground_truth_of_another_time_is_told(tmp_path, caplog):
    write_euroc(tmp_path)
    truth = tmp_path / "mav0" / "state_groundtruth_estimate0" / "data.csv"
    truth.write_text("".join(f"{1_000_000_000 * i},0,0,0,1,0,0,0\n" for i in (1, 2)))
    assert [frame.pose for frame in open_source(tmp_path)] == [None] * 3
    assert "no pose at the time of any of the 3 frames" in caplog.text
    assert "1.000 to 2.000 s" in caplog.text


# How the lines of a listing may be written; {0} is the time, {1} the name of the file.
LISTINGS = {
    "tabs": "{0}\t{1}\n",
    "commas": "{0},{1}\n",
    "comma and blank": "{0}, {1}\n",
    "several blanks": "  {0}   {1}  \n",
    "windows": "{0} {1}\r\n",
    "backslash": '{0} "rgb\\{0}.png"\n',
    "with depth": "{0} {1} {0} depth/{0}.png\n",
    "depth first": "{0} depth/{0}.png {0} {1}\n",
    "with commas and depth": "{0},{1},{0},depth/{0}.png\n",
    "with truth": "{0} {1} {0} 1.0 2.0 3.0 0 0 0 1\n",
}


@pytest.mark.parametrize("line", LISTINGS.values(), ids=LISTINGS.keys())
@pytest.mark.parametrize("mark", ["", "\ufeff", "\ufeff# color images\n", "timestamp,filename\n"])
def test_tum_listing_in_every_hand(tmp_path, line, mark):
    pictures = write_tum(tmp_path)
    names = sorted(path.stem for path in (tmp_path / "rgb").iterdir())
    text = mark + "".join(line.format(name, f"rgb/{name}.png") for name in names)
    (tmp_path / "rgb.txt").write_bytes(text.encode())
    frames = list(open_source(tmp_path))
    assert frames[0].stamp_ns == 1305031102_175304000
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[2].image, pictures[2])


def test_tum_listing_in_utf_16(tmp_path):
    write_tum(tmp_path)
    text = (tmp_path / "rgb.txt").read_text()
    (tmp_path / "rgb.txt").write_text(text, encoding="utf-16")
    assert len(list(open_source(tmp_path))) == 3


def test_tum_names_may_have_blanks(tmp_path):
    write_pictures(tmp_path / "rgb", ["left 1 a.png", "left 2 a.png"])
    (tmp_path / "rgb.txt").write_text("0.0 rgb/left 1 a.png\n0.1 rgb/left 2 a.png\n")
    assert [frame.name for frame in open_source(tmp_path)] == ["left 1 a.png", "left 2 a.png"]


def test_tum_associations_stand_in_for_the_listing(tmp_path):
    write_tum(tmp_path)
    lines = (tmp_path / "rgb.txt").read_text().splitlines()[1:3]
    (tmp_path / "rgb.txt").unlink()
    (tmp_path / "associations.txt").write_text("".join(f"{x} 1.0 depth/1.png\n" for x in lines))
    (tmp_path / "depth.txt").write_text("1.0 depth/1.png\n")
    assert len(list(open_source(tmp_path))) == 2


@pytest.mark.parametrize("separator", ["\t", ",", ", "])
def test_tum_ground_truth_with_any_separator(tmp_path, separator):
    write_tum(tmp_path)
    path = tmp_path / "groundtruth.txt"
    lines = path.read_text().splitlines()[1:]
    rows = "\r\n".join(line.replace(" ", separator) for line in lines)
    path.write_bytes(f"\ufefftimestamp{separator}tx\r\n{rows}".encode())
    assert [frame.pose is None for frame in open_source(tmp_path)] == [False, True, True]


@pytest.mark.parametrize(("folder", "link"), [("freiburg2_desk", "data"), ("data", "fr2_desk")])
def test_tum_knows_the_kinect_by_the_link_or_its_target(tmp_path, monkeypatch, folder, link):
    write_tum(tmp_path / folder)
    (tmp_path / link).symlink_to(tmp_path / folder)
    assert open_source(tmp_path / link).camera.matrix[0, 0] == 520.9
    monkeypatch.chdir(tmp_path / link)
    assert open_source("rgb", kind="tum").camera is not None or link == "fr2_desk"


def test_tum_calibration_beside_the_images_beats_the_name(tmp_path):
    write_tum(tmp_path / "freiburg1_xyz")
    (tmp_path / "freiburg1_xyz" / "calibration.txt").write_text("726.2 726.3 354.6 186.4\n")
    assert open_source(tmp_path / "freiburg1_xyz").camera.matrix[0, 0] == 726.2


def test_tum_calibration_of_another_format_is_left_aside(tmp_path, caplog):
    write_tum(tmp_path / "freiburg1_xyz")
    (tmp_path / "freiburg1_xyz" / "calibration.txt").write_text("1 0 0\n0 1 0\n0 0 1\n")
    assert open_source(tmp_path / "freiburg1_xyz").camera.matrix[0, 0] == 517.3
    assert "calibration.txt is not one line of fx fy cx cy" in caplog.text


def test_kitti_that_begins_later_takes_the_lines_of_its_numbers(tmp_path):
    write_kitti(tmp_path, count=6)
    for number in (0, 1, 3):
        (tmp_path / "image_0" / f"{number:06d}.png").unlink()
    frames = list(open_source(tmp_path))
    assert [frame.stamp_ns for frame in frames] == [200_000_000, 400_000_000, 500_000_000]
    assert [frame.pose[2, 3] for frame in frames] == [2, 4, 5]


def test_kitti_times_cut_along_with_the_images_begin_with_the_first(tmp_path):
    write_kitti(tmp_path, count=3)
    for path in sorted((tmp_path / "image_0").iterdir()):
        path.rename(path.with_name(f"{int(path.stem) + 100:06d}.png"))
    frames = list(open_source(tmp_path))
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]
    assert [frame.pose[2, 3] for frame in frames] == [0, 1, 2]


def test_kitti_raw_with_a_missing_frame_keeps_the_times_of_the_others(tmp_path):
    sequence = tmp_path / "2011_09_26" / "2011_09_26_drive_0001_sync"
    _write_kitti_raw(sequence, "S_rect_00: 64 48\nP_rect_00: 50 0 32 0 0 50 24 0 0 0 1 0\n")
    (sequence / "image_00" / "data" / "0000000000.png").unlink()
    (frame,) = open_source(sequence)
    assert frame.stamp_ns == 1317042146_074389000


def test_euroc_without_sensor_yaml_takes_the_camchain(tmp_path):
    write_euroc(tmp_path)
    (tmp_path / "mav0" / "cam0" / "sensor.yaml").unlink()
    (tmp_path / "dso").mkdir()
    (tmp_path / "dso" / "camchain.yaml").write_text(
        "cam0:\n  camera_model: pinhole\n  intrinsics: [190.9, 190.8, 32, 24]\n"
        "  distortion_model: equidistant\n  distortion_coeffs: [0.003, 0.0007, -0.002, 0.0002]\n"
        "  T_cam_imu:\n  - [1, 0, 0, 0]\n  - [0, 1, 0, -0.1]\n  - [0, 0, 1, 0]\n"
        "  - [0, 0, 0, 1]\n  resolution: [64, 48]\n"
    )
    frames = list(open_source(tmp_path))
    assert frames[0].camera.model == "equidistant"
    np.testing.assert_allclose(frames[2].pose[:3, 3], [2, 0.1, 0])


def test_euroc_with_positions_only_has_no_poses(tmp_path, caplog):
    write_euroc(tmp_path)
    truth = tmp_path / "mav0" / "state_groundtruth_estimate0"
    truth.rename(truth.with_name("leica0"))
    assert [frame.pose for frame in open_source(tmp_path)] == [None] * 3
    assert "positions without orientation" in caplog.text


def test_kitti_names_that_all_end_alike_take_the_lines_in_order(tmp_path, caplog):
    write_kitti(tmp_path, count=3)
    for path in sorted((tmp_path / "image_0").iterdir()):
        path.rename(path.with_name(f"{path.stem}_v2.png"))
    frames = list(open_source(tmp_path))
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]
    assert "the names have no numbers" in caplog.text


def test_euroc_sensor_with_opencv_s_first_line(tmp_path):
    """OpenCV's parser wants it, so converters write it."""
    write_euroc(tmp_path)
    sensor = tmp_path / "mav0" / "cam0" / "sensor.yaml"
    sensor.write_text("%YAML:1.0\n---\n" + sensor.read_text())
    frame = next(iter(open_source(tmp_path)))
    assert frame.camera.matrix[0, 0] == 45.8
    assert frame.pose[1, 3] == 0.1


@pytest.mark.parametrize("quaternion", ["0 0 0 0", "1305 0.2 1.1 2.0"])
def test_quaternion_that_is_none_is_refused(tmp_path, quaternion):
    write_tum(tmp_path)
    with (tmp_path / "groundtruth.txt").open("a") as file:
        file.write(f"1305031102.5 1 2 3 {quaternion}\n")
    with pytest.raises(ValueError, match=r"groundtruth.txt: pose 4 has a quaternion of length"):
        open_source(tmp_path, kind="tum")


# Depth and right images


def write_depth(path: Path, depth: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(path), depth)


def test_kitti_frame_has_the_image_of_the_right_camera_and_the_baseline(tmp_path):
    write_kitti(tmp_path)
    right = write_pictures(tmp_path / "image_1", ["000000.png", "000001.png"][::-1])
    frames = list(open_source(tmp_path))
    np.testing.assert_array_equal(frames[0].right.image, right[1])
    assert StereoRig.of_cameras(frames[0].camera, frames[0].right.camera).baseline == 0.5
    assert next(iter(open_source(tmp_path / "image_1"))).right is None


def test_kitti_right_image_that_is_missing_or_damaged_costs_no_frame(tmp_path, caplog):
    write_kitti(tmp_path)
    (tmp_path / "image_1" / "000001.png").unlink()
    (tmp_path / "image_1" / "000002.png").write_bytes(b"damaged")
    frames = list(open_source(tmp_path))
    assert [frame.right is None for frame in frames] == [False, True, True, False]
    assert "000002.png" in caplog.text


def test_kitti_calibration_without_the_right_camera_costs_the_right_images(tmp_path, caplog):
    write_kitti(tmp_path)
    (tmp_path / "calib.txt").write_text("P0: 50 0 32 0 0 50 24 0 0 0 1 0\n")
    assert next(iter(open_source(tmp_path))).right is None
    assert "has no P1" in caplog.text


@pytest.mark.parametrize("listing", ["depth.txt", "associations.txt", "names"])
def test_tum_frame_has_its_depth_in_meters(tmp_path, listing):
    write_tum(tmp_path)
    depth = np.full((480, 640), 10_000, np.uint16)
    depth[0, 0] = 0
    # 10 ms after the first image, and 15 ms before the last.
    names = ["1305031102.185304", "1305031102.228211"]
    for name in names:
        write_depth(tmp_path / "depth" / f"{name}.png", depth)
    lines = (tmp_path / "rgb.txt").read_text().splitlines()
    if listing == "depth.txt":
        text = "".join(f"{name} depth/{name}.png\n" for name in names)
        (tmp_path / listing).write_text(text)
    elif listing == "associations.txt":
        (tmp_path / "rgb.txt").unlink()
        pairs = zip(names, [lines[1], lines[3]], strict=True)
        text = "".join(f"{name} depth/{name}.png {line}\n" for name, line in pairs)
        (tmp_path / listing).write_text(text)
    frames = list(open_source(tmp_path))
    measured = [frame.depth for frame in frames]
    assert measured[0].dtype == np.float32
    assert np.isnan(measured[0][0, 0])
    assert measured[0][1, 1] == measured[-1][1, 1] == 2.0


def test_tum_depth_beyond_20_ms_is_none(tmp_path):
    write_tum(tmp_path)
    write_depth(tmp_path / "depth" / "1305031102.150000.png", np.ones((480, 640), np.uint16))
    assert [frame.depth for frame in open_source(tmp_path)] == [None] * 3


def test_tum_depth_scale_is_an_option(tmp_path):
    write_tum(tmp_path)
    depth = np.full((480, 640), 1500, np.uint16)
    write_depth(tmp_path / "depth" / "1305031102.175304.png", depth)
    frame = next(iter(open_source(f"{tmp_path},depth_scale=1000")))
    assert frame.depth[0, 0] == 1.5


def test_tum_depth_of_another_size_names_both(tmp_path, caplog):
    write_tum(tmp_path)
    write_depth(tmp_path / "depth" / "1305031102.175304.png", np.ones((240, 320), np.uint16))
    assert next(iter(open_source(tmp_path))).depth is None
    assert "320 x 240" in caplog.text
    assert "640 x 480" in caplog.text
    assert "align" in caplog.text


def test_euroc_pair_is_rectified_by_its_poses_on_the_body(tmp_path):
    write_euroc(tmp_path)
    left, right = (tmp_path / "mav0" / name for name in ("cam0", "cam1"))
    shutil.copytree(left, right)
    # To the right in the camera's frame, and turned by 0.1 rad about its y axis.
    cosine, sine = np.cos(0.1), np.sin(0.1)
    sensor = (right / "sensor.yaml").read_text()
    sensor = sensor.replace(
        "[1, 0, 0, 0,\n         0, 1, 0, 0.1,\n         0, 0, 1, 0,",
        f"[{cosine}, 0, {sine}, 0.2,\n 0, 1, 0, 0.1,\n {-sine}, 0, {cosine}, 0.02,",
    )
    (right / "sensor.yaml").write_text(sensor)
    frames = list(open_source(tmp_path))
    np.testing.assert_array_equal(frames[1].right.image, frames[1].image)
    rig = StereoRig.of_cameras(frames[0].camera, frames[0].right.camera)
    assert rig.baseline == pytest.approx(np.hypot(0.2, 0.02))
    assert not rig.is_rectified
    # A point has one row in both rectified images, and its depth is the baseline by the disparity.
    pose = np.array([[cosine, 0, sine, 0.2], [0, 1, 0, 0], [-sine, 0, cosine, 0.02], [0, 0, 0, 1]])
    point = np.array([0.3, 0.2, 3.0, 1.0])
    seen = [rig.left_rotation @ point[:3], rig.right_rotation @ (np.linalg.inv(pose) @ point)[:3]]
    assert seen[0][1] / seen[0][2] == pytest.approx(seen[1][1] / seen[1][2])
    disparity = seen[0][0] / seen[0][2] - seen[1][0] / seen[1][2]
    assert rig.baseline / disparity == pytest.approx(seen[0][2])


def test_euroc_camera_that_is_not_to_the_right_is_no_right_camera(tmp_path, caplog):
    write_euroc(tmp_path)
    shutil.copytree(tmp_path / "mav0" / "cam0", tmp_path / "mav0" / "cam1")
    assert next(iter(open_source(tmp_path))).right is None
    assert "not to its right" in caplog.text


def test_real_stereo_and_depth():
    frame = next(iter(open_source(shared("sequences/kitti_stereo"))))
    rig = StereoRig.of_cameras(frame.camera, frame.right.camera)
    assert rig.is_rectified
    assert rig.baseline == pytest.approx(0.537, abs=1e-3)
    room = shared("sequences/rgbd_room")
    frame = next(iter(open_source(f"{room},depth_scale=1000,camera=585,585,320,240")))
    assert 0.5 < np.nanmedian(frame.depth) < 5
