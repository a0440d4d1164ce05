# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""open_source: kinds, options, cameras, and what it says when there is nothing to open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from records import (
    BagWriter,
    picture,
    write_camera_yaml,
    write_euroc,
    write_kitti,
    write_pictures,
    write_tum,
    write_video,
)

from feature_booster_ros.sources import Camera, Frame, open_source


def _write_bag(path: Path) -> None:
    with BagWriter(path, "mcap") as bag:
        bag.image("/image", 1, picture(0))


@pytest.mark.parametrize(
    ("kind", "write", "name"),
    [
        ("folder", lambda path: write_pictures(path, ["a.png"]), "photos"),
        ("kitti", write_kitti, "00"),
        ("tum", write_tum, "office"),
        ("euroc", write_euroc, "MH_01"),
        ("video", write_video, "clip.avi"),
        ("rosbag", _write_bag, "drive"),
    ],
)
def test_kind_is_recognized_by_its_layout(tmp_path, kind, write, name):
    write(tmp_path / name)
    with open_source(tmp_path / name) as source:
        assert source.kind == kind


def test_kind_can_be_said_instead(tmp_path):
    write_kitti(tmp_path)
    assert open_source(tmp_path / "image_0", kind="folder").kind == "folder"
    assert open_source(f"folder:{tmp_path}/image_0").kind == "folder"


def test_options_in_the_uri_are_those_of_the_class(tmp_path):
    write_kitti(tmp_path)
    by_uri = open_source(f"{tmp_path},camera_index=1")
    by_keyword = open_source(tmp_path, camera_index=1)
    assert by_uri.name == by_keyword.name
    assert by_uri.name.endswith("image_1")


def test_path_with_comma_colon_and_equals_sign_is_a_path(tmp_path):
    folder = tmp_path / "tum:day,rate=3"
    write_pictures(folder, ["a.png"])
    assert len(open_source(folder)) == 1
    assert open_source(f"{folder},rate=5", camera="1,1,1,1").kind == "folder"


def test_rendered_takes_its_options_from_the_uri():
    source = open_source("rendered:seed=3,frames=2,width=160,height=120")
    assert source.kind == "rendered"
    assert [frame.image.shape for frame in source] == [(120, 160)] * 2


def test_missing_path_is_named_with_the_kinds_there_are():
    with pytest.raises(FileNotFoundError, match=r"/no/where.*rosbag.*kitti.*folder"):
        open_source("/no/where")


@pytest.mark.parametrize("kind", ["folder", "video", "kitti", "tum", "euroc", "rosbag"])
def test_missing_path_is_named_by_every_kind(kind):
    with pytest.raises(FileNotFoundError, match="/no/where"):
        open_source("/no/where", kind=kind)


def test_empty_folder_says_what_was_looked_for(tmp_path):
    with pytest.raises(ValueError, match=r"none of the known kinds.*mav0/cam0.*times\.txt"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("drive.zip", "is an archive: unpack it"), ("frame.PNG", "is one image: give the folder")],
)
def test_file_in_the_place_of_a_folder_says_what_to_do(tmp_path, name, reason):
    (tmp_path / name).write_bytes(b"content")
    with pytest.raises(ValueError, match=rf"{name}' {reason}"):
        open_source(tmp_path / name)


def test_images_one_folder_further_down_are_pointed_at(tmp_path):
    write_pictures(tmp_path / "photos", ["a.png"])
    with pytest.raises(ValueError, match="holds some: give one of them.*photos"):
        open_source(tmp_path)


def test_folder_without_permission_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    with pytest.raises(PermissionError, match="cannot be read: no permission for"):
        open_source(tmp_path)


def test_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"notes\.txt.*none of the known kinds"):
        open_source(tmp_path / "notes.txt")


def test_unknown_kind_names_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"'laser' is not one of .*folder"):
        open_source(tmp_path, kind="laser")


def test_unknown_option_names_the_known_ones(tmp_path):
    write_kitti(tmp_path)
    with pytest.raises(ValueError, match=r"kitti has no option 'speed'; it has camera_index"):
        open_source(f"{tmp_path},speed=2")


def test_option_of_wrong_type_is_named(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    with pytest.raises(ValueError, match=r"option rate takes float, not 'fast'"):
        open_source(f"{tmp_path},rate=fast")


def test_camera_from_four_numbers_takes_the_size_of_the_images(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    (frame,) = open_source(tmp_path, camera="50,51,32,24")
    assert (frame.camera.width, frame.camera.height) == (64, 48)
    np.testing.assert_array_equal(frame.camera.matrix, [[50, 0, 32], [0, 51, 24], [0, 0, 1]])
    assert len(frame.camera.distortion) == 0


def test_camera_may_stand_in_the_uri(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    assert open_source(f"{tmp_path},camera=50,51,32,24,rate=5").camera.matrix[1, 1] == 51


def test_camera_from_ros_yaml(tmp_path):
    write_pictures(tmp_path / "images", ["a.png"])
    yaml = write_camera_yaml(tmp_path / "camera.yaml")
    (frame,) = open_source(tmp_path / "images", camera=yaml)
    np.testing.assert_array_equal(
        frame.camera.matrix, [[50.5, 0, 31.5], [0, 50.25, 23.5], [0, 0, 1]]
    )
    np.testing.assert_array_equal(frame.camera.distortion, [0.1, -0.2, 0.001, 0.002, 0])
    assert frame.camera.model == "plumb_bob"


def test_camera_that_is_given_wins_over_the_recorded_one(tmp_path):
    write_kitti(tmp_path)
    assert open_source(tmp_path, camera="77,77,32,24").camera.matrix[0, 0] == 77


def test_missing_camera_file_is_named(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    with pytest.raises(FileNotFoundError, match=r"camera calibration /no/camera\.yaml"):
        open_source(tmp_path, camera="/no/camera.yaml")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("image_width: 64\n", "lacks 'image_height'"),
        ("[1, 2]\n", "camera.yaml"),
        ("a: [\n", "camera.yaml"),
    ],
)
def test_broken_camera_file_is_named(tmp_path, text, reason):
    write_pictures(tmp_path / "images", ["a.png"])
    (tmp_path / "camera.yaml").write_text(text)
    with pytest.raises(ValueError, match=reason):
        open_source(tmp_path / "images", camera=tmp_path / "camera.yaml")


def test_three_numbers_are_no_camera(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    with pytest.raises(ValueError, match=r"3 numbers, expected fx,fy,cx,cy"):
        open_source(tmp_path, camera="50,32,24")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"matrix": np.diag([np.nan, 1, 1])}, "finite"),
        ({"matrix": np.diag([0.0, 1, 1])}, "focal lengths above 0"),
        ({"matrix": np.eye(4)}, r"shape \(3, 3\)"),
        ({"matrix": np.array([[50, 0, 0], [0, 50, 0], [32, 24, 1]])}, "transposed"),
        ({"distortion": [1.0, 2.0, 3.0]}, "takes k1, k2, p1, p2, k3.* not 3 coefficients"),
        ({"distortion": [0.1] * 15}, "not 15 coefficients"),
        ({"distortion": [0.1] * 5, "model": "equidistant"}, "takes k1, k2, k3, k4"),
        ({"model": "fov"}, "'fov' is not supported: use plumb_bob"),
        ({"distortion": [np.inf] * 4}, "not finite"),
    ],
)
def test_impossible_camera_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        Camera(**{"width": 64, "height": 48, "matrix": np.eye(3), **fields})


def test_stamp_of_a_frame_in_seconds():
    assert Frame(1_500_000_000, picture(0)).stamp == 1.5


@pytest.mark.parametrize(
    ("dtype", "shape", "encoding"),
    [
        ("uint8", (4, 4), "mono8"),
        ("uint16", (4, 4), "mono16"),
        ("uint8", (4, 4, 3), "bgr8"),
        ("uint16", (4, 4, 3), "bgr16"),
    ],
)
def test_encoding_of_a_frame(dtype, shape, encoding):
    assert Frame(0, np.zeros(shape, dtype)).encoding == encoding


def test_sources_do_not_import_ros():
    program = (
        "import sys, feature_booster_ros.sources;"
        "sys.exit(any(name in sys.modules for name in ('rclpy', 'sensor_msgs', 'rosbags')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
