# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments of ``feature-booster evaluate``, and what each of its subcommands does.

Only argparse is imported until a subcommand runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..methods import Method
    from .metrics import Evaluation

DEFAULT_METHODS = ("sift", "rootsift", "SIFT+Boost-F", "SIFT+Boost-B", "orb", "ORB+Boost-B")
ODOMETRY_METHODS = ("sift", "SIFT+Boost-F", "SIFT+Boost-B", "orb", "ORB+Boost-B")
RETRIEVAL_METHODS = ("orb", "ORB+Boost-B")
DEFAULT_GAPS = (1, 4, 8)

_Evaluate = Callable[[argparse.Namespace, "list[Method]"], "list[Evaluation]"]


def add_runs(command: argparse.ArgumentParser) -> None:
    """Add the subcommands of ``evaluate``.

    The parsed options have a function ``run(options)``, which does the work and prints the results.
    """
    runs = command.add_subparsers(required=True, metavar="RUN")

    photos = _add(
        runs,
        "photos",
        "photographs and warped views of them: correct matches, MMA",
        partial(_evaluate, _photos),
    )
    photos.add_argument(
        "photos", metavar="FOLDER", help="folder of photographs, subfolders included"
    )
    _add_photo_choices(photos)

    hpatches = _add(
        runs,
        "hpatches",
        "HPatches: MMA and homographies, illumination and viewpoint",
        partial(_evaluate, _hpatches),
    )
    hpatches.add_argument(
        "hpatches", metavar="FOLDER", help="the folder hpatches-sequences-release"
    )
    _add_every_sequence(hpatches)

    homography = _add(
        runs, "homography", "one image pair of known homography", partial(_evaluate, _homography)
    )
    homography.add_argument("first", metavar="IMAGE1", help="first image")
    homography.add_argument("second", metavar="IMAGE2", help="second image")
    homography.add_argument(
        "matrix",
        metavar="H",
        help="homography from pixels of IMAGE1 to those of IMAGE2: a text file of 3 lines of 3 "
        "numbers, or OpenCV's .xml or .yml",
    )

    pose = _add(
        runs, "pose", "image pairs of known relative pose: pose AUC", partial(_evaluate, _pose)
    )
    pose.add_argument(
        "pose",
        metavar="PAIRS",
        help="text file with lines of: name0 name1 turns0 turns1 K0 (9 numbers) K1 (9) T_0to1 (16)",
    )
    _add_images(pose, required=True)

    sequence = _add(
        runs,
        "sequence",
        "pairs of frames of a sequence: inliers, times, pose AUC",
        partial(_evaluate, _sequence),
    )
    sequence.add_argument(
        "sequence",
        metavar="SOURCE",
        help="a KITTI, TUM or EuRoC folder, a bag, a video, ...: what image_player_node takes",
    )
    _add_gaps(sequence)
    _add_wide_pixels(sequence)

    odometry = _add(
        runs,
        "odometry",
        "odometry on a sequence: ATE, RPE, frames tracked, times",
        _odometry,
        ODOMETRY_METHODS,
        1000,
    )
    odometry.add_argument("sequence", metavar="SOURCE", help="sequence, as for evaluate sequence")
    _add_wide_pixels(odometry)
    odometry.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="take every N-th frame only (default: %(default)s)",
    )
    odometry.add_argument(
        "--start",
        type=int,
        default=0,
        metavar="N",
        help="first frame to take (default: %(default)s)",
    )
    odometry.add_argument(
        "--count", type=int, metavar="N", help="most frames to take (default: all)"
    )
    odometry.add_argument(
        "--colmap",
        action="store_true",
        help="add a row for COLMAP with SIFT on the same frames and intrinsics: the limit, as it "
        "sees the whole sequence and takes its time",
    )
    odometry.add_argument(
        "--depth",
        choices=("both", "measured", "none"),
        default="both",
        help="use of the depth images or right images of a source that has them: a row without and "
        "one with them for each method, or one of these (default: %(default)s)",
    )

    retrieval = _add(
        runs,
        "retrieval",
        "images of the same place by a vocabulary: recall@1, recall@5, times",
        _retrieval,
        RETRIEVAL_METHODS,
        1000,
    )
    retrieval.add_argument(
        "retrieval", metavar="SOURCE", help="sequence with poses, as for evaluate sequence"
    )
    retrieval.add_argument(
        "--vocabularies",
        nargs="+",
        required=True,
        metavar="VOCABULARY",
        help="a vocabulary for each method, in their order: a file (feature-booster vocabulary), "
        "or ORB+Boost-B for the shipped one",
    )
    retrieval.add_argument(
        "--warped",
        action="store_true",
        help="SOURCE is a folder of photographs; look up a warped view of every --holdout-th",
    )
    retrieval.add_argument(
        "--holdout", type=int, default=10, metavar="N", help="as for photos (default: %(default)s)"
    )
    retrieval.add_argument(
        "--min-gap",
        type=int,
        default=5,
        metavar="N",
        help="leave out frames that are nearer in the sequence (default: %(default)s)",
    )
    retrieval.add_argument(
        "--max-distance",
        type=float,
        default=3.0,
        metavar="M",
        help="largest distance of the cameras at one place, in meters (default: %(default)s)",
    )
    retrieval.add_argument(
        "--max-angle",
        type=float,
        default=30.0,
        metavar="DEGREES",
        help="largest angle between their optical axes (default: %(default)s)",
    )

    everything = _add(
        runs, "all", "several of the other runs, with one summary table", partial(_evaluate, _all)
    )
    everything.add_argument("--photos", metavar="FOLDER", help="as for evaluate photos")
    _add_photo_choices(everything)
    everything.add_argument("--hpatches", metavar="FOLDER", help="as for evaluate hpatches")
    _add_every_sequence(everything)
    everything.add_argument(
        "--homography",
        nargs=3,
        action="append",
        default=[],
        metavar=("IMAGE1", "IMAGE2", "H"),
        help="as for evaluate homography; may be given several times",
    )
    everything.add_argument("--sequence", metavar="SOURCE", help="as for evaluate sequence")
    _add_gaps(everything)
    _add_wide_pixels(everything)
    everything.add_argument("--pose", metavar="PAIRS", help="as for evaluate pose, with --images")
    _add_images(everything, required=False)


def _add(
    runs: argparse._SubParsersAction,
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], None],
    methods: Sequence[str] = DEFAULT_METHODS,
    max_features: int = 2048,
) -> argparse.ArgumentParser:
    parser = runs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument(
        "--methods",
        nargs="+",
        default=list(methods),
        metavar="METHOD",
        help="sift, orb, package.module:ClassName of an extractor, rootsift, a shipped model, a "
        f"weights file, or LABEL=one of these (default: {' '.join(methods)})",
    )
    parser.add_argument(
        "--max-features",
        type=int,
        default=max_features,
        metavar="N",
        help="most features of an image (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="device of the boosters: auto, cpu, cuda or cuda:N (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write tables, JSON and plots into this folder (needs matplotlib)",
    )
    parser.set_defaults(run=run)
    return parser


def _add_photo_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--holdout",
        type=int,
        default=10,
        metavar="N",
        help="take every N-th photograph only, those that train --holdout N holds out; 1 takes all "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="seed of the views of the photographs; the tables in docs/results.md are for 1, and "
        "other seeds tell how much of a difference is chance (default: %(default)s)",
    )


def _add_every_sequence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every-sequence",
        action="store_true",
        help="include the 8 sequences of HPatches that D2-Net's protocol leaves out for their size",
    )


def _add_gaps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gaps",
        type=int,
        nargs="+",
        default=list(DEFAULT_GAPS),
        metavar="N",
        help="distances of the two frames of a pair, in frames "
        f"(default: {' '.join(map(str, DEFAULT_GAPS))})",
    )


def _add_wide_pixels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wide-pixels",
        choices=("stretch", "full_range"),  # pixels.WIDE_PIXELS, which would import OpenCV
        default="stretch",
        help="how pixels of 16 bits or float in SOURCE become 8 bits, as the nodes' parameter "
        "wide_pixels (default: %(default)s)",
    )


def _add_images(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument(
        "--images",
        metavar="FOLDER",
        required=required,
        help="folder that the names in PAIRS are relative to",
    )
    parser.add_argument(
        "--longest-side",
        type=int,
        metavar="PIXELS",
        help="longest side to which larger images of PAIRS are shrunk (default: no shrinking)",
    )


def _evaluate(evaluate: _Evaluate, options: argparse.Namespace) -> None:
    from ..methods import create_methods
    from .output import check_output
    from .report import evaluation_text, summary_text, write_evaluations

    check_output(options.output)
    methods = create_methods(options.methods, options.max_features, options.device)
    evaluations = _with_unique_names(evaluate(options, methods))
    for evaluation in evaluations:
        print(evaluation_text(evaluation), end="\n\n")
    if len(evaluations) > 1:
        print(summary_text(evaluations), end="\n\n")
    if options.output is not None:
        written = write_evaluations(options.output, evaluations, _settings(options))
        print(f"written to {options.output}: {', '.join(path.name for path in written)}")


def _settings(options: argparse.Namespace) -> dict[str, object]:
    """Return the options of a run, to be kept with its results."""
    return {key: value for key, value in vars(options).items() if key not in ("run", "output")}


def _with_unique_names(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Append numbers to names that several evaluations have."""
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


def _retrieval(options: argparse.Namespace) -> None:
    from ..methods import create_methods
    from ..retrieval import read_vocabulary
    from ..sources import open_source
    from .output import check_output
    from .retrieval import evaluate_places, evaluate_warped, retrieval_text, write_retrieval

    check_output(options.output, with_plots=False)
    if len(options.vocabularies) != len(options.methods):
        raise ValueError(
            f"--vocabularies names {len(options.vocabularies)} for {len(options.methods)} "
            f"methods ({' '.join(options.methods)}): give one for each, in their order"
        )
    methods = create_methods(options.methods, options.max_features, options.device)
    vocabularies = [read_vocabulary(path) for path in options.vocabularies]
    if options.warped:
        scores = evaluate_warped(options.retrieval, methods, vocabularies, options.holdout)
    else:
        with open_source(options.retrieval) as source:
            scores = evaluate_places(
                source, methods, vocabularies, options.min_gap, options.max_distance,
                options.max_angle,
            )  # fmt: skip
    print(retrieval_text(scores))
    if options.output is not None:
        written = write_retrieval(options.output, scores, _settings(options))
        print(f"written to {options.output}: {', '.join(path.name for path in written)}")


def _odometry(options: argparse.Namespace) -> None:
    from ..colmap.conventions import import_pycolmap
    from ..methods import create_methods
    from ..sources import open_source
    from .odometry_report import odometry_text, write_odometry
    from .odometry_run import run_odometry
    from .output import check_output
    from .trajectories import check_evo

    check_evo()
    from ..odometry import EXTRACTOR_OPTIONS

    if options.colmap:
        import_pycolmap("odometry")
    check_output(options.output)
    for name, least in (("every", 1), ("start", 0), ("count", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"--{name} must be at least {least}, not {value}")
    # COLMAP gets SIFT's features, whatever the methods.
    limit = ["COLMAP=sift"] if options.colmap else []
    methods = create_methods(
        options.methods, options.max_features, options.device, EXTRACTOR_OPTIONS
    )
    methods += create_methods(limit, options.max_features, options.device)
    with open_source(options.sequence) as source:
        comparison = run_odometry(
            source,
            methods[: len(options.methods)],
            options.every,
            start=options.start,
            count=options.count,
            limit=methods[-1] if limit else None,
            wide_pixels=options.wide_pixels,
            depth=options.depth,
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
