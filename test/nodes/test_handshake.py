# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes that know each other before the first message, also where discovery is slow."""

from __future__ import annotations

import subprocess

import pytest
import rclpy
from conftest import newest_values, wait_for
from diagnostic_msgs.msg import DiagnosticArray
from records import write_kitti
from sensor_msgs.msg import CameraInfo, Image

FRAMES = 20
LOSE_HALF = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int is_lost(int descriptor) {
    static unsigned seed;
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (!seed) seed = getpid();
    return !getsockname(descriptor, (struct sockaddr *)&address, &size) &&
           address.ss_family == AF_INET && rand_r(&seed) % 2;
}

ssize_t recvmsg(int descriptor, struct msghdr *message, int flags) {
    ssize_t (*receive)(int, struct msghdr *, int) = dlsym(RTLD_NEXT, "recvmsg");
    ssize_t size;
    do size = receive(descriptor, message, flags);
    while (size > 0 && is_lost(descriptor));
    return size;
}

ssize_t recvfrom(int descriptor, void *buffer, size_t length, int flags,
                 struct sockaddr *sender, socklen_t *sender_size) {
    ssize_t (*receive)(int, void *, size_t, int, struct sockaddr *, socklen_t *) =
        dlsym(RTLD_NEXT, "recvfrom");
    ssize_t size;
    do size = receive(descriptor, buffer, length, flags, sender, sender_size);
    while (size > 0 && is_lost(descriptor));
    return size;
}
"""
"""A library that loses half of the datagrams of a process: discovery then takes seconds, and is
one-sided meanwhile. The messages themselves go through shared memory.
"""


@pytest.fixture
def silent(namespace):
    """A node that nobody spins: it answers to nothing."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("silent", namespace=namespace, context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_node_says_whether_its_publishers_know_it(ros, start_node, silent):
    booster = start_node("booster_node", parameters={"model": "none"})
    booster.wait_for_output("active")
    image, camera_info = f"{ros.namespace}/image", f"{ros.namespace}/camera_info"
    answer = ros.connection(booster.full_name)
    assert not answer.success
    assert answer.message == f"nobody publishes {camera_info}; nobody publishes {image}"
    ros.publisher(Image, "image")
    publisher = silent.create_publisher(CameraInfo, "camera_info", 1)
    expected = f"no answer of {ros.namespace}/silent, which publishes {camera_info}"
    wait_for(
        lambda: ros.connection(booster.full_name).message == expected, f"the message {expected!r}"
    )
    silent.destroy_publisher(publisher)
    ros.publisher(CameraInfo, "camera_info")
    wait_for(lambda: ros.connection(booster.full_name).success, "a connected booster_node")


def test_player_waits_for_an_answer_but_not_for_ever(tmp_path, start_node, silent):
    write_kitti(tmp_path)
    silent.create_subscription(Image, "image", print, 1)
    player = start_node(
        "image_player_node", parameters={"source": str(tmp_path), "wait_for_subscribers": 1}
    )
    assert player.wait() == 0
    waiting, _, played = player.output().partition("playing without an answer of")
    assert "end of" not in waiting
    assert played.startswith(f" {silent.get_fully_qualified_name()}: first frames may be lost")
    assert "4 frames" in played


def test_first_frames_arrive_everywhere_though_half_of_the_datagrams_are_lost(
    tmp_path, monkeypatch, ros, start_node
):
    (tmp_path / "lose.c").write_text(LOSE_HALF)
    library = tmp_path / "lose.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", library, tmp_path / "lose.c", "-ldl"], check=True
    )
    diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
    write_kitti(tmp_path / "images", count=FRAMES)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    names = ["booster_node", "matcher_node", "odometry_node"]
    start_node("booster_node", parameters={"model": "none"})
    start_node("matcher_node", parameters={"lazy": False})
    start_node("odometry_node")
    player = start_node(
        "image_player_node",
        parameters={"source": str(tmp_path / "images"), "wait_for_nodes": ",".join(names)},
    )
    player.wait_for_output("end of")

    def are_complete():
        booster, *others = (
            newest_values(diagnostics, f"{ros.namespace}/{name}") or {"received": 0, "dropped": 0}
            for name in names
        )
        # A busy machine may leave some images out, but not in silence.
        published = int(booster["received"]) - int(booster["dropped"])
        return int(booster["received"]) == FRAMES and all(
            int(other["received"]) == published for other in others
        )

    wait_for(are_complete, "all frames received")
