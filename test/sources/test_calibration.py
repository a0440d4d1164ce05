# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibration files: ROS, OpenCV, Kalibr, EuRoC, their addresses, and what is none of these."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from records import write_camera_yaml, write_pictures

from feature_booster_ros.camera import Calibration, Camera, RegionOfInterest
from feature_booster_ros.sources import calibration, open_source, read_camera

MATRIX = np.array([[458.6, 0, 367.2], [0, 457.3, 248.4], [0, 0, 1]])
COEFFICIENTS = [-0.28, 0.07, 0.0002, 0.00002, 0.001]


def test_ros_yaml_keeps_rectification_and_projection(tmp_path):
    camera = read_camera(write_camera_yaml(tmp_path / "camera.yaml"))
    assert (camera.width, camera.height, camera.matrix[1, 1]) == (64, 48, 50.25)
    np.testing.assert_array_equal(camera.distortion, [0.1, -0.2, 0.001, 0.002, 0])
    assert camera.calibration.p[:4] == (50, 0, 31, 0)
    assert camera.as_rectified().matrix[0, 0] == 50


def test_a_source_of_rectified_images_takes_p(tmp_path):
    write_pictures(tmp_path / "images", ["a.png"])
    path = write_camera_yaml(tmp_path / "camera.yaml")
    (frame,) = open_source(f"{tmp_path / 'images'},camera={path},rectified=true")
    assert (frame.camera.matrix[0, 0], frame.camera.is_pinhole) == (50, True)
    (frame,) = open_source(tmp_path / "images", camera=path, rectified=True)
    assert frame.camera.rectified
    (frame,) = open_source(f"{tmp_path / 'images'},camera={path},rectified=false")
    assert frame.camera.matrix[0, 0] == 50.5
    (frame,) = open_source(tmp_path / "images", camera="50,50,32,24", rectified=True)
    assert frame.camera.calibration.width == 64
    with pytest.raises(ValueError, match="give camera=FILE with rectified"):
        open_source(tmp_path / "images", rectified=True)
    with pytest.raises(ValueError, match="rectified takes bool, not 'yes'"):
        open_source(f"{tmp_path / 'images'},camera={path},rectified=yes")


def test_a_camera_info_as_ros2_topic_echo_prints_it(tmp_path):
    path = tmp_path / "info.yaml"
    path.write_text(
        "header:\n  stamp: {sec: 1, nanosec: 2}\n  frame_id: left\n"
        "height: 480\nwidth: 640\ndistortion_model: plumb_bob\nd: [0.1, 0.0, 0.0, 0.0, 0.0]\n"
        f"k: {MATRIX.ravel().tolist()}\nr: {np.eye(3).ravel().tolist()}\n"
        f"p: {[400.0, 0, 320, -40, 0, 400, 240, 0, 0, 0, 1, 0]}\nbinning_x: 2\nbinning_y: 2\n"
        "roi: {x_offset: 40, y_offset: 20, height: 400, width: 500, do_rectify: true}\n---\n"
    )
    camera = read_camera(path)
    assert (camera.width, camera.height) == (250, 200)
    assert camera.calibration.roi == RegionOfInterest(40, 20, 400, 500, True)
    assert camera.matrix[0, 2] == (367.2 - 40) / 2


@pytest.mark.parametrize("suffix", ["yaml", "xml", "json"])
@pytest.mark.parametrize("names", [("camera_matrix", "distortion_coefficients"),
                                   ("cameraMatrix", "distCoeffs")])  # fmt: skip
def test_opencv_file_storage(tmp_path, suffix, names):
    path = tmp_path / f"camera.{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("calibration_time", "today")
    storage.write("image_width", 752)
    storage.write("image_height", 480)
    storage.write(names[0], MATRIX)
    storage.write(names[1], np.array(COEFFICIENTS).reshape(5, 1))
    storage.release()
    camera = read_camera(path)
    np.testing.assert_array_equal(camera.matrix, MATRIX)
    np.testing.assert_array_equal(camera.distortion, COEFFICIENTS)
    assert (camera.width, camera.height, camera.model) == (752, 480, "plumb_bob")


def test_opencv_fisheye_without_a_size(tmp_path):
    path = tmp_path / "fisheye.yml"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("fisheye_model", 1)
    storage.write("camera_matrix", MATRIX)
    storage.write("distortion_coefficients", np.zeros((4, 1)))
    storage.release()
    camera = read_camera(path)
    assert (camera.model, camera.width, camera.is_pinhole) == ("equidistant", 0, False)
    write_pictures(tmp_path / "images", ["a.png"])
    (frame,) = open_source(tmp_path / "images", camera=path)
    assert (frame.camera.calibration.width, frame.camera.calibration.height) == (64, 48)


CAMCHAIN = {
    "cam0": {
        "camera_model": "pinhole", "intrinsics": [458.6, 457.3, 367.2, 248.4],
        "distortion_model": "radtan", "distortion_coeffs": [-0.28, 0.07, 0.0002, 0.00002],
        "resolution": [752, 480], "rostopic": "/cam0/image_raw",
    },
    "cam1": {
        "camera_model": "pinhole", "intrinsics": [191.0, 191.0, 255.0, 257.0],
        "distortion_model": "equidistant", "distortion_coeffs": [0.003, 0.0007, -0.002, 0.0002],
        "resolution": [512, 512], "rostopic": "/cam1/image_raw",
    },
    "cam2": {
        "camera_model": "omni", "intrinsics": [1.2, 457.3, 457.3, 367.2, 248.4],
        "distortion_model": "radtan", "distortion_coeffs": [-0.28, 0.07, 0.0002, 0.00002],
        "resolution": [752, 480],
    },
}  # fmt: skip


def test_kalibr_camchain(tmp_path):
    path = tmp_path / "camchain.yaml"
    path.write_text(yaml.safe_dump({"cam0": CAMCHAIN["cam0"]}))
    camera = read_camera(path)
    assert (camera.model, camera.width, camera.matrix[0, 2]) == ("plumb_bob", 752, 367.2)
    path.write_text(yaml.safe_dump(CAMCHAIN))
    fisheye = read_camera(f"{path}#cam1")
    assert (fisheye.model, fisheye.distortion[0]) == ("equidistant", 0.003)
    for address, reason in (
        (path, "cam0, cam1, cam2: choose one as in FILE#cam0"),
        (f"{path}#cam7", "no camera 'cam7'"),
        (f"{path}#cam2", "camera_model 'omni' is not supported"),
    ):
        with pytest.raises(ValueError, match=reason):
            read_camera(address)


def test_euroc_sensor_file(tmp_path):
    path = tmp_path / "sensor.yaml"
    entry = dict(CAMCHAIN["cam0"], distortion_model="radial-tangential")
    entry["distortion_coefficients"] = entry.pop("distortion_coeffs")
    path.write_text(yaml.safe_dump(entry))
    assert read_camera(path).model == "plumb_bob"


def test_addresses_of_files(tmp_path):
    path = write_camera_yaml(tmp_path / "left camera.yaml")
    assert read_camera(f"file://{path}").width == 64
    assert read_camera(path.as_uri()).width == 64


def test_addresses_in_packages(tmp_path, monkeypatch):
    pytest.importorskip("ament_index_python", reason="needs `make build` and `source env.sh`")
    index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "my_robot").touch()
    (tmp_path / "share" / "my_robot").mkdir()
    write_camera_yaml(tmp_path / "share" / "my_robot" / "camera.yaml")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert read_camera("package://my_robot/camera.yaml").width == 64
    with pytest.raises(FileNotFoundError, match=r"my_robot/other\.yaml does not exist"):
        read_camera("package://my_robot/other.yaml")
    with pytest.raises(ValueError, match="package 'no_robot' is not installed"):
        read_camera("package://no_robot/camera.yaml")


def test_addresses_in_packages_need_ros(monkeypatch):
    monkeypatch.setitem(sys.modules, "ament_index_python", None)
    with pytest.raises(ValueError, match="source the ROS environment"):
        read_camera("package://my_robot/camera.yaml")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[image]\n\nwidth\n640\n", "expected one of: ROS camera_info YAML.*Kalibr"),
        ("Camera1.fx: 458.654\nCamera1.fy: 457.296\n", "keys Camera1.fx, Camera1.fy are not"),
        ("image_width: 64\nimage_height: 48\n", "lacks 'camera_matrix'"),
        ("image_width: 64\nimage_height: 48\ncamera_matrix: {data: [1, 2]}\n", "expected 9"),
        ("image_width: 6\nimage_height: 4\ncamera_matrix: {data: [0,0,0,0,0,0,0,0,0]}\n", "zero"),
        ("cam0: {camera_model: pinhole}\n", "lacks 'intrinsics'"),
        ("%YAML:1.0\n---\nsize: 3\n", "keys size are not"),
    ],
)
def test_what_is_no_calibration_is_named(tmp_path, text, reason):
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"camera\.yaml.*{reason}"):
        read_camera(path)


def test_a_camera_is_written_and_read_again(tmp_path):
    recorded = Calibration(
        640, 480, "rational_polynomial", (0.1,) * 8, (500.0, 0, 320, 0, 510, 240, 0, 0, 1),
        tuple(np.eye(3).ravel()), (400.0, 0, 320, -40, 0, 400, 240, 0, 0, 0, 1, 0), 2, 2,
    )  # fmt: skip
    for rectified in (False, True):
        camera = Camera.of_calibration(recorded, rectified)
        path = Path(tmp_path, f"{rectified}.yaml")
        calibration.write_camera(camera, path)
        again = read_camera(path)
        assert again.calibration == recorded.of_image(rectified)
        assert (again.width, again.matrix[0, 0]) == (320, 200 if rectified else 250)


@pytest.mark.parametrize("suffix", ["yaml", "xml"])
def test_opencv_coefficients_as_a_plain_list(tmp_path, suffix):
    """FileStorage writes a vector of numbers so; losing it would leave the lens undistorted."""
    path = tmp_path / f"camera.{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("camera_matrix", np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]))
    storage.startWriteStruct("distortion_coefficients", cv2.FileNode_SEQ)
    for value in (0.1, -0.2, 0.001, 0.002):
        storage.write("", value)
    storage.endWriteStruct()
    storage.release()
    assert read_camera(path).distortion.tolist() == [0.1, -0.2, 0.001, 0.002]


def test_ros_yaml_with_opencv_s_first_line(tmp_path):
    path = write_camera_yaml(tmp_path / "camera.yaml")
    plain = read_camera(path)
    path.write_text("%YAML:1.0\n---\n" + path.read_text())
    assert read_camera(path).calibration == plain.calibration
