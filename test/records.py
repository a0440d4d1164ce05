# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small records, as they come out of cameras and data sets, for the tests of sources and player."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags import rosbag2
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_typestore


def shared(name: str) -> Path:
    """Return a folder of real data, of FEATURE_BOOSTER_DATA or beside the checkout, or skip."""
    folders = [Path(__file__).resolve().parents[2] / "shared" / "data"]
    if os.environ.get("FEATURE_BOOSTER_DATA"):
        folders.insert(0, Path(os.environ["FEATURE_BOOSTER_DATA"]).expanduser())
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    pytest.skip(f"needs real data: there is no {folders[0] / name} (CONTRIBUTING.md)")


def picture(seed: int, width: int = 64, height: int = 48, color: bool = False) -> np.ndarray:
    """Noise that no other seed has."""
    shape = (height, width, 3) if color else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_pictures(
    folder: Path, names: list[str], width: int = 64, height: int = 48, color: bool = False
) -> list[np.ndarray]:
    """Write lossless pictures under `names`; returns their pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [picture(seed, width, height, color) for seed in range(len(names))]
    for name, image in zip(names, pictures, strict=True):
        assert cv2.imwrite(str(folder / name), image)
    return pictures


def write_kitti(folder: Path, count: int = 4) -> list[np.ndarray]:
    """An odometry sequence with cameras 0 and 1, half a meter apart, driving along z at 10 m/s."""
    names = [f"{index:06d}.png" for index in range(count)]
    pictures = write_pictures(folder / "image_0", names)
    write_pictures(folder / "image_1", names)
    (folder / "times.txt").write_text("".join(f"{index / 10:e}\n" for index in range(count)))
    (folder / "calib.txt").write_text(
        "P0: 50 0 32 0 0 50 24 0 0 0 1 0\nP1: 50 0 32 -25 0 50 24 0 0 0 1 0\n"
    )
    (folder / "poses.txt").write_text(
        "".join(f"1 0 0 0 0 1 0 0 0 0 1 {index}\n" for index in range(count))
    )
    return pictures


def write_tum(folder: Path) -> list[np.ndarray]:
    """A sequence of three images that turns by 90 degrees about z in 0.2 s."""
    stamps = ["1305031102.175304", "1305031102.211214", "1305031102.243211"]
    pictures = write_pictures(
        folder / "rgb", [f"{stamp}.png" for stamp in stamps], width=640, height=480, color=True
    )
    (folder / "rgb.txt").write_text(
        "# color images\n" + "".join(f"{stamp} rgb/{stamp}.png\n" for stamp in stamps)
    )
    (folder / "groundtruth.txt").write_text(
        "# timestamp tx ty tz qx qy qz qw\n"
        "1305031102.1753 0 0 0 0 0 0 1\n"
        "1305031102.2112 1 0 0 0 0 0.7071067811865476 0.7071067811865476\n"
        "1305031102.3753 2 0 0 0 0 0.7071067811865476 0.7071067811865476\n"
    )
    return pictures


def write_euroc(folder: Path) -> list[np.ndarray]:
    """A sequence of cam0 with distortion; it flies along x, with the camera 0.1 m along y of it."""
    camera = folder / "mav0" / "cam0"
    stamps = [1403636579763555584, 1403636579813555456, 1403636579863555584]
    pictures = write_pictures(camera / "data", [f"{stamp}.png" for stamp in stamps])
    (camera / "data.csv").write_text(
        "#timestamp [ns],filename\r\n" + "".join(f"{stamp},{stamp}.png\r\n" for stamp in stamps)
    )
    (camera / "sensor.yaml").write_text(
        "sensor_type: camera\n"
        "T_BS:\n  cols: 4\n  rows: 4\n"
        "  data: [1, 0, 0, 0,\n         0, 1, 0, 0.1,\n         0, 0, 1, 0,\n         0, 0, 0, 1]\n"
        "rate_hz: 20\nresolution: [64, 48]\ncamera_model: pinhole\n"
        "intrinsics: [45.8, 45.7, 36.7, 24.8] #fu, fv, cu, cv\n"
        "distortion_model: radial-tangential\n"
        "distortion_coefficients: [-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05]\n"
    )
    truth = folder / "mav0" / "state_groundtruth_estimate0"
    truth.mkdir()
    (truth / "data.csv").write_text(
        "#timestamp, p_x, p_y, p_z, q_w, q_x, q_y, q_z, v_x\n"
        + "".join(f"{stamp},{index},0,0,1,0,0,0,0\n" for index, stamp in enumerate(stamps))
    )
    return pictures


def write_camera_yaml(path: Path) -> Path:
    """A calibration as ROS's camera_calibration writes it."""
    path.write_text(
        "image_width: 64\nimage_height: 48\ncamera_name: narrow_stereo\n"
        "camera_matrix:\n  rows: 3\n  cols: 3\n  data: [50.5, 0, 31.5, 0, 50.25, 23.5, 0, 0, 1]\n"
        "distortion_model: plumb_bob\n"
        "distortion_coefficients:\n  rows: 1\n  cols: 5\n  data: [0.1, -0.2, 0.001, 0.002, 0]\n"
        "rectification_matrix:\n  rows: 3\n  cols: 3\n  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]\n"
        "projection_matrix:\n  rows: 3\n  cols: 4\n"
        "  data: [50, 0, 31, 0, 0, 50, 23, 0, 0, 0, 1, 0]\n"
    )
    return path


def write_video(path: Path, count: int = 6, rate: float = 25.0) -> list[np.ndarray]:
    """An MJPG .avi of flat frames, each brighter than the last."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (64, 48))
    assert writer.isOpened()  # OpenCV writes MJPG by itself
    frames = [np.full((48, 64, 3), 12 * index, np.uint8) for index in range(count)]
    for frame in frames:
        writer.write(frame)
    writer.release()
    return frames


class BagWriter:
    """Writes image topics into a new rosbag2 with the package rosbags.

    Args:
        path: Folder of the bag.
        storage: "mcap" or "sqlite3".
        compression: "FILE", "MESSAGE", "STORAGE" (mcap's own) or None, by zstd.
    """

    def __init__(self, path: Path, storage: str, compression: str | None = None) -> None:
        self.store = get_typestore(Stores.ROS2_HUMBLE)
        plugin = StoragePlugin[storage.upper()]
        self._writer = rosbag2.Writer(path, version=9, storage_plugin=plugin)
        if compression:
            self._writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
        self._connections = {}
        self.delay_ns = 1_000_000
        """From a message's stamp to its recording."""
        self.frame_id = "camera"
        """Of the messages' headers."""

    def __enter__(self) -> BagWriter:
        self._writer.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()

    def image(self, topic: str, stamp_ns: int, image: np.ndarray, encoding: str = "mono8") -> None:
        """Write a sensor_msgs/Image of the pixels as they are."""
        height, width = image.shape[:2]
        pixels = np.ascontiguousarray(image)
        self.write(
            topic,
            "sensor_msgs/msg/Image",
            stamp_ns,
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=pixels.strides[0],
            data=pixels.view(np.uint8).ravel(),
        )

    def compressed_image(
        self,
        topic: str,
        stamp_ns: int,
        image: np.ndarray,
        format: str = "mono8; png compressed ",
    ) -> None:
        """Write a sensor_msgs/CompressedImage in PNG."""
        encoded = cv2.imencode(".png", image)[1].ravel()
        self.write(
            topic,
            "sensor_msgs/msg/CompressedImage",
            stamp_ns,
            format=format,
            data=encoded,
        )

    def camera_info(
        self,
        topic: str,
        stamp_ns: int,
        focal: float = 50,
        roi: tuple[int, int, int, int, bool] = (0, 0, 0, 0, False),
        **fields: object,
    ) -> None:
        """Write a CameraInfo for 64 x 48 pixels.

        Args:
            roi: x_offset, y_offset, height, width, do_rectify.
            fields: Of the message, to set otherwise.
        """
        fields = {
            "height": 48,
            "width": 64,
            "distortion_model": "plumb_bob",
            "d": np.array([0.1, 0, 0, 0, 0]),
            # Zero as a whole says that the camera is not calibrated.
            "k": np.array([focal, 0, 32, 0, focal, 24, 0, 0, 1], np.float64) * (focal != 0),
            "r": np.eye(3).ravel(),
            "p": np.zeros(12),
            "binning_x": 0,
            "binning_y": 0,
            "roi": self.store.types["sensor_msgs/msg/RegionOfInterest"](*roi),
            **fields,
        }
        self.write(topic, "sensor_msgs/msg/CameraInfo", stamp_ns, **fields)

    def declare(self, topic: str, msgtype: str) -> None:
        """Add a topic, also one that gets no messages."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, msgtype, typestore=self.store
            )

    def write(self, topic: str, msgtype: str, stamp_ns: int, **fields: object) -> None:
        """Write a message with a header, recorded `delay_ns` after its stamp."""
        self.declare(topic, msgtype)
        types = self.store.types
        time = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))
        message = types[msgtype](header=types["std_msgs/msg/Header"](time, self.frame_id), **fields)
        self._writer.write(
            self._connections[topic],
            stamp_ns + self.delay_ns,
            self.store.serialize_cdr(message, msgtype),
        )
