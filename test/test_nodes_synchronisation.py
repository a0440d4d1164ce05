# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of image and camera_info; with message_filters where it is installed, else with what stands
in.
"""

import threading
import time

import numpy as np
import pytest
from camera_messages import camera_info_message, image_message
from conftest import wait_for
from sensor_msgs.msg import CameraInfo, Image

from feature_booster_ros.nodes.newest_worker import NewestWorker
from feature_booster_ros.nodes.qos import stream_profile
from feature_booster_ros.nodes.synchronisation import ImageWithCameraInfo

PIXELS = np.zeros((2, 2), np.uint8)


class Camera:
    """Publishes to an ImageWithCameraInfo within one process and keeps what that hands on."""

    def __init__(self, ros, **options):
        self.ros = ros
        self.pairs = []
        self.input = ImageWithCameraInfo(
            ros.node,
            Image,
            "image",
            "camera_info",
            lambda image, info: self.pairs.append((seconds(image), seconds(info))),
            stream_profile("reliable", 100),
            **options,
        )

    def send(self, images=(), camera_infos=()):
        """Publishes messages with these stamps and waits until they have arrived."""
        before = self.input.images, self.input.camera_infos
        for stamp in images:
            self.ros.publish("image", image_message(PIXELS, "mono8", stamp))
        wait_for(lambda: self.input.images == before[0] + len(images), "all images")
        for stamp in camera_infos:
            self.ros.publish("camera_info", camera_info_message(2, 2, stamp))
        wait_for(
            lambda: self.input.camera_infos == before[1] + len(camera_infos), "all camera_infos"
        )


def seconds(message):
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def test_equal_stamps(ros):
    camera = Camera(ros)
    camera.send(images=[1, 1.25, 1.5], camera_infos=[1.25, 1.501, 1])
    assert camera.pairs == [(1.25, 1.25), (1, 1)]
    assert camera.input.pairs == 2


def test_approximate_stamps(ros):
    camera = Camera(ros, slop=0.05)
    camera.send(images=[1, 2, 3], camera_infos=[1.04, 2.06, 2.97])
    assert camera.pairs == [(1, pytest.approx(1.04)), (3, pytest.approx(2.97))]


def test_memory_is_bounded(ros):
    camera = Camera(ros, queue_size=4)
    camera.send(images=range(1, 51))
    camera.send(camera_infos=range(1, 51))
    assert camera.pairs == [(47, 47), (48, 48), (49, 49), (50, 50)]


def test_stamps_that_go_back_start_anew(ros):
    """A bag that loops: what was left over of its end must not push out its beginning."""
    camera = Camera(ros, queue_size=3)
    camera.send(images=[101, 102, 103, 104])
    camera.send(images=[1], camera_infos=[1])
    assert camera.pairs == [(1, 1)]


def test_destroyed_input_receives_nothing(ros):
    camera = Camera(ros)
    camera.send(images=[1], camera_infos=[1])
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
