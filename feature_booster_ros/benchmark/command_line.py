# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments of ``feature-booster benchmark`` and ``benchmark live``.

Only argparse is imported until a benchmark runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_MODELS = ("SIFT+Boost-F", "ORB+Boost-B")
_FEATURES = (500, 1000, 2048, 4096, 8000)
_IMAGES = 16
_ROUNDS, _SECONDS = 15, 1.0
# The same of --quick.
_QUICK_FEATURES = (500,)
_QUICK_IMAGES = 4
_QUICK_ROUNDS, _QUICK_SECONDS = 3, 0.2

_SOURCE_HELP = (
    "images: a folder, a video, a KITTI, TUM or EuRoC sequence, a bag, ...: what "
    "image_player_node takes (default: the rendered sequence)"
)
_OUTPUT_HELP = "write JSON, tables and plots into this folder (plots need matplotlib)"
_RATES = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0)


def add_benchmark_arguments(
    command: argparse.ArgumentParser, run_live: Callable[[argparse.Namespace], None]
) -> None:
    """Add the arguments of ``benchmark`` and its subcommand ``live``.

    The parsed options have a function ``run(options)``, which does the work and prints the results.

    Args:
        command: Parser to add to.
        run_live: Function that runs ``live``, as the nodes are not known here.
    """
    command.description = (
        "Time extraction, network, matching and whole frames, with the engines side by side in "
        "interleaved rounds. benchmark live times the nodes."
    )
    _add_stages(command)
    command.set_defaults(run=_stages)
    live = command.add_subparsers(action=_AfterNoOptions, metavar="[live]").add_parser(
        "live",
        help="latency and throughput of the running nodes at rising frame rates (needs ROS 2)",
        description="Play images through booster_node, matcher_node and odometry_node at rising "
        "rates, until they saturate: latency from image stamp to features, matches and poses, "
        "frames dropped.",
    )
    _add_live(live)

    def checked(options: argparse.Namespace) -> None:
        _check_output(options)
        run_live(options)

    live.set_defaults(run=checked)


class _AfterNoOptions(argparse._SubParsersAction):
    """Refuse options before ``live``, whose options of the same names would override them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        for name, value in vars(namespace).items():
            if value != parser.get_default(name):
                parser.error(f"--{name.replace('_', '-')} must come after live")
        super().__call__(parser, namespace, values, option_string)


def _add_stages(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--source", metavar="SOURCE", help=_SOURCE_HELP)
    add("--images", type=int, metavar="N", help=f"images of the source (default: {_IMAGES})")
    add(
        "--models",
        nargs="+",
        metavar="MODEL",
        help=f"shipped models or weights files (default: {' '.join(_MODELS)})",
    )
    add(
        "--engines",
        nargs="+",
        default=[],
        metavar="ENGINE",
        help="NAME or NAME:PRECISION, such as eager:fp16, compared with eager in float32 (default: "
        "all that a device has)",
    )
    add(
        "--features",
        type=int,
        nargs="+",
        metavar="N",
        help=f"features of an image (default: {' '.join(map(str, _FEATURES))})",
    )
    add(
        "--threads",
        nargs="+",
        metavar="N",
        help="numbers of threads, or all for every core (default: 1 2 all, up to the number of "
        "cores)",
    )
    add(
        "--devices",
        nargs="+",
        metavar="DEVICE",
        help="cpu, cuda or cuda:N (default: cpu, and cuda if available)",
    )
    add(
        "--repeats",
        type=int,
        metavar="N",
        help=f"most rounds of a comparison (default: {_ROUNDS})",
    )
    add(
        "--seconds",
        type=float,
        metavar="S",
        help="time of a comparison, after which no round begins once there are three (default: "
        f"{_SECONDS:g})",
    )
    add("--quick", action="store_true", help="take seconds, to see that all works")
    add("--no-memory", action="store_true", help="do not measure peak memory")
    add("--no-plots", action="store_true", help="write no plots, which need matplotlib")
    add("--output", type=Path, metavar="FOLDER", help=_OUTPUT_HELP)


def _add_live(live: argparse.ArgumentParser) -> None:
    add = live.add_argument
    add("--source", metavar="SOURCE", help=_SOURCE_HELP)
    add(
        "--size",
        default="640x480",
        metavar="WxH",
        help="size to which images are resized, in pixels; source: no resizing (default: "
        "%(default)s)",
    )
    add(
        "--images",
        type=int,
        default=30,
        metavar="N",
        help="images of the source, played forth and back (default: %(default)s)",
    )
    add(
        "--model",
        help="model of booster_node; none: raw features (default: ORB+Boost-B)",
    )
    add(
        "--max-features",
        type=int,
        metavar="N",
        help="most features of an image (default: 1000)",
    )
    add("--detector", help="detector of booster_node (default: the model's)")
    add("--device", help="device of both nodes (default: CUDA if available)")
    add("--engine", help="engine of booster_node (default: auto)")
    add(
        "--params-file",
        type=Path,
        metavar="FILE",
        help="parameters of the nodes, as ros2 run takes them; the other options override it",
    )
    add(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other parameter of booster_node; may be given several times",
    )
    add(
        "--matcher",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run matcher_node too (default: yes)",
    )
    add(
        "--odometry",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="run odometry_node too, for which the source needs intrinsics (default: no)",
    )
    add(
        "--rates",
        type=float,
        nargs="+",
        default=list(_RATES),
        metavar="HZ",
        help=f"rates to try, rising (default: {' '.join(f'{rate:g}' for rate in _RATES)})",
    )
    add(
        "--seconds",
        type=float,
        default=8.0,
        metavar="S",
        help="time at each rate (default: %(default)s)",
    )
    add("--no-plots", action="store_true", help="write no plots, which need matplotlib")
    add("--output", type=Path, metavar="FOLDER", help=_OUTPUT_HELP)


def _stages(options: argparse.Namespace) -> None:
    _check_output(options)
    from .inputs import default_source
    from .machine import available_cores
    from .report import benchmark_text, write_benchmark
    from .rounds import Limits
    from .run import ALL_THREADS, BenchmarkSettings, default_devices, run_benchmark

    quick = options.quick
    few = [str(number) for number in (1, 2) if number < available_cores()]
    report = run_benchmark(
        BenchmarkSettings(
            source=options.source or default_source(),
            images=_chosen(options.images, _QUICK_IMAGES if quick else _IMAGES),
            models=options.models or _MODELS,
            features=options.features or (_QUICK_FEATURES if quick else _FEATURES),
            threads=options.threads or [*([] if quick else few), ALL_THREADS],
            devices=options.devices or default_devices(),
            engines=options.engines,
            limits=Limits(
                _chosen(options.repeats, _QUICK_ROUNDS if quick else _ROUNDS),
                _chosen(options.seconds, _QUICK_SECONDS if quick else _SECONDS),
            ),
            with_memory=not options.no_memory,
        )
    )
    print(benchmark_text(report))
    if options.output is not None:
        written = write_benchmark(options.output, report, not options.no_plots)
        print(f"\nwritten to {options.output}: {', '.join(path.name for path in written)}")


def _chosen(given: float | None, otherwise: float) -> Any:
    return otherwise if given is None else given


def _check_output(options: argparse.Namespace) -> None:
    from ..evaluation.output import check_output

    check_output(options.output, with_plots=not options.no_plots)
