# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Count how many FeatureArrays arrive, and how late, by the type of their descriptors.

    source env.sh && python3 benchmarks/transport.py                # seven minutes
    FASTDDS_DEFAULT_PROFILES_FILE=config/fastdds.xml python3 benchmarks/transport.py --rates 30

The publisher and each subscription run in separate processes, as nodes do. Latency is from the
stamp, which is set before the descriptors are encoded, to the callback of the subscription.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing as mp
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from feature_booster_ros.evaluation.output import format_table
from feature_booster_ros.features import Features
from feature_booster_ros.live.node_process import use_private_domain
from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.nodes.messages import FLOAT_DESCRIPTORS, to_feature_array
from feature_booster_ros.nodes.qos import stream_profile

TYPES = (*reversed(FLOAT_DESCRIPTORS), "binary")
DEPTH = 5  # Of publisher and subscriptions, as the nodes' default.
WARM_UP = "warm-up"  # frame_id of the messages that are not counted.
WARM_UP_MESSAGES = 5
PATIENCE = 20.0  # Time for the subscriptions to be found [s].
GRACE = 1.0  # Time in which late messages arrive [s].


def main() -> None:
    """Measure each combination and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--types", nargs="+", choices=TYPES, default=TYPES)
    parser.add_argument("--rates", nargs="+", type=float, default=[10.0, 30.0], help="Hz")
    parser.add_argument("--subscriptions", nargs="+", type=int, default=[1, 3])
    parser.add_argument("--features", type=int, default=1400)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each combination")
    options = parser.parse_args()
    use_private_domain()
    rclpy.init(args=[])
    node = rclpy.create_node("transport_benchmark")
    publisher = node.create_publisher(FeatureArray, "features", stream_profile("reliable", DEPTH))
    rows = []
    for kind, reliability, count, rate in itertools.product(
        options.types, ("reliable", "best_effort"), options.subscriptions, options.rates
    ):
        sent = round(rate * options.seconds)
        size, latencies = measure(publisher, kind, reliability, count, rate, sent, options.features)
        arrived = [len(own) for own in latencies]
        times = np.concatenate([*latencies, [np.nan]])
        median, high = np.nanpercentile(times, [50, 95])
        rows.append(
            [kind, f"{size / 1e3:.0f} kB", reliability, str(count), f"{rate:g}",
             f"{min(arrived)} of {sent}", f"{median:.1f}, {high:.1f}"]
        )  # fmt: skip
        print(*rows[-1], flush=True)
    print(f"\n{options.features} features; arrived: the subscription with the fewest\n")
    print(
        format_table(
            ["descriptors", "message", "subscriptions", "number", "Hz", "arrived",
             "latency in ms: median, 95th percentile"],
            rows,
        )
    )  # fmt: skip


def measure(
    publisher: Publisher,
    kind: str,
    reliability: str,
    count: int,
    rate: float,
    sent: int,
    features: int,
) -> tuple[int, list[list[float]]]:
    """Publish to ``count`` subscriptions.

    Returns:
        Bytes of the descriptors and five numbers of each feature, and the latency of each message
        that arrived [ms], a list for each subscription.
    """
    context = mp.get_context("spawn")
    stop, results = context.Event(), context.Queue()
    listeners = [
        context.Process(target=listen, args=(reliability, stop, results)) for _ in range(count)
    ]
    for listener in listeners:
        listener.start()
    deadline = time.monotonic() + PATIENCE
    while publisher.get_subscription_count() < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{count} subscriptions were not found within {PATIENCE:g} s")
        time.sleep(0.1)
    time.sleep(GRACE)  # The subscriptions have to find the publisher, too.
    contents = make_features(features, kind == "binary")
    begun = time.monotonic()
    for number in range(WARM_UP_MESSAGES + sent):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        message = to_feature_array(
            contents,
            Header(
                stamp=Time(nanoseconds=time.time_ns()).to_msg(),
                frame_id=WARM_UP if number < WARM_UP_MESSAGES else "camera",
            ),
            CameraInfo(width=640, height=480),
            "sift",
            "none",
            "float32" if kind == "binary" else kind,
        )
        publisher.publish(message)
    time.sleep(GRACE)
    stop.set()
    latencies = [results.get() for _ in listeners]
    for listener in listeners:
        listener.join()
    return len(message.descriptors) + 5 * 4 * features, latencies


def listen(reliability: str, stop: Event, results: Queue[list[float]]) -> None:
    """Receive messages until ``stop`` is set, and put their latencies [ms] into ``results``."""
    rclpy.init(args=[])
    node = rclpy.create_node("listener")
    latencies: list[float] = []

    def receive(message: FeatureArray) -> None:
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        if message.header.frame_id != WARM_UP:
            latencies.append((time.time_ns() - stamp) / 1e6)

    node.create_subscription(FeatureArray, "features", receive, stream_profile(reliability, DEPTH))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.1)
    results.put(latencies)
    rclpy.shutdown()


def make_features(count: int, binary: bool) -> Features:
    """Return random features with descriptors of 128 floats, or of 256 bits."""
    random = np.random.default_rng(0)
    if binary:
        descriptors = random.integers(0, 256, (count, 32), np.uint8)
    else:
        descriptors = random.standard_normal((count, 128)).astype(np.float32)
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    numbers = random.random((5, count)).astype(np.float32)
    return Features(numbers[:2].T.copy(), *numbers[2:], descriptors)


if __name__ == "__main__":
    main()
