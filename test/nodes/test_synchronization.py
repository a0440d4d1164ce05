# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images with their camera_info; with message_filters where it is installed, else with what stands
in.
"""

import collections
import threading
import time

import numpy as np
import pytest
from camera_messages import camera_info_message, image_message
from conftest import wait_for
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from feature_booster_ros.nodes.qos import stream_profile
from feature_booster_ros.nodes.synchronization import ImageWithCameraInfo
from feature_booster_ros.nodes.workers import NewestWorker

PIXELS = np.zeros((2, 2), np.uint8)


class Camera:
    """Publishes to an ImageWithCameraInfo within one process and keeps what that hands on: pairs of
    the image's stamp and the camera_info's, or None.
    """

    def __init__(self, ros):
        self.ros = ros
        self.pairs = []
        self.counts = collections.Counter()
        self.input = ImageWithCameraInfo(
            ros.node,
            Image,
            "image",
            f"{ros.namespace}/camera_info",
            lambda image, info: self.pairs.append((seconds(image), info and seconds(info))),
            lambda event: self.counts.update([event]),
            stream_profile("reliable", 100),
        )

    def image(self, *stamps, **fields):
        """Publishes images and waits until they have arrived."""
        before = self.input.images
        for stamp in stamps:
            message = image_message(PIXELS, "mono8", stamp)
            for name, value in fields.items():
                setattr(message.header, name, value)
            self.ros.publish("image", message)
        wait_for(lambda: self.input.images == before + len(stamps), "all images")

    def info(self, *stamps, width=2, frame_id="camera"):
        """Publishes camera_infos and waits until they have arrived."""
        before = self.input.camera_infos
        for stamp in stamps:
            message = camera_info_message(width, 2, stamp)
            message.header.frame_id = frame_id
            self.ros.publish("camera_info", message)
        wait_for(lambda: self.input.camera_infos == before + len(stamps), "all camera_infos")

    def expect(self, *pairs):
        """Waits until exactly these have been handed on in all."""
        wait_for(lambda: len(self.pairs) >= len(pairs), f"{len(pairs)} images handed on")
        assert self.pairs == list(pairs)


def seconds(message):
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


@pytest.fixture
def camera(ros):
    camera = Camera(ros)
    yield camera
    camera.input.destroy()


def test_equal_stamps_pair_whichever_comes_first(camera):
    camera.info(1)
    camera.image(1)
    camera.image(2)
    camera.info(2)
    camera.info(3, 4)
    camera.image(3, 4)
    camera.expect((1, 1), (2, 2), (3, 3), (4, 4))
    assert camera.input.choices == {"exact": 4} and camera.counts == {"received": 4}


def test_one_camera_info_serves_all_images(camera):
    camera.info(1)
    for stamp in range(2, 8):
        camera.image(stamp)
    camera.expect(*((stamp, 1) for stamp in range(2, 8)))
    assert camera.input.choice == "newest" and camera.input.camera_infos == 1


def test_camera_info_that_is_slightly_off_is_the_newest(camera):
    for stamp in range(1, 4):
        camera.image(stamp)
        camera.info(stamp + 0.001)
    camera.image(4)
    wait_for(lambda: len(camera.pairs) == 4, "4 images")
    assert [image for image, _ in camera.pairs] == [1, 2, 3, 4]
    assert camera.pairs[-1] == (4, pytest.approx(3.001))


def test_stamps_that_become_equal_are_paired_again(camera):
    """The first image has to do with an old camera_info; then each image is before its own."""
    camera.info(1)
    camera.image(2)
    camera.expect((2, 1))
    for stamp in range(3, 8):
        camera.image(stamp)
        camera.info(stamp)
    wait_for(lambda: len(camera.pairs) == 6, "6 images")
    assert camera.pairs[-2:] == [(6, 6), (7, 7)]
    assert [image for image, _ in camera.pairs] == [2, 3, 4, 5, 6, 7]


def test_an_image_whose_camera_info_is_lost_takes_the_last_and_keeps_its_place(camera):
    camera.info(1)
    camera.image(1)
    camera.image(2)
    camera.image(3)
    camera.info(3)
    camera.expect((1, 1), (2, 3), (3, 3))


def test_latched_camera_info_of_before_is_received_once(ros):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = ros.node.create_publisher(CameraInfo, "camera_info", latched)
    publisher.publish(camera_info_message(2, 2, 1))
    camera = Camera(ros)
    camera.image(5)
    camera.expect((5, 1))
    publisher.publish(camera_info_message(2, 2, 2))
    wait_for(lambda: camera.input.camera_infos == 2, "the second camera_info")
    camera.image(6)
    camera.expect((5, 1), (6, 2))
    assert camera.input.camera_infos == 2
    camera.input.destroy()


def test_frame_and_size_choose_among_camera_infos(camera):
    camera.info(1)
    camera.info(2, frame_id="other")
    camera.info(3, width=640)
    camera.image(9)
    camera.expect((9, 1))
    camera.image(10, frame_id="other")
    camera.expect((9, 1), (10, 2))


def test_without_camera_info_the_newest_images_wait_and_the_others_count_as_dropped(camera):
    camera.image(*range(1, 51))
    wait_for(lambda: camera.counts == {"received": 50, "dropped": 40}, "40 dropped images")
    assert not camera.pairs
    camera.info(0.5)
    camera.expect(*((stamp, 0.5) for stamp in range(41, 51)))
    assert not camera.input.is_waiting


def test_camera_info_of_another_frame_is_none(camera):
    camera.info(1, frame_id="other")
    camera.image(2)
    wait_for(lambda: camera.input.is_waiting, "an image that waits")
    assert not camera.pairs and camera.input.frames == ["other"]
    camera.ros.node.executor.create_task(camera.input.stop_waiting)
    camera.expect((2, None))
    assert camera.input.choice == "none"
    camera.image(3)
    camera.expect((2, None), (3, None))


def test_equal_stamps_of_two_frames_are_paired_and_reported_once(camera, monkeypatch):
    warnings = []
    logger = camera.ros.node.get_logger()
    monkeypatch.setattr(type(logger), "warning", lambda self, text, **kwargs: warnings.append(text))
    for stamp in (1, 2):
        camera.info(stamp, frame_id="other")
        camera.image(stamp)
    camera.info(3, frame_id="")
    camera.image(3)
    camera.expect((1, 1), (2, 2), (3, 3))
    assert len(warnings) == 1
    assert "is of frame 'other'" in warnings[0] and "'camera'" in warnings[0]


def test_stamps_before_1970_go_with_the_newest(camera):
    camera.info(-5)
    camera.image(-5, -4)
    camera.expect((-5, -5), (-4, -5))
    camera.info(1)
    camera.image(1)
    camera.expect((-5, -5), (-4, -5), (1, 1))


def test_stamps_that_go_back_restart(camera):
    """A bag that loops: what was left over of its end must not push out its beginning."""
    camera.image(*range(101, 121))
    camera.info(1)
    camera.image(1)
    wait_for(lambda: (1, 1) in camera.pairs, "the pair")


def test_images_of_one_stamp_are_all_handed_on(camera):
    camera.info(0)
    camera.image(0, 0, 0)
    wait_for(lambda: len(camera.pairs) == 3, "3 images")


def test_destroyed_input_receives_nothing(ros):
    camera = Camera(ros)
    camera.info(1)
    camera.image(1)
    camera.input.destroy()
    publishers = [ros.publisher(Image, "image"), ros.publisher(CameraInfo, "camera_info")]
    wait_for(
        lambda: not any(p.get_subscription_count() for p in publishers),
        "the end of both subscriptions",
    )


def test_worker_takes_the_newest_and_tells_what_it_drops():
    taken, started, go_on = [], threading.Event(), threading.Event()

    def work(item):
        taken.append(item)
        started.set()
        assert go_on.wait(60)

    worker = NewestWorker(work, "test")
    assert not worker.submit(0)
    assert started.wait(60)
    assert [worker.submit(item) for item in (1, 2, 3)] == [False, True, True]
    go_on.set()
    wait_for(lambda: len(taken) == 2, "the second item")
    worker.stop()
    assert taken == [0, 3]


def test_worker_lets_as_many_wait_as_it_has_room_for():
    taken, started, go_on = [], threading.Event(), threading.Event()

    def work(item):
        taken.append(item)
        started.set()
        assert go_on.wait(60)

    worker = NewestWorker(work, "test", capacity=2)
    worker.submit(0)
    assert started.wait(60)
    assert [worker.submit(item) for item in (1, 2, 3)] == [False, False, True]
    go_on.set()
    wait_for(lambda: len(taken) == 3, "the third item")
    worker.stop()
    assert taken == [0, 2, 3]


def test_worker_stops_after_the_item_at_hand():
    taken, started, go_on = [], threading.Event(), threading.Event()

    def work(item):
        started.set()
        assert go_on.wait(60)
        taken.append(item)

    worker = NewestWorker(work, "test")
    worker.submit(0)
    assert started.wait(60)
    worker.submit(1)
    threading.Timer(0.1, go_on.set).start()
    start = time.monotonic()
    worker.stop()
    assert taken == [0] and time.monotonic() - start < 25
