# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ``feature-booster`` command: every subcommand calls one function of another module."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .benchmark.command_line import add_benchmark_arguments
from .errors import user_message
from .evaluation.command_line import add_runs
from .integrations.command_line import add_commands as add_integrations
from .retrieval.command_line import add_commands as add_retrieval
from .training.command_line import add_commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status.

    An error that the user can resolve is one line without a traceback; see :func:`user_message`.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        message = user_message(error)
        if message is None:
            raise
        print(f"feature-booster: {message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="feature-booster", description="Boosted local features (FeatureBooster)."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_integrations(commands)
    add_retrieval(commands)
    add_commands(commands)
    _add_evaluate(commands)
    _add_benchmark(commands)
    _add_export(commands)
    _add_bag(commands)
    return parser


def _add_benchmark(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "benchmark", help="time every stage, or the running nodes (benchmark live)"
    )
    add_benchmark_arguments(command, _benchmark_live)


def _benchmark_live(options: argparse.Namespace) -> None:
    try:
        from .live.latency import run_from_options
    except ImportError as error:
        raise ValueError(
            f"benchmark live runs the nodes, for which ROS 2 is missing here ({error}): run "
            "`make build`, then `source env.sh`"
        ) from error
    run_from_options(options)


def _add_export(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "export", help="write a booster as ONNX, for programs without PyTorch"
    )
    command.add_argument(
        "weights", help="a shipped model, or a .safetensors or .pth file", metavar="MODEL"
    )
    command.add_argument("--model", help="its configuration, where the file does not say")
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="default: MODEL.onnx in this folder"
    )
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from .booster import load_checkpoint
    from .booster.onnx_export import export_onnx

    network = load_checkpoint(options.weights, options.model)
    path = options.output or Path(f"{network.config.name}.onnx")
    export_onnx(network, path)
    config = network.config
    print(
        f"written to {path}: descriptors (N, {config.descriptor_dim}) and keypoints "
        f"(N, {config.keypoint_dim}) float32 to boosted (N, {config.output_dim}) "
        f"{'uint8, 0 or 1' if config.binary else 'float32'}"
    )


def _add_bag(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "bag",
        help="add features, matches and odometry to a recorded bag",
        description="Write a copy of a rosbag2 with the topics /features, /matches and /odometry, "
        "as the nodes would publish them, for every frame. After an interruption the same command "
        "goes on.",
    )
    command.add_argument("source", type=Path, metavar="IN", help="a rosbag2 (mcap or sqlite3)")
    command.add_argument("output", type=Path, metavar="OUT", help="folder of the new bag")
    command.add_argument("--topic", help="image topic (default: that of the only camera)")
    measured = command.add_mutually_exclusive_group()
    measured.add_argument(
        "--depth-topic", metavar="TOPIC", help="depth images that are aligned to the images"
    )
    measured.add_argument(
        "--right-topic",
        metavar="TOPIC",
        help="images of a stereo pair's right camera, with camera_info beside them",
    )
    command.add_argument(
        "--params-file",
        type=Path,
        metavar="FILE",
        help="parameters of the nodes, such as config/booster.yaml",
    )
    command.add_argument("--no-odometry", action="store_true", help="leave /odometry out")
    command.set_defaults(run=_bag)


def _bag(options: argparse.Namespace) -> None:
    try:
        from .nodes.bag import process_bag, read_settings
    except ImportError as error:
        raise ValueError(
            f"bag makes messages of ROS 2, which is missing here ({error}): run `make build`, then "
            "`source env.sh`"
        ) from error
    settings = read_settings(options.params_file, not options.no_odometry)
    counts = process_bag(
        options.source,
        options.output,
        settings,
        options.topic,
        options.depth_topic,
        options.right_topic,
    )
    added = ", ".join(f"{count} on {topic}" for topic, count in counts.items())
    print(f"{options.output} has these messages more: {added}")


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "evaluate", help="compare methods on photographs, HPatches, pose pairs or a sequence"
    )
    add_runs(command)


if __name__ == "__main__":
    sys.exit(main())
