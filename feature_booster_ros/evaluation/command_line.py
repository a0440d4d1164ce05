# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The arguments of ``feature-booster evaluate``, and what each of its runs does.

Only argparse is imported until a run is asked for, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .methods import Method
    from .metrics import Evaluation

DEFAULT_METHODS = ("sift", "rootsift", "SIFT+Boost-F", "SIFT+Boost-B", "orb", "ORB+Boost-B")
ODOMETRY_METHODS = ("sift", "SIFT+Boost-F", "SIFT+Boost-B", "orb", "ORB+Boost-B")
DEFAULT_GAPS = (1, 4, 8)

_Run = Callable[[argparse.Namespace, "list[Method]"], "list[Evaluation]"]


def add_runs(command: argparse.ArgumentParser) -> None:
    """Give ``evaluate`` its runs; the parsed options' ``run(options)`` does what was asked for and
    prints it.
    """
    runs = command.add_subparsers(required=True, metavar="RUN")

    photos = _add(runs, "photos", "warped photographs: correct matches and MMA", _photos)
    photos.add_argument("photos", metavar="FOLDER", help="photographs, with those of subfolders")
    _add_photo_choices(photos)

    hpatches = _add(
        runs, "hpatches", "HPatches: MMA, homography accuracy, light and viewpoint", _hpatches
    )
    hpatches.add_argument("hpatches", metavar="FOLDER", help="hpatches-sequences-release")
    _add_every_sequence(hpatches)

    homography = _add(runs, "homography", "one image pair of known homography", _homography)
    homography.add_argument("first", metavar="IMAGE1")
    homography.add_argument("second", metavar="IMAGE2")
    homography.add_argument(
        "matrix", metavar="H", help="text file of 3 lines of 3 numbers, or OpenCV's .xml or .yml"
    )

    pose = _add(runs, "pose", "image pairs of known relative pose: pose AUC", _pose)
    pose.add_argument(
        "pose",
        metavar="PAIRS",
        help="lines of: name0 name1 turns0 turns1 K0 (9) K1 (9) T_0to1 (16)",
    )
    _add_images(pose, required=True)

    sequence = _add(
        runs, "sequence", "frames of a sequence: matches, inliers, time, pose AUC", _sequence
    )
    sequence.add_argument(
        "sequence",
        metavar="SOURCE",
        help="what image_player_node takes: a KITTI, TUM or EuRoC folder, a bag, a video, ...",
    )
    _add_gaps(sequence)
    _add_wide_pixels(sequence)

    odometry = _add(
        runs, "odometry", "a sequence through the odometry: ATE, RPE, frames tracked, time", None
    )
    odometry.add_argument("sequence", metavar="SOURCE", help="as of sequence")
    _add_wide_pixels(odometry)
    odometry.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="take each N-th frame only (default: %(default)s)",
    )
    odometry.add_argument(
        "--start", type=int, default=0, metavar="N", help="the first frame (default: %(default)s)"
    )
    odometry.add_argument(
        "--count", type=int, metavar="N", help="the most frames to take (default: all)"
    )
    odometry.add_argument(
        "--colmap",
        action="store_true",
        help="also a row of what COLMAP makes of the same frames and intrinsics, with SIFT: the "
        "limit, as it sees the whole sequence and takes its time",
    )
    odometry.set_defaults(run=_odometry, methods=list(ODOMETRY_METHODS), max_features=1000)

    everything = _add(runs, "all", "all of these that are given, and one summary table", _all)
    everything.add_argument("--photos", metavar="FOLDER", help="as of photos")
    _add_photo_choices(everything)
    everything.add_argument("--hpatches", metavar="FOLDER", help="as of hpatches")
    _add_every_sequence(everything)
    everything.add_argument(
        "--homography",
        nargs=3,
        action="append",
        default=[],
        metavar=("IMAGE1", "IMAGE2", "H"),
        help="as of homography; may be given several times",
    )
    everything.add_argument("--sequence", metavar="SOURCE", help="as of sequence")
    _add_gaps(everything)
    _add_wide_pixels(everything)
    everything.add_argument("--pose", metavar="PAIRS", help="as of pose, with --images")
    _add_images(everything, required=False)


def _add(
    runs: argparse._SubParsersAction, name: str, text: str, evaluation: _Run | None
) -> argparse.ArgumentParser:
    parser = runs.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--methods",
        nargs="+",
        default=list(DEFAULT_METHODS),
        metavar="METHOD",
        help="sift, orb, package.module:ClassName of an extractor, rootsift, a shipped model, a "
        "weights file, or LABEL=one of these "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--max-features", type=int, default=2048, help="of an image (default: %(default)s)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write tables, JSON and plots (matplotlib) there",
    )
    parser.set_defaults(run=lambda options: _evaluate(options, evaluation))
    return parser


def _add_photo_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--holdout",
        type=int,
        default=10,
        metavar="N",
        help="only every N-th photograph, as kept from training; 1: all (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="of the views of the photographs; the tables in docs/results.md are of 1, and others "
        "tell how much of a difference is chance (default: %(default)s)",
    )


def _add_every_sequence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every-sequence",
        action="store_true",
        help="also the 8 sequences of HPatches that D2-Net's protocol leaves out for their size",
    )


def _add_gaps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gaps",
        type=int,
        nargs="+",
        default=list(DEFAULT_GAPS),
        metavar="N",
        help="frames between the two of a pair (default: 1 4 8)",
    )


def _add_wide_pixels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wide-pixels",
        choices=("stretch", "full_range"),  # pixels.WIDE_PIXELS, which would import OpenCV
        default="stretch",
        help="how pixels of 16 bits or float of SOURCE become 8 bits, as the nodes' parameter "
        "wide_pixels (default: %(default)s)",
    )


def _add_images(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument(
        "--images",
        metavar="FOLDER",
        required=required,
        help="what the names in PAIRS are relative to",
    )
    parser.add_argument(
        "--longest-side",
        type=int,
        metavar="PIXELS",
        help="shrink larger images of PAIRS to this (default: as they are)",
    )


def _evaluate(options: argparse.Namespace, run: _Run) -> None:
    from .methods import create_methods
    from .output import check_output
    from .report import evaluation_text, summary_text, write_evaluations

    check_output(options.output)
    methods = create_methods(options.methods, options.max_features, options.device)
    evaluations = _with_own_names(run(options, methods))
    for evaluation in evaluations:
        print(evaluation_text(evaluation), end="\n\n")
    if len(evaluations) > 1:
        print(summary_text(evaluations), end="\n\n")
    if options.output is not None:
        settings = {
            key: value for key, value in vars(options).items() if key not in ("run", "output")
        }
        written = write_evaluations(options.output, evaluations, settings)
        print(f"written to {options.output}: {', '.join(path.name for path in written)}")


def _with_own_names(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The evaluations, numbered where several have one name."""
    import dataclasses

    names: list[str] = []
    for evaluation in evaluations:
        name, number = evaluation.name, 2
        while name in names:
            name, number = f"{evaluation.name} {number}", number + 1
        names.append(name)
    return [
        dataclasses.replace(evaluation, name=name)
        for evaluation, name in zip(evaluations, names, strict=True)
    ]


def _photos(options: argparse.Namespace, methods: list[Method]) -> list[Evaluation]:
    from .runs import run_photos

    return [run_photos(options.photos, methods, options.holdout, options.seed)]


def _hpatches(options: argparse.Namespace, methods: list[Method]) -> list[Evaluation]:
    from .runs import run_hpatches

    return [run_hpatches(options.hpatches, methods, options.every_sequence)]


def _homography(options: argparse.Namespace, methods: list[Method]) -> list[Evaluation]:
    from .runs import run_homography

    return [run_homography(options.first, options.second, options.matrix, methods)]


def _pose(options: argparse.Namespace, methods: list[Method]) -> list[Evaluation]:
    from .runs import run_pose

    return [run_pose(options.pose, options.images, methods, options.longest_side)]


def _sequence(options: argparse.Namespace, methods: list[Method]) -> list[Evaluation]:
    from .runs import run_sequence

    return run_sequence(options.sequence, methods, options.gaps, options.wide_pixels)


def _odometry(options: argparse.Namespace) -> None:
    from ..colmap.conventions import import_pycolmap
    from ..sources import open_source
    from .methods import create_methods
    from .odometry_report import odometry_text, write_odometry
    from .odometry_run import run_odometry
    from .output import check_output
    from .trajectories import check_evo

    check_evo()
    if options.colmap:
        import_pycolmap("odometry")
    check_output(options.output)
    for name, least in (("every", 1), ("start", 0), ("count", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"--{name} must be at least {least}, not {value}")
    # COLMAP gets SIFT's features, whatever the methods.
    limit = ["COLMAP=sift"] if options.colmap else []
    methods = create_methods([*options.methods, *limit], options.max_features, options.device)
    with open_source(options.sequence) as source:
        comparison = run_odometry(
            source,
            methods[: len(options.methods)],
            options.every,
            start=options.start,
            count=options.count,
            limit=methods[-1] if limit else None,
            wide_pixels=options.wide_pixels,
        )
    taken = "every frame" if options.every == 1 else f"one frame of {options.every}"
    if options.start or options.count:
        count = f", at most {options.count}" if options.count else ""
        taken += f" from {options.start} on{count}"
    title = f"{options.sequence}, {taken}, {options.max_features} features"
    print(f"{title}\n\n{odometry_text(comparison)}\n")
    if options.output is not None:
        written = write_odometry(options.output, comparison, title)
        print(f"written to {options.output}: {', '.join(path.name for path in written)}")


def _all(options: argparse.Namespace, methods: list[Method]) -> list[Evaluation]:
    if (options.pose is None) != (options.images is None):
        raise ValueError("--pose PAIRS and --images FOLDER go together: give both or neither")
    evaluations = []
    if options.photos is not None:
        evaluations += _photos(options, methods)
    if options.hpatches is not None:
        evaluations += _hpatches(options, methods)
    for first, second, matrix in options.homography:
        pair = argparse.Namespace(first=first, second=second, matrix=matrix)
        evaluations += _homography(pair, methods)
    if options.sequence is not None:
        evaluations += _sequence(options, methods)
    if options.pose is not None:
        evaluations += _pose(options, methods)
    if not evaluations:
        raise ValueError(
            "nothing to evaluate on: give --photos, --hpatches, --homography, --sequence or --pose"
        )
    return evaluations
