# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure the latency of live nodes: ``feature-booster benchmark live``.

image_player_node, booster_node, matcher_node and odometry_node run in separate processes, with
images at rising rates until they saturate.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
import yaml
from rclpy.signals import SignalHandlerOptions

from feature_booster_ros.benchmark.inputs import default_source, read_frames
from feature_booster_ros.benchmark.machine import Bystanders
from feature_booster_ros.progress import Progress

from ..nodes.booster_node_parameters import BoosterNodeParameters
from ..nodes.matcher_node_parameters import MatcherNodeParameters
from ..nodes.odometry_node_parameters import OdometryNodeParameters
from ..nodes.parameter_file import read_parameter_file
from ..nodes.parameters import NodeParameters
from ..nodes.process import initialize
from .latency_images import prepare_images, write_frame_camera
from .latency_recorder import LiveRecorder
from .latency_report import RateResult, Stream, live_text, own_share, write_live
from .node_process import NodeError, NodeGroup, NodeProcess, use_private_domain

NAMESPACE = "live"
# Number of messages of each topic that have to arrive before the measurement.
_FIRST_MESSAGES = 5
# Time for them to arrive [s].
_FIRST_PATIENCE = 60.0
# Time at a new rate before the measurement [s].
_SETTLE = 1.0
# Least time that is waited for late messages [s].
_GRACE = 1.0
_DIAGNOSTICS_PERIOD = 0.5  # seconds
# Parameters of the nodes unless the user gives others.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "booster_node": {
        "model": "ORB+Boost-B",
        "max_features": 1000,
        # An image of a megabyte is sent in fragments, and best effort may lose one.
        "qos_input_reliability": "reliable",
        "diagnostics_period": _DIAGNOSTICS_PERIOD,
    },
    "matcher_node": {"match_image": False, "diagnostics_period": _DIAGNOSTICS_PERIOD},
    "odometry_node": {"publish_tf": False, "diagnostics_period": _DIAGNOSTICS_PERIOD},
}
_PARAMETER_TYPES: Mapping[str, type[NodeParameters]] = {
    "booster_node": BoosterNodeParameters,
    "matcher_node": MatcherNodeParameters,
    "odometry_node": OdometryNodeParameters,
}
_NAMED = ("model", "max_features")  # In the title in any case.


@dataclass(frozen=True)
class LiveSettings:
    """Settings of a run.

    Attributes:
        source: Source of the images, as :func:`open_source` takes it.
        images: Highest number of images.
        size: (width, height) of the images, or None for those of the source.
        rates: Rates in Hz, rising.
        seconds: Duration of each rate.
        with_matcher: Whether matcher_node runs too.
        with_odometry: Whether odometry_node runs too.
        parameters: Parameters by the name of the node.
    """

    source: str
    images: int
    size: tuple[int, int] | None
    rates: Sequence[float]
    seconds: float
    with_matcher: bool
    with_odometry: bool
    parameters: Mapping[str, Mapping[str, Any]]

    @property
    def nodes(self) -> dict[str, str]:
        """The nodes that run besides the player, and the topic of each."""
        nodes = {"booster_node": "features"}
        if self.with_matcher:
            nodes["matcher_node"] = "matches"
        if self.with_odometry:
            nodes["odometry_node"] = "odometry"
        return nodes

    @property
    def title(self) -> str:
        """What is measured, in words."""
        size = "" if self.size is None else " {}x{}".format(*self.size)
        booster = self.parameters["booster_node"]
        others = "".join(
            f", {name} {value}"
            for node in self.nodes
            for name, value in self.parameters[node].items()
            if name not in _NAMED and _DEFAULTS[node].get(name) != value
        )
        return (
            f"{self.source}{size}, {booster['model']}, at most {booster['max_features']} "
            f"features{others}; {', '.join(self.nodes)}"
        )


def run_from_options(options: argparse.Namespace) -> None:
    """Run ``feature-booster benchmark live`` and print its tables.

    Raises:
        FileNotFoundError: There is no such source.
        ValueError: An option makes no sense, or a node failed; the message has its output.
    """
    settings = live_settings(options)
    with tempfile.TemporaryDirectory(prefix="feature_booster_live_") as name:
        logs = Path(name) if options.output is None else options.output / "logs"
        bystanders = Bystanders()
        try:
            results = run_live(settings, Path(name), logs)
        except NodeError as error:
            raise ValueError(str(error)) from error
    others = bystanders.cores()
    print(live_text(results, settings.title, others))
    if options.output is not None:
        stored = dataclasses.asdict(settings)
        written = write_live(
            options.output, results, stored, settings.title, others, not options.no_plots
        )
        print(f"\nwritten to {options.output}: {', '.join(path.name for path in written)}")


def live_settings(options: argparse.Namespace) -> LiveSettings:
    """Convert the options of the command line.

    Raises:
        ValueError: An option makes no sense.
    """
    if options.seconds < 1:
        raise ValueError(f"--seconds must be at least 1, not {options.seconds:g}")
    if options.images < 2:
        raise ValueError(f"--images must be at least 2, not {options.images}")
    if not all(rate > 0 for rate in options.rates):
        raise ValueError(f"--rates must be above 0, not {min(options.rates):g}")
    return LiveSettings(
        options.source or default_source(),
        options.images,
        _size(options.size),
        tuple(sorted(set(options.rates))),
        options.seconds,
        options.matcher,
        options.odometry,
        _node_parameters(options),
    )


def run_live(settings: LiveSettings, folder: Path, logs: Path) -> list[RateResult]:
    """Play at each rate until the features saturate or the player is too slow.

    Args:
        settings: Settings of the run.
        folder: Existing folder for the images.
        logs: Folder for the output of the nodes, created if missing.

    Raises:
        NodeError: A node failed.
        FileNotFoundError, ValueError: The source cannot be read.
    """
    frames = read_frames(settings.source, settings.images)
    images, _ = prepare_images(frames, settings.size, folder)
    camera = write_frame_camera(frames[0], settings.size, folder / "camera.yaml")
    use_private_domain()
    initialize(signal_handlers=SignalHandlerOptions.NO)
    recorder = None
    try:
        recorder = LiveRecorder(NAMESPACE)
        with NodeGroup() as group:
            _start_pipeline(settings, logs, group, recorder)
            player = group.start(
                "image_player_node",
                logs,
                namespace=NAMESPACE,
                parameters={
                    "source": f"folder:{images}",
                    "camera": camera,
                    "rate": float(settings.rates[0]),
                    "loop": True,
                    "stamp": "now",
                    "wait_for_subscribers": 1,
                },
            )
            _wait_for_messages(settings, group, recorder)
            return _play_rates(settings, player, group, recorder)
    finally:
        if recorder is not None:
            recorder.close()
        rclpy.try_shutdown()


def _start_pipeline(
    settings: LiveSettings, logs: Path, group: NodeGroup, recorder: LiveRecorder
) -> None:
    """Start the nodes, and wait until they are active and connected."""
    for name in settings.nodes:
        group.start(name, logs, namespace=NAMESPACE, parameters=settings.parameters[name])
    recorder.wait_until_ready(group, [f"/{NAMESPACE}/{topic}" for topic in settings.nodes.values()])


def _wait_for_messages(settings: LiveSettings, group: NodeGroup, recorder: LiveRecorder) -> None:
    """Listen until the first messages of all nodes have arrived.

    The first frames take far longer than the others, and the odometry has no pose before the camera
    has moved.
    """
    deadline = time.monotonic() + _FIRST_PATIENCE
    for node, topic in zip(group.nodes, settings.nodes.values(), strict=False):
        while len(recorder.arrivals[topic]) < _FIRST_MESSAGES:
            group.check()
            if time.monotonic() > deadline:
                slow = node if recorder.sent else group.nodes[-1]
                raise slow.error(
                    f"published {len(recorder.arrivals[topic]) if recorder.sent else 'no'} "
                    f"messages within {_FIRST_PATIENCE:.0f} s"
                )
            recorder.listen(0.1)


def _play_rates(
    settings: LiveSettings, player: NodeProcess, group: NodeGroup, recorder: LiveRecorder
) -> list[RateResult]:
    results: list[RateResult] = []
    with Progress(settings.rates, unit="rate", desc="live", leave=False) as bar:
        for rate in bar:
            bar.set_postfix_str(f"{rate:g} Hz")
            if not recorder.set_rate(player.name, float(rate), timeout=10.0):
                raise player.error(f"did not take the rate {rate:g} Hz")
            result = _measure(settings, rate, group, recorder)
            results.append(result)
            if result.is_player_slow or not result.features.is_sustained:
                break
    return results


def _measure(
    settings: LiveSettings, rate: float, group: NodeGroup, recorder: LiveRecorder
) -> RateResult:
    recorder.listen(_SETTLE)
    recorder.forget()
    before = _processor_seconds(group)
    begun = time.time_ns()
    recorder.listen(settings.seconds)
    ended = time.time_ns()
    after = _processor_seconds(group)
    sent = [stamp for stamp in recorder.sent if begun <= stamp < ended]
    # Messages still arrive late, the later the longer a node takes for each.
    slowest = max(
        (
            arrival - stamp
            for topic in settings.nodes.values()
            for stamp, arrival in recorder.arrivals[topic].items()
        ),
        default=0,
    )
    recorder.listen(max(_GRACE, 3e-9 * slowest))
    group.check()
    stages = {
        node: {
            key.removesuffix("_ms"): float(value)
            for key, value in values.items()
            if key.endswith("_ms")
        }
        for node, values in recorder.diagnostics.items()
    }
    streams = {
        topic: Stream.of(sent, recorder.arrivals[topic]) for topic in settings.nodes.values()
    }
    span = (sent[-1] - sent[0]) / 1e9 if len(sent) > 1 else 0.0
    return RateResult(
        rate,
        (len(sent) - 1) / span if span else 0.0,
        len(sent),
        streams["features"],
        streams.get("matches"),
        streams.get("odometry"),
        stages,
        own_share(stages.get("booster_node", {})),
        {name: after[name] - before[name] for name in before},
        (ended - begun) / 1e9,
    )


def _processor_seconds(group: NodeGroup) -> dict[str, float]:
    """Return the processor time of each process so far, user and system, from Linux's /proc."""
    seconds = {}
    for node in group.nodes:
        fields = Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        seconds[node.name.rpartition("/")[2]] = ticks / os.sysconf("SC_CLK_TCK")
    seconds["this benchmark"] = time.process_time()
    return seconds


def _size(text: str) -> tuple[int, int] | None:
    if text == "source":
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ValueError(f"--size takes WIDTHxHEIGHT in pixels, or source, not {text!r}")
    return int(width), int(height)


def _node_parameters(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the parameters of each node: defaults, then the file, then single options."""
    parameters = {node: dict(defaults) for node, defaults in _DEFAULTS.items()}
    if options.params_file is not None:
        for node, section in read_parameter_file(options.params_file, _PARAMETER_TYPES).items():
            parameters[node].update(section)
    booster = parameters["booster_node"]
    for name in ("model", "max_features", "detector", "device", "engine"):
        if getattr(options, name) is not None:
            booster[name] = getattr(options, name)
    if options.device is not None:
        parameters["matcher_node"]["device"] = options.device
    for text in options.parameter:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--parameter takes NAME=VALUE, not {text!r}")
        booster[name] = yaml.safe_load(value)
    return {node: _typed(node, values) for node, values in parameters.items()}


def _typed(node: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Convert integers to floats where the node declares a float, as it refuses integers."""
    declared = {field.name: field.type for field in dataclasses.fields(_PARAMETER_TYPES[node])}
    typed = {}
    for name, value in parameters.items():
        if name not in declared:
            raise ValueError(f"{node} has no parameter {name!r}; it has {', '.join(declared)}")
        typed[name] = float(value) if declared[name] == "float" and value is not None else value
    return typed
