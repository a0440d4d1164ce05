# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""demo: compare raw and boosted features through the real nodes.

The demo starts image_player_node and, for each model, a booster_node and a matcher_node in a
separate namespace, records what they publish, prints a table and writes pictures. By default it
plays the rendered sequence, whose depth and poses show which matches are right. Where the source
has depth or a right camera, an odometry_node for each model estimates the way in meters.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions

from feature_booster_ros.booster import load_models
from feature_booster_ros.errors import user_message
from feature_booster_ros.evaluation.frame_pairs import FramePair, common_pairs
from feature_booster_ros.progress import Progress
from feature_booster_ros.rendering.sequence import RenderedSequence
from feature_booster_ros.sources import open_source
from feature_booster_ros.sources.source import Source

from ..nodes.process import initialize
from .demo_odometry import choose_depth_input, compare_odometry, true_poses, why_no_odometry
from .demo_report import Pipeline, report_demo
from .node_process import NodeError, NodeGroup, NodeProcess, use_private_domain
from .pipeline_recorder import PipelineRecorder, PlayingPace

# Time for the first image to arrive [s].
_IMAGE_PATIENCE = 30.0
# Number of unreadable frames that are named at the end.
_MAX_SKIPPED = 10
# Time without a message after the end of the source, after which the demo ends [s].
_END_PATIENCE = 10.0
_DIAGNOSTICS_PERIOD = 0.5  # seconds
# Topics of the player, which all models share.
_IMAGE_TOPICS = ("image", "camera_info", "depth", "right/image", "right/camera_info")
# Folder that has one folder for each source that was played.
_OUTPUT = Path("demo_output")


class DemoError(RuntimeError):
    """The demo has nothing to show; the message is for its user."""


@dataclass(frozen=True)
class ModelChoice:
    """One entry of --models: NAME, or NAME=WEIGHTS."""

    name: str
    weights: str

    @classmethod
    def parse(cls, text: str) -> ModelChoice:
        """Read NAME or NAME=WEIGHTS.

        Raises:
            argparse.ArgumentTypeError: There is no such model, or no such file.
        """
        name, _, weights = text.partition("=")
        known = ["none", *load_models()]
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"model {name!r} is not known: take {', '.join(known)}, or NAME=WEIGHTS"
            )
        if weights and not Path(weights).is_file():
            raise argparse.ArgumentTypeError(f"weights {weights!r} do not exist")
        return cls(name, str(Path(weights).resolve()) if weights else "")

    @property
    def label(self) -> str:
        """Name in the table."""
        if self.name == "none":
            return "raw"
        return f"{self.name} ({Path(self.weights).stem})" if self.weights else self.name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit status."""
    options = _parser().parse_args(arguments)
    use_private_domain()
    # SIGTERM unwinds the stack as Ctrl-C does, so that no node is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _run(options)
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        is_ours = isinstance(error, (DemoError, NodeError))
        message = str(error) if is_ours else user_message(error)
        if message is None:
            raise
        print(f"demo: {message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo",
        description="Compare raw and boosted features through the real nodes over DDS.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--source",
        default="rendered:depth=true",
        help="what to play: whatever image_player_node takes",
    )
    add("--camera", default="", help="intrinsics: a calibration file, or fx,fy,cx,cy")
    add("--models", nargs="+", type=ModelChoice.parse, metavar="NAME[=WEIGHTS]",
        default=[ModelChoice("none", ""), ModelChoice("SIFT+Boost-F", "")],
        help="models to compare; none: raw descriptors")  # fmt: skip
    add("--max-features", type=_positive(int), default=1024, help="features of an image, at most")
    add("--frames", type=_positive(int), default=60, help="frames to play, at most")
    add("--start", type=int, default=0, help="first frame to play")
    add("--step", type=_positive(int), default=1, help="play every n-th frame")
    add("--rate", type=_positive(float), default=3.0,
        help="frames per second, at most: it falls where the nodes are slower")  # fmt: skip
    add("--reference", choices=("previous", "keyframe"), default="previous",
        help="frame that each frame is matched with")  # fmt: skip
    add("--device", default="auto", help="where boosting and matching run: auto, cpu, cuda")
    add("--output", type=Path, default=argparse.SUPPRESS,
        help="folder for pictures and tables (default: demo_output/SOURCE)")  # fmt: skip
    return parser


def _positive(kind: Callable[[str], int | float]) -> Callable[[str], int | float]:
    def convert(text: str) -> int | float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    convert.__name__ = kind.__name__  # for argparse's "invalid int value"
    return convert


def _run(options: argparse.Namespace) -> None:
    detector = _detector(options.models)
    # Opened here too, so that errors come at once; the rendered one has the ground truth.
    with open_source(options.source, camera=options.camera or None) as source:
        source.frames(options.start, options.step, options.frames)
        total = options.frames
        if source.length is not None:
            total = min(total, len(range(options.start, source.length, options.step)))
        if total < 2:
            raise DemoError(
                f"{options.source} from frame {options.start} by {options.step} gives {total} "
                "frame: matching takes two"
            )
        depth_input, truth = choose_depth_input(source), []
        if depth_input != "none" and (reason := why_no_odometry(source)):
            print(f"no odometry: {reason}")
            depth_input = "none"
        if depth_input != "none":
            truth = true_poses(source.frames(options.start, options.step, options.frames))
    if "output" in options:
        output = options.output
    else:
        output = _OUTPUT / output_name(options.source, source.kind)
    output.mkdir(parents=True, exist_ok=True)
    namespaces = _namespaces(options.models)
    print(f"playing {source.kind} {source.name}, {total} frames, to " + " and ".join(
        f"{model.label} (/{namespace})"
        for model, namespace in zip(options.models, namespaces, strict=True)
    ), flush=True)  # fmt: skip

    initialize(signal_handlers=SignalHandlerOptions.NO)
    recorder = None
    try:
        recorder = PipelineRecorder(namespaces, has_odometry=depth_input != "none")
        with NodeGroup() as group:
            rectified = source.camera is not None and source.camera.rectified
            common: dict[str, str | bool] = {
                "detector": detector,
                "rectified": rectified,
                "depth_input": depth_input,
            }
            _start_pipelines(options, output, namespaces, common, group, recorder)
            player = _start_player(options, output, len(namespaces) + 1, group)
            _follow(options, total, source.is_live, player, group, recorder)
        pipelines = _pipelines(options.models, namespaces, source, recorder)
        if not any(pipeline.pairs for pipeline in pipelines):
            raise _nothing_matched(pipelines, recorder, output)
        images = {
            number: recorder.images[stamp]
            for number, stamp in enumerate(recorder.arrivals)
            if stamp in recorder.images
        }
        odometry = None
        if depth_input != "none":
            poses = {pipeline.label: pipeline.record.poses for pipeline in pipelines}
            odometry = compare_odometry(poses, recorder.arrivals, truth)
        report_demo(pipelines, images, odometry, f"{source.kind} {source.name}", output)
        _report_skipped(player)
    finally:
        if recorder is not None:
            recorder.close()
        rclpy.try_shutdown()


def output_name(uri: str, kind: str) -> str:
    """Return the name of the output folder of a source: rendered, or the name of what is played.

    Args:
        uri: The source as the user gave it.
        kind: Its kind.
    """
    if kind == "rendered":
        return kind
    # Options follow after commas, unless the path itself has them.
    target = uri if Path(uri).expanduser().exists() else uri.partition(",")[0]
    if kind != "webcam":
        target = target.removeprefix(f"{kind}:")
    return re.sub(r"[^\w.-]", "_", Path(target).expanduser().resolve().name)


def _detector(models: Sequence[ModelChoice]) -> str:
    """Return the detector of all models, which the raw features use too."""
    detectors = {load_models()[model.name].detector for model in models if model.name != "none"}
    if len(detectors) > 1:
        raise DemoError(
            f"--models need one detector, but these were made for {' and '.join(sorted(detectors))}"
        )
    return detectors.pop() if detectors else "sift"


def _namespaces(models: Sequence[ModelChoice]) -> list[str]:
    """Return a namespace for each model, named after it in letters that ROS allows."""
    names: list[str] = []
    for model in models:
        name = "raw" if model.name == "none" else model.name
        name = "".join(c if c.isalnum() else "_" for c in name.lower())
        taken = sum(other == name or other.startswith(f"{name}_again") for other in names)
        names.append(name if not taken else f"{name}_again{taken}")
    return names


def _start_pipelines(
    options: argparse.Namespace,
    output: Path,
    namespaces: Sequence[str],
    of_source: Mapping[str, str | bool],
    group: NodeGroup,
    recorder: PipelineRecorder,
) -> None:
    """Start the nodes of all models, and wait until all are active and connected.

    Args:
        options: Of the command.
        output: Folder whose logs/ takes what the nodes print.
        namespaces: Of the models.
        of_source: Parameters of booster_node that the source and the models decide.
        group: To start the nodes in.
        recorder: That waits for them.
    """
    folder = output / "logs"
    common = {
        "device": options.device,
        "qos_input_reliability": "reliable",
        "diagnostics_period": _DIAGNOSTICS_PERIOD,
    }
    # With one thread for each core in every node, the nodes would slow each other down.
    threads = max(1, (os.cpu_count() or 1) // len(namespaces))
    environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
    for model, namespace in zip(options.models, namespaces, strict=True):
        group.start(
            "booster_node",
            folder,
            namespace=namespace,
            parameters={
                **common,
                "model": model.name,
                "weights": model.weights,
                "max_features": options.max_features,
                **of_source,
            },
            remappings={name: f"/{name}" for name in _IMAGE_TOPICS},
            environment=environment,
        )
        group.start(
            "matcher_node",
            folder,
            namespace=namespace,
            parameters={**common, "reference": options.reference, "match_image": False},
            environment=environment,
        )
        if of_source["depth_input"] != "none":
            group.start(
                "odometry_node",
                folder,
                namespace=namespace,
                parameters={"publish_tf": False, "diagnostics_period": _DIAGNOSTICS_PERIOD},
                environment=environment,
            )
    recorder.wait_until_ready(group, recorder.topics())


def _start_player(
    options: argparse.Namespace, output: Path, subscribers: int, group: NodeGroup
) -> NodeProcess:
    return group.start(
        "image_player_node",
        output / "logs",
        parameters={
            "source": options.source,
            "camera": options.camera,
            "rate": PlayingPace.first_rate(options.rate),
            "start": options.start,
            "step": options.step,
            "count": options.frames,
            "wait_for_nodes": ",".join(node.name for node in group.nodes),
            "wait_for_subscribers": subscribers,
        },
    )


def _follow(
    options: argparse.Namespace,
    total: int,
    is_live: bool,
    player: NodeProcess,
    group: NodeGroup,
    recorder: PipelineRecorder,
) -> None:
    """Listen until all frames are played and matched."""
    pace = None if is_live else PlayingPace(recorder, player.name, options.rate)
    started = recorder.last_heard = time.monotonic()
    with Progress(total=total, unit="frame", desc="playing") as bar:
        while True:
            recorder.listen(0.1)
            group.check()
            if len(recorder.arrivals) > bar.n:
                bar.update(len(recorder.arrivals) - bar.n)
            if pace is not None and player.status is None:
                pace.adapt()
                bar.set_postfix_str(f"{pace.rate:.1f} Hz", refresh=False)
            if not recorder.arrivals and time.monotonic() - started > _IMAGE_PATIENCE:
                raise player.error("published no image")
            if player.status is not None and _is_finished(recorder):
                break
    # The last counts and times of the nodes are in the next message on /diagnostics.
    recorder.listen(2.5 * _DIAGNOSTICS_PERIOD)


def _is_finished(recorder: PipelineRecorder) -> bool:
    """Return whether every pipeline has matched the last frame, or was silent for long."""
    if time.monotonic() - recorder.last_heard > _END_PATIENCE:
        return True
    last = next(reversed(recorder.arrivals), None)
    return all(last in record.matched_at for record in recorder.records.values())


def _report_skipped(player: NodeProcess) -> None:
    """Print which frames the player could not read, and why."""
    log = player.log.read_text(encoding="utf-8", errors="replace").splitlines()
    warnings = (line.partition("]: ")[2] for line in log if "[WARN]" in line)
    skipped = [warning for warning in warnings if " skipped: " in warning]
    for line in skipped[:_MAX_SKIPPED]:
        print(f"not played: {line}")
    if len(skipped) > _MAX_SKIPPED:
        print(f"not played: {len(skipped) - _MAX_SKIPPED} more frames, see {player.log}")


def _pipelines(
    models: Sequence[ModelChoice],
    namespaces: Sequence[str],
    source: Source,
    recorder: PipelineRecorder,
) -> list[Pipeline]:
    """Collect the frame pairs of each pipeline, and those that all pipelines matched."""
    numbers = {stamp: number for number, stamp in enumerate(recorder.arrivals)}
    judged = {
        namespace: [
            FramePair(
                numbers[query],
                numbers[reference],
                record.features.get(query, 0),
                matches.query_points,
                matches.reference_points,
                matches.inliers,
                _confirm(source, query, reference, matches.query_points, matches.reference_points),
            )
            for (query, reference), matches in record.matches.items()
            if query in numbers and reference in numbers
        ]
        for namespace, record in recorder.records.items()
    }
    common = common_pairs(judged)
    return [
        Pipeline(model.label, recorder.records[namespace], judged[namespace], common[namespace])
        for model, namespace in zip(models, namespaces, strict=True)
    ]


def _confirm(
    source: Source,
    query: int,
    reference: int,
    query_points: np.ndarray,
    reference_points: np.ndarray,
) -> np.ndarray | None:
    if not isinstance(source, RenderedSequence):
        return None
    return source.confirm(
        source.index_at(query), source.index_at(reference), query_points, reference_points
    )


def _nothing_matched(
    pipelines: Sequence[Pipeline], recorder: PipelineRecorder, output: Path
) -> DemoError:
    if not recorder.arrivals:
        return DemoError("no image was received")
    counts = "; ".join(
        f"{pipeline.label}: features of {len(pipeline.record.features)} frames, "
        f"{len(pipeline.all_pairs)} pairs matched"
        for pipeline in pipelines
    )
    return DemoError(
        f"no frame pair was matched by all, of {len(recorder.arrivals)} images ({counts}). Play "
        f"slower with --rate; what the nodes printed is in {output / 'logs'}"
    )


if __name__ == "__main__":
    sys.exit(main())
