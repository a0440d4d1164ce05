# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the nodes under hostile input, overload, kill -9 and lifecycle cycles; print what happened.

    make soak                                   # half an hour
    make soak SOAK="--minutes 5 --parts fuzz,kill --seed 7"

Each part prints a row per node: memory, threads and descriptors before and after, and what the part
is about. In 30 minutes they are 20,000 malformed messages, 10 minutes of five times the images that
booster_node can take, 50 kills and 100 lifecycle cycles one after the other, beside 30 minutes of
playing in a loop. The exit status is 1 when a node ended, a valid frame was not answered, or a
thread or descriptor leaked. docs/reliability.md has a run's figures.
"""

from __future__ import annotations

import argparse
import array
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from feature_booster_ros.live.listening_node import ListeningNode
from feature_booster_ros.live.node_process import NodeGroup, NodeProcess, use_private_domain
from feature_booster_ros.msg import FeatureArray, MatchArray

PARTS = ("fuzz", "load", "kill", "cycles", "loop")
PIPELINE = ("booster_node", "matcher_node", "odometry_node")
VALID_EVERY = 50  # Malformed messages between two valid ones.
LARGEST_GROWTH = 60.0  # Growth of a node's memory after warming up that counts as a leak [MB].
ANSWER_PATIENCE = 20.0  # Longest wait for what a node publishes [s].
EXTREME = (0, 1, 2, 7, 8, 255, 4096, 30000, 2**31 - 1, 2**32 - 1)
FLOATS = (0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"))


@dataclass
class Usage:
    """What a process holds: resident memory in MB, threads, open descriptors."""

    memory: float
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Read it from /proc."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines if ":" in line)
        return cls(
            int(status["VmRSS"].split()[0]) / 1024,
            int(status["Threads"]),
            len(os.listdir(f"/proc/{pid}/fd")),
        )


class Soak:
    """The nodes under test, and a node that publishes to them and listens.

    Args:
        model: Of booster_node.
        folder: For the nodes' logs.
        seed: Of all randomness.
    """

    def __init__(self, model: str, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.group = NodeGroup()
        self.faults: list[str] = []
        self.node = ListeningNode("soak")
        self._model = model
        self._folder = folder
        self._starts = 0
        self._stamp = 1_000_000_000_000
        self._publishers: dict[str, Any] = {}
        self.last: dict[str, float] = {}
        self.stamps: set[int] = set()
        for message_type, topic in (
            (FeatureArray, "features"), (MatchArray, "matches"), (Odometry, "odometry"),
        ):  # fmt: skip
            self.node.create_subscription(
                message_type, topic, lambda message, topic=topic: self._note(topic, message), 50
            )
        generator = np.random.default_rng(seed)
        coarse = generator.integers(0, 255, (60, 80), np.uint8)
        self.picture = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)

    def start(self, name: str, namespace: str = "", **parameters: Any) -> NodeProcess:
        """Start a node, whose images and camera_info are those of the root namespace."""
        if name == "booster_node":
            parameters = {"model": self._model, "max_features": 500, **parameters}
        self._starts += 1
        return self.group.start(
            name,
            self._folder / f"{self._starts:03d}",
            namespace=namespace,
            parameters=parameters,
            remappings={topic: f"/{topic}" for topic in ("image", "camera_info")},
        )

    def start_all(self, names: tuple[str, ...] = PIPELINE, **parameters: Any) -> list[NodeProcess]:
        """Start nodes, and wait until they are active."""
        nodes = [self.start(name, **parameters) for name in names]
        for node in nodes:
            self.node.wait_until_active(node, self.group)
        return nodes

    def stop_all(self) -> None:
        """Stop all nodes."""
        self.group.stop()
        self.group.nodes.clear()

    def publish(self, topic: str, message: Any) -> None:
        """Publish a message, or the bytes of one as (type, bytes)."""
        message_type, content = message if isinstance(message, tuple) else (type(message), message)
        if topic not in self._publishers:
            profile = QoSProfile(depth=10)
            self._publishers[topic] = self.node.create_publisher(message_type, topic, profile)
            self.node.listen(3.0)
        self._publishers[topic].publish(content)

    def publish_frame(self) -> int:
        """Publish a valid image and its camera_info; the stamp, in nanoseconds."""
        self._stamp += 50_000_000
        info = camera_info()
        image = image_message(np.roll(self.picture, self.random.randrange(8), 1))
        for message in (info, image):
            message.header.frame_id = "camera"
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(self._stamp, 10**9)
        self.publish("camera_info", info)
        self.publish("image", image)
        return self._stamp

    def is_answered(self) -> bool:
        """Publish valid frames until one of them comes back as features."""
        deadline = time.monotonic() + ANSWER_PATIENCE
        sent = set()
        while time.monotonic() < deadline:
            sent.add(self.publish_frame())
            self.node.listen(0.3)
            if sent & self.stamps:
                return True
        return False

    def report(self, part: str, nodes: list[NodeProcess], before: list[Usage], text: str) -> None:
        """Print a row per node; note what leaked."""
        for node, was in zip(nodes, before, strict=True):
            if node.status is not None:
                self.faults.append(f"{part}: {node.name} ended with {node.status}")
                print(f"| {part} | {node.name} | ended with {node.status} | | | {text} |")
                continue
            now = Usage.of(node.pid)
            print(
                f"| {part} | {node.name} | {was.memory:.0f} to {now.memory:.0f} | {was.threads} to "
                f"{now.threads} | {was.descriptors} to {now.descriptors} | {text} |", flush=True,
            )  # fmt: skip
            if now.memory - was.memory > LARGEST_GROWTH:
                self.faults.append(f"{part}: {node.name} grew by {now.memory - was.memory:.0f} MB")
            if now.threads > was.threads + 2 or now.descriptors > was.descriptors + 5:
                self.faults.append(f"{part}: {node.name} leaks threads or descriptors")

    def _note(self, topic: str, message: Any) -> None:
        self.last[topic] = time.monotonic()
        if topic == "features":
            stamp = message.header.stamp
            self.stamps.add(stamp.sec * 10**9 + stamp.nanosec)


# Messages


def image_message(pixels: np.ndarray) -> Image:
    """Return a valid mono8 image."""
    height, width = pixels.shape
    image = Image(height=height, width=width, encoding="mono8", step=width)
    image.data = array.array("B", pixels.tobytes())
    return image


def camera_info() -> CameraInfo:
    """Return a valid camera_info of 640 x 480 pixels."""
    k = [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
    info = CameraInfo(width=640, height=480, distortion_model="plumb_bob", k=k, d=[0.0] * 5)
    info.p = [500.0, 0.0, 320.0, 0.0, 0.0, 500.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


class Malformed:
    """Endless malformed messages: a topic and a message, or its damaged bytes.

    Args:
        random_: Source of all choices.
        picture: A gray image.
    """

    def __init__(self, random_: random.Random, picture: np.ndarray) -> None:
        self._random = random_
        self._jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
        self._png = cv2.imencode(".png", picture[:64, :64])[1].tobytes()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        makers: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("image", self._image),
            ("image/compressed", self._compressed),
            ("camera_info", self._camera_info),
            ("features", self._features),
        )
        while True:
            topic, make = self._random.choice(makers)
            message = make()
            self._stamp(message)
            if self._random.random() < 0.2:
                yield topic, (type(message), self._damaged(serialize_message(message)))
            else:
                yield topic, message

    def _stamp(self, message: Any) -> None:
        stamp = message.header.stamp
        stamp.sec = self._random.choice((0, -1, -(2**31), 2**31 - 1, 1000, 1001))
        stamp.nanosec = self._random.choice((0, 1, 10**9, 2**32 - 1))
        message.header.frame_id = self._random.choice(("camera", "", "x" * 5000, "/a b\n\u2603"))

    def _bytes(self, count: int) -> array.array:
        return array.array("B", self._random.randbytes(count))

    def _damaged(self, content: bytes) -> bytes:
        """Change some bytes, or cut the end off; the first four tell the encoding."""
        damaged = bytearray(content)
        first = self._random.choice((0, 4))
        for _ in range(self._random.choice((1, 4, 64))):
            value = self._random.choice((0, 1, 127, 128, 255, self._random.randrange(256)))
            damaged[self._random.randrange(first, min(len(damaged), 1000))] = value
        if self._random.random() < 0.3:
            damaged = damaged[: self._random.randrange(4, len(damaged))]
        return bytes(damaged)

    def _image(self) -> Image:
        encoding = self._random.choice(
            ("mono8", "bgr8", "rgba8", "mono16", "16UC1", "32FC1", "64FC1", "bayer_rggb8",
             "yuv422_yuy2", "nv21", "", "nonsense", "8UC400", "x" * 1000)
        )  # fmt: skip
        size = self._random.choice(((64, 48), (48, 64), (1, 1), (2000, 3), (640, 480)))
        image = Image(width=size[0], height=size[1], encoding=encoding)
        image.step = size[0] * self._random.choice((0, 1, 2, 3, 4, 8))
        image.data = self._bytes(self._random.choice((0, 1, image.step * image.height)))
        for name in ("width", "height", "step"):
            if self._random.random() < 0.3:
                setattr(image, name, self._random.choice(EXTREME))
        image.is_bigendian = self._random.choice((0, 1, 255))
        return image

    def _compressed(self) -> CompressedImage:
        content = self._random.choice((self._jpeg, self._png, b"", b"\xff\xd8\xff"))
        content = content[: self._random.randint(0, len(content))]
        message = CompressedImage(
            format=self._random.choice(("jpeg", "mono8; png compressed ", "", "h264", "x" * 1000))
        )
        message.data = array.array("B", content)
        return message

    def _camera_info(self) -> CameraInfo:
        info = camera_info()
        info.k = self._floats(9)
        info.d = self._floats(self._random.choice((0, 1, 4, 5, 14, 1000)))
        info.distortion_model = self._random.choice(("plumb_bob", "equidistant", "", "nonsense"))
        if self._random.random() < 0.5:
            info.r, info.p = self._floats(9), self._floats(12)
        for name in ("width", "height", "binning_x", "binning_y"):
            if self._random.random() < 0.4:
                setattr(info, name, self._random.choice(EXTREME))
        info.roi.width, info.roi.x_offset = self._random.choices(EXTREME, k=2)
        return info

    def _features(self) -> FeatureArray:
        count = self._random.choice((0, 1, 10, 500, 500, 20000))
        message = FeatureArray(detector="sift", model="none", descriptor_length=128)
        for name in ("x", "y", "scale", "angle", "score"):
            length = count if self._random.random() < 0.9 else self._random.choice((0, 1, 77))
            values = np.frombuffer(self._random.randbytes(4 * length), "<f4")
            if self._random.random() < 0.7:
                values = np.nan_to_num(values, posinf=1.0, neginf=0.0) % 1000
            setattr(message, name, array.array("f", values.tobytes()))
        message.descriptor_type = self._random.choice((0, 1, 2, 3, 4, 200))
        message.descriptor_length = self._random.choice((128, 128, 256, 0, 7, 2**32 - 1))
        message.descriptors = self._bytes(min(count * 128 * 4, 3_000_000))
        message.camera_info = self._camera_info() if self._random.random() < 0.5 else camera_info()
        return message

    def _floats(self, count: int) -> list[float]:
        return [self._random.choice((*FLOATS, 500.0, 240.0, 1.0)) for _ in range(count)]


# Parts


def fuzz(soak: Soak, share: float) -> None:
    """Send malformed messages, and valid frames in between."""
    compressed = soak.start("booster_node", "compressed", image_transport="compressed", lazy=False)
    nodes = [*soak.start_all(), compressed]
    messages, count = iter(Malformed(soak.random, soak.picture)), round(20_000 * share)
    answered = asked = 0
    before: list[Usage] = []
    for number in range(count):
        topic, message = next(messages)
        soak.publish(topic, message)
        if number % 4 == 0:
            soak.node.listen(0.01)
        if number % VALID_EVERY == 0:
            asked += 1
            answered += soak.is_answered()
        if number == count // 5:
            before = [Usage.of(node.pid) for node in nodes]
        if any(node.status is not None for node in nodes):
            print(f"after {number} messages, the last {message!r:.300}")
            break
    lines = sum(len(node.log.read_bytes().splitlines()) for node in nodes)
    if answered < asked:
        soak.faults.append(f"fuzz: {asked - answered} of {asked} valid frames were not answered")
    text = f"{number + 1} messages, {answered} of {asked} valid answered, {lines} lines of log"
    soak.report("fuzz", nodes, before or [Usage(0, 0, 0)] * len(nodes), text)


def load(soak: Soak, share: float) -> None:
    """Send five times as many images as booster_node can take."""
    nodes = soak.start_all()
    soak.is_answered()
    begun, took = time.monotonic(), 0
    while time.monotonic() - begun < 5.0:
        took += soak.is_answered()
    rate = 5 * took / (time.monotonic() - begun)
    before = [Usage.of(node.pid) for node in nodes]
    sent: dict[int, float] = {}
    ages: list[float] = []
    begun = time.monotonic()
    while (now := time.monotonic()) - begun < 600 * share:
        sent[soak.publish_frame()] = now
        soak.node.listen(max(0.0, 1 / rate - (time.monotonic() - now)))
        ages += [time.monotonic() - sent.pop(stamp) for stamp in soak.stamps & sent.keys()]
        soak.stamps.clear()
    ages.sort()
    text = (
        f"{rate:.0f} images/s sent, {len(ages) / 600 / share:.1f} answered, oldest "
        f"{ages[-1]:.1f} s, median {ages[len(ages) // 2]:.2f} s"
    )
    soak.report("load", nodes, before, text)


def kill(soak: Soak, share: float) -> None:
    """Kill each node in turn, start it again, and wait until the chain answers."""
    nodes = dict(zip(PIPELINE, soak.start_all(), strict=True))
    player = soak.start("image_player_node", source="rendered", loop=True, rate=5.0)
    soak.node.wait_until_active(player, soak.group)
    topics = dict(zip(PIPELINE, ("features", "matches", "odometry"), strict=True))
    times = max(3, round(50 * share))
    delays: dict[str, list[float]] = {name: [] for name in PIPELINE}
    for number in range(times):
        name = PIPELINE[number % len(PIPELINE)]
        os.kill(nodes[name].pid, signal.SIGKILL)
        soak.group.nodes.remove(nodes[name])
        nodes[name].stop()
        nodes[name] = soak.start(name)
        while "active:" not in nodes[name].output():
            soak.group.check()
            soak.node.listen(0.05)
        ready = time.monotonic()
        # The frame that was in work at the ready line counts neither way.
        while soak.last.get(topics[name], 0.0) < ready and time.monotonic() - ready < 60:
            soak.node.listen(0.05)
        delays[name].append(time.monotonic() - ready)
        soak.node.listen(2.0)
    for name, seconds in delays.items():
        print(
            f"| kill | /{name} | | | | killed {len(seconds)} times, answers "
            f"{', '.join(f'{each:.1f}' for each in sorted(seconds))} s after its ready line |",
            flush=True,
        )
        if max(seconds) >= 60:
            soak.faults.append(f"kill: {name} did not come back")


def cycles(soak: Soak, share: float) -> None:
    """Take the nodes through their lifecycle again and again."""
    nodes = soak.start_all()
    soak.is_answered()
    times = max(5, round(100 * share))
    clients = [soak.node.create_client(ChangeState, f"{node.name}/change_state") for node in nodes]
    before: list[Usage] = []
    for number in range(times):
        for label in ("deactivate", "cleanup", "configure", "activate"):
            for node, client in zip(nodes, clients, strict=True):
                request = ChangeState.Request(transition=Transition(label=label))
                future = client.call_async(request)
                deadline = time.monotonic() + 60
                while not future.done() and time.monotonic() < deadline:
                    soak.node.listen(0.01)
                if not future.done() or not future.result().success:
                    soak.faults.append(f"cycles: {node.name} did not {label}")
        if number == times // 5:
            soak.is_answered()  # as before the report: work takes memory that cleanup gives back
            before = [Usage.of(node.pid) for node in nodes]
    soak.report("cycles", nodes, before, f"{times} cycles, answers: {soak.is_answered()}")


def loop(soak: Soak, share: float) -> None:
    """Play a recording again and again."""
    nodes = soak.start_all()
    nodes += soak.start_all(("image_player_node",), source="rendered", loop=True, rate=5.0)
    soak.node.listen(120 * share)
    before = [Usage.of(node.pid) for node in nodes]
    soak.node.listen(1680 * share)
    soak.report("loop", nodes, before, f"{1680 * share:.0f} s of the rendered sequence")


def main() -> int:
    """Run the parts; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="how long, about")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--model", default="none", help="of booster_node")
    parser.add_argument("--logs", type=Path, help="folder for the nodes' logs")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}: choose from {', '.join(PARTS)}")
    use_private_domain()
    share = arguments.minutes / 30
    folder = arguments.logs or Path(tempfile.mkdtemp(prefix="soak_"))
    print(f"seed {arguments.seed}, logs in {folder}\n")
    print("| part | node | memory [MB] | threads | descriptors | |\n|" + " --- |" * 6, flush=True)
    # Playing in a loop takes as long as all other parts: it goes on beside them.
    lanes = [[name for name in parts if name != "loop"], [name for name in parts if name == "loop"]]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = [
            pool.submit(
                run_parts, lane, share, arguments.model, folder / lane[0], arguments.seed, domain
            )
            for domain, lane in enumerate(lanes, int(os.environ["ROS_DOMAIN_ID"]))
            if lane
        ]
        faults = [fault for each in runs for fault in each.result()]
    print("\n" + ("\n".join(faults) or "no faults"))
    return int(bool(faults))


def run_parts(
    parts: list[str], share: float, model: str, folder: Path, seed: int, domain: int
) -> list[str]:
    """Run parts one after the other in a ROS domain; return the faults."""
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    folder.mkdir(parents=True)
    rclpy.init()
    soak = Soak(model, folder, seed)
    for name in parts:
        try:
            globals()[name](soak, share)
        finally:
            soak.stop_all()
    return soak.faults


if __name__ == "__main__":
    sys.exit(main())
