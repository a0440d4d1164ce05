# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments of ``feature-booster match``, ``view`` and ``extract``, and what they do.

Only argparse is imported until a command runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands; the parsed options have a function ``run(options)``."""
    _add_match(commands)
    _add_view(commands)
    _add_extract(commands)


def _add_match(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "match",
        help="match two images into a picture, or a file of features for hloc or COLMAP",
        description="Match two images and draw the matches; or match the images whose features "
        "`feature-booster extract` has put into a file, for hloc (an output that ends in .h5) or "
        "COLMAP (.db).",
    )
    command.add_argument(
        "inputs", type=Path, nargs="+", metavar="INPUT", help="two images, or one file of features"
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="picture (matches.png), hloc's matches (matches.h5) or COLMAP's database "
        "(database.db); pairs that such a file has already are left out",
    )
    _add_device(command)
    two = command.add_argument_group("two images")
    _add_methods(two)
    file = command.add_argument_group("a file of features")
    file.add_argument(
        "--pairs",
        default="exhaustive",
        metavar="PAIRS",
        help="exhaustive, sequential:N (each image with the N that follow, by default 10), "
        "retrieved:N (with the N most similar, by default 20, found in --images by a vocabulary), "
        "or a file with two names a line (default: %(default)s)",
    )
    file.add_argument(
        "--ratio",
        type=float,
        default=0.9,
        help="largest distance of a match as a share of that to the second nearest; 1 for any "
        "(default: %(default)s)",
    )
    file.add_argument(
        "--images", type=Path, metavar="FOLDER", help="the images, of which COLMAP reads sizes"
    )
    command.set_defaults(run=lambda options: _match(command, options))


def _add_view(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "view",
        help="write pictures and a video of raw beside boosted matches",
        description="Match each frame of a sequence with the one before, and write a video of the "
        "matches of all methods side by side. Ctrl-C ends the video early.",
    )
    command.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder of images, a KITTI, TUM or EuRoC folder, a bag, a video, rendered ...: what "
        "image_player_node takes",
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="video (matches.mp4), or a folder for the video and a picture of each frame",
    )
    _add_methods(command)
    command.add_argument(
        "--layout",
        default="overlay",
        choices=("side_by_side", "stacked", "overlay"),
        help="of a method's picture: a frame and the one before, or the motion between them on one "
        "frame (default: %(default)s)",
    )
    command.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="take every N-th frame only, so that the frames of a pair are further apart "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--start",
        type=int,
        default=0,
        metavar="N",
        help="first frame to take (default: %(default)s)",
    )
    command.add_argument(
        "--count", type=int, metavar="N", help="most frames to take (default: all)"
    )
    command.add_argument(
        "--rerun",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FILE.rrd",
        help="show keypoints, matches, trajectories and landmarks in Rerun's viewer too, or write "
        "them to FILE.rrd",
    )
    _add_device(command)
    command.set_defaults(run=_view)


def _add_extract(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "extract",
        help="write the features of a folder of images for hloc, or for `match`",
        description="Write the features of all images below a folder to an HDF5 file of hloc's "
        "layout. Images that the file has already are left out.",
    )
    command.add_argument("images", type=Path, metavar="FOLDER", help="folder of images")
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="such as features.h5"
    )
    command.add_argument(
        "--method",
        default="SIFT+Boost-F",
        help="sift, orb, package.module:ClassName of an extractor, a shipped model or a weights "
        "file (default: %(default)s)",
    )
    command.add_argument(
        "--max-features",
        type=int,
        default=4096,
        metavar="N",
        help="most features of an image (default: %(default)s)",
    )
    command.add_argument(
        "--longest-side",
        type=int,
        default=1600,
        metavar="PIXELS",
        help="shrink larger images to this first; keypoints are in pixels of the file "
        "(default: %(default)s)",
    )
    _add_device(command)
    command.set_defaults(run=_extract)


def _add_methods(command: argparse._ActionsContainer) -> None:
    command.add_argument(
        "--methods",
        nargs="+",
        default=["sift", "SIFT+Boost-F"],
        metavar="METHOD",
        help="one picture each: sift, orb, a shipped model, a weights file "
        "(default: sift SIFT+Boost-F)",
    )
    command.add_argument(
        "--max-features",
        type=int,
        default=2048,
        metavar="N",
        help="most features of an image (default: %(default)s)",
    )


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )


def _extract(options: argparse.Namespace) -> None:
    from .extraction import extract_folder

    count = extract_folder(
        options.images,
        options.output,
        options.method,
        options.max_features,
        options.longest_side,
        options.device,
    )
    print(f"{options.output} has the features of {count} images")


def _match(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if len(options.inputs) == 2:
        _refuse(command, options, ("pairs", "ratio", "images"), "one file of features")
        _match_images(options)
    elif len(options.inputs) == 1:
        _refuse(command, options, ("methods", "max_features"), "two images")
        _match_file(options)
    else:
        raise ValueError(f"match takes two images or one file, not {len(options.inputs)} inputs")


def _refuse(
    command: argparse.ArgumentParser,
    options: argparse.Namespace,
    names: tuple[str, ...],
    inputs: str,
) -> None:
    """Raise a ValueError if an option is set that is for other inputs."""
    for name in names:
        if getattr(options, name) != command.get_default(name):
            raise ValueError(f"--{name.replace('_', '-')} is only for {inputs}")


def _match_images(options: argparse.Namespace) -> None:
    from .match_picture import draw_match_picture

    first, second = options.inputs
    counts = draw_match_picture(
        first,
        second,
        options.output,
        options.methods,
        options.max_features,
        device=options.device,
    )
    for count in counts:
        print(f"{count.method}: {count.matches} matches, {count.inliers} inliers")
    print(f"written to {options.output}")


def _view(options: argparse.Namespace) -> None:
    from ..methods import create_methods
    from ..sources import open_source
    from .view import view_matches

    methods = create_methods(options.methods, options.max_features, options.device)
    with open_source(options.source) as source:
        means = view_matches(
            source,
            options.output,
            methods,
            options.every,
            options.start,
            options.count,
            options.layout,
            options.device,
            options.rerun,
        )
    for mean in means:
        print(f"{mean.method}: {mean.matches} matches, {mean.inliers} inliers a frame")
    print(f"written to {options.output}")


def _match_file(options: argparse.Namespace) -> None:
    from .matching import match_for_colmap, match_for_hloc

    (features,) = options.inputs
    chosen = options.pairs, options.ratio, options.device
    if options.output.suffix in (".h5", ".hdf5"):
        count = match_for_hloc(features, options.output, *chosen, options.images)
        print(f"{options.output} has the matches of {count} pairs")
    elif options.output.suffix == ".db":
        if options.images is None:
            raise ValueError("COLMAP's database needs the folder of the images: give --images")
        count = match_for_colmap(features, options.images, options.output, *chosen)
        print(f"{options.output} has {count} pairs with a two-view geometry")
    else:
        raise ValueError(
            f"output {options.output} of one file must end in .h5 (hloc) or .db (COLMAP); a "
            "picture of matches takes two images"
        )
