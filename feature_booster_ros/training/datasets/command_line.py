# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The subcommands of ``feature-booster`` that make training data: one function elsewhere each.

Only argparse is imported until one is asked for, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Gives ``feature-booster`` its subcommands that make training data."""
    _add_render_views(commands)
    _add_reconstruct(commands)
    _add_prepare_megadepth(commands)
    _add_extract_megadepth(commands)


def _add_render_views(commands: argparse._SubParsersAction) -> None:
    command = _add(commands, "render-views", "render training pairs from random scenes", _render)
    command.add_argument("output", help="file to write, .h5; train with --data posed:FILE")
    _add_detector(command)
    command.add_argument(
        "--photos", help="folder of photographs to cover things with; by default scikit-image's"
    )
    command.add_argument(
        "--holdout",
        type=int,
        default=10,
        metavar="N",
        help="leave out every N-th photograph, as train does (default: %(default)s)",
    )
    _add_number(command, "--scenes", 60, "scenes to make")
    _add_number(command, "--views", 12, "views of a scene")
    _add_number(command, "--features", 768, "most features kept of a view")
    _add_number(command, "--width", 640, "of a view, in pixels")
    _add_number(command, "--height", 480, "of a view, in pixels")
    _add_number(command, "--seed", 0, "another seed makes other scenes")
    _add_number(command, "--workers", 1, "processes to render with")


def _add_reconstruct(commands: argparse._SubParsersAction) -> None:
    command = _add(
        commands, "reconstruct", "training pairs from images of one place, by COLMAP", _reconstruct
    )
    command.add_argument("images", help="folder of images, searched with its subfolders")
    command.add_argument(
        "output", help="folder to make: tracks.h5 to train on (posed:FILE) and COLMAP's model"
    )
    _add_detector(command)
    _add_number(command, "--max-features", 4096, "of an image, to reconstruct with")
    _add_number(command, "--kept-features", 1024, "of an image, to train on")
    _add_number(command, "--longest-side", 1600, "larger images are shrunk to it, in pixels")
    command.add_argument(
        "--camera",
        help="that took all images: a calibration file or fx,fy,cx,cy in pixels; by default it is "
        "found out",
    )
    command.add_argument(
        "--shared-camera", action="store_true", help="one unknown camera took all images"
    )
    command.add_argument(
        "--min-overlap",
        type=float,
        default=0.1,
        help="share of tracks that the images of a pair have in common (default: %(default)s)",
    )
    command.add_argument(
        "--ratio", type=float, default=0.8, help="of the ratio test (default: %(default)s)"
    )
    _add_number(command, "--threads", -1, "of COLMAP; -1 for all processors")
    command.add_argument("--device", default="auto", help="to match on: auto, cpu, cuda or cuda:N")


def _add_prepare_megadepth(commands: argparse._SubParsersAction) -> None:
    command = _add(
        commands,
        "prepare-megadepth",
        "MegaDepth's reconstructions to one .npz a scene",
        _prepare_megadepth,
    )
    command.add_argument(
        "base_path",
        metavar="MEGADEPTH",
        help="folder with Undistorted_SfM/ and phoenix/ (docs/megadepth.md)",
    )
    command.add_argument("output", help="folder of SCENE.npz; scenes that are there are kept")
    command.add_argument(
        "--scenes", dest="scene_list_path", help="text file of scenes' names, by default all"
    )
    _add_number(command, "--workers", 1, "processes, each at one scene")


def _add_extract_megadepth(commands: argparse._SubParsersAction) -> None:
    command = _add(
        commands,
        "extract-megadepth",
        "features of MegaDepth's images, extracted once",
        _extract_megadepth,
    )
    command.add_argument("scene_list_path", metavar="SCENES", help="text file of scenes' names")
    command.add_argument(
        "scene_info_path",
        metavar="SCENE_INFO",
        help="folder of the .npz of prepare-megadepth or of D2-Net's scripts; these are pickles: "
        "trusted files only",
    )
    command.add_argument(
        "base_path", metavar="MEGADEPTH", help="MegaDepth's folder, from which their paths start"
    )
    command.add_argument("output", help="file to write, .h5; train with --data posed:FILE")
    _add_detector(command)
    _add_number(command, "--max-features", 2048, "of an image")
    _add_number(command, "--longest-side", 1024, "larger images are shrunk to it, in pixels")
    _add_number(command, "--images-per-scene", 200, "most images of a scene, from random pairs")
    for option, default, text in (
        ("--min-overlap", 0.1, "least share of the first image's points that the second shows"),
        ("--max-overlap", 1.0, "largest such share"),
    ):
        command.add_argument(
            option, type=float, default=default, help=f"{text} (default: %(default)s)"
        )
    _add_number(command, "--seed", 0, "of the draw of images")
    _add_number(command, "--workers", 1, "processes")


def _add(
    commands: argparse._SubParsersAction, name: str, text: str, make: Callable[..., object]
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)

    def run(options: argparse.Namespace) -> None:
        summary = make(**{name: value for name, value in vars(options).items() if name != "run"})
        if summary is not None:
            print(summary)

    command.set_defaults(run=run)
    return command


def _add_detector(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--detector", default="sift", help="whose features to extract (default: %(default)s)"
    )


def _add_number(command: argparse.ArgumentParser, option: str, default: int, text: str) -> None:
    command.add_argument(
        option, type=int, default=default, metavar="N", help=f"{text} (default: %(default)s)"
    )


def _render(photos: str | None, holdout: int, **options: object) -> None:
    from ...photos import find_photos, split_photos
    from .rendered.views import render_views

    textures = split_photos(find_photos(photos), holdout)[0] if photos else None
    render_views(options.pop("output"), photos=textures, **options)


def _reconstruct(**options: object) -> object:
    from .reconstruction.reconstruct import reconstruct

    return reconstruct(**options)


def _prepare_megadepth(**options: object) -> object:
    from .megadepth.preprocessing import prepare

    return prepare(**options)


def _extract_megadepth(**options: object) -> object:
    from .megadepth.extraction import extract

    return extract(**options)
