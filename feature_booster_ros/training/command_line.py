# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The subcommands of ``feature-booster`` that train and that make training data.

Each calls one function elsewhere, which is imported when the subcommand runs, so that ``--help`` is
quick.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .datasets.sources import DATA_KINDS
from .settings import CHOICES, TrainingSettings, read_settings

_METAVARS = {"int": "N", "float": "X", "str": "TEXT"}


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the subcommands of training to those of ``feature-booster``."""
    _add_train(commands)
    _add_render_views(commands)
    _add_reconstruct(commands)
    _add_prepare_megadepth(commands)
    _add_extract_megadepth(commands)
    _add_benchmark_training(commands)


def _add_train(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("train", help="train a booster")
    add_training_options(command)
    command.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from .trainer import train

    train(read_training_options(options))


def _add_benchmark_training(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "benchmark-training", help="time steps of a run, against a plain loop over its pairs"
    )
    add_training_options(command)
    command.add_argument(
        "--timed-steps", type=int, default=5, help="steps timed of each way (default: %(default)s)"
    )
    command.set_defaults(run=_benchmark_training)


def _benchmark_training(options: argparse.Namespace) -> None:
    from .step_timing import time_steps

    print(time_steps(read_training_options(options), options.timed_steps))


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
    _add_number(command, "--width", 640, "width of a view [px]")
    _add_number(command, "--height", 480, "height of a view [px]")
    _add_number(command, "--seed", 0, "of the random scenes and cameras")
    _add_number(command, "--workers", 1, "processes to render with")


def _add_reconstruct(commands: argparse._SubParsersAction) -> None:
    command = _add(
        commands,
        "reconstruct",
        "make training pairs from images of one place",
        _reconstruct,
    )
    command.add_argument("images", help="folder of images, searched with its subfolders")
    command.add_argument(
        "output", help="folder to make: tracks.h5 to train on (posed:FILE) and COLMAP's model"
    )
    _add_detector(command)
    _add_number(command, "--max-features", 4096, "features of an image to reconstruct with")
    _add_number(command, "--kept-features", 1024, "features of an image to train on")
    _add_number(command, "--longest-side", 1600, "larger images are shrunk to it [px]")
    command.add_argument(
        "--camera",
        help="camera of all images: a calibration file or fx,fy,cx,cy in pixels; by default it is "
        "estimated",
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
        "--ratio",
        type=float,
        default=0.8,
        help="bound of the ratio test (default: %(default)s)",
    )
    _add_number(command, "--threads", -1, "threads of COLMAP; -1 for all processors")
    command.add_argument("--device", default="auto", help="of matching: auto, cpu, cuda or cuda:N")


def _add_prepare_megadepth(commands: argparse._SubParsersAction) -> None:
    command = _add(
        commands,
        "prepare-megadepth",
        "make one .npz a scene of MegaDepth's reconstructions",
        _prepare_megadepth,
    )
    command.add_argument(
        "base_path",
        metavar="MEGADEPTH",
        help="folder with Undistorted_SfM/ and phoenix/ (docs/megadepth.md)",
    )
    command.add_argument("output", help="folder of SCENE.npz; a scene whose file exists is skipped")
    command.add_argument(
        "--scenes",
        dest="scene_list_path",
        help="text file of scene names, by default all",
    )
    _add_number(command, "--workers", 1, "processes, each at one scene")


def _add_extract_megadepth(commands: argparse._SubParsersAction) -> None:
    command = _add(
        commands,
        "extract-megadepth",
        "extract the features of MegaDepth's images once",
        _extract_megadepth,
    )
    command.add_argument("scene_list_path", metavar="SCENES", help="text file of scene names")
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
    _add_number(command, "--max-features", 2048, "most features of an image")
    _add_number(command, "--longest-side", 1024, "larger images are shrunk to it [px]")
    _add_number(command, "--images-per-scene", 200, "most images of a scene, from random pairs")
    for option, default, text in (
        ("--min-overlap", 0.1, "least share of the first image's points that the second shows"),
        ("--max-overlap", 1.0, "largest such share"),
    ):
        command.add_argument(
            option, type=float, default=default, help=f"{text} (default: %(default)s)"
        )
    _add_number(command, "--seed", 0, "of the random choice of images")
    _add_number(command, "--workers", 1, "processes that extract")


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
        "--detector", default="sift", help="extractor of the features (default: %(default)s)"
    )


def _add_number(command: argparse.ArgumentParser, option: str, default: int, text: str) -> None:
    command.add_argument(
        option, type=int, default=default, metavar="N", help=f"{text} (default: %(default)s)"
    )


def _render(photos: str | None, holdout: int, **options: Any) -> None:
    from ..photos import find_photos, split_photos
    from .datasets.rendered_views import render_views

    textures = split_photos(find_photos(photos), holdout)[0] if photos else None
    render_views(options.pop("output"), photos=textures, **options)


def _reconstruct(**options: Any) -> object:
    from .datasets.reconstruction import reconstruct

    return reconstruct(**options)


def _prepare_megadepth(**options: Any) -> object:
    from .datasets.megadepth.preprocessing import prepare

    return prepare(**options)


def _extract_megadepth(**options: Any) -> object:
    from .datasets.megadepth.extraction import extract

    return extract(**options)


_METAVARS = {"int": "N", "float": "X", "str": "TEXT"}


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` and an option for every field of :class:`TrainingSettings`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _sources_help()
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file of settings, which the other options override; with --resume, by default "
        "that of the run in OUTPUT",
    )
    for field in dataclasses.fields(TrainingSettings):
        kind, text = str(field.type).removesuffix(" | None"), field.metadata["help"]
        if field.default not in (dataclasses.MISSING, None, "") and kind != "bool":
            text += f" (default: {field.default})"
        # An option that is not given stays away, so that it overrides nothing.
        arguments: dict[str, Any] = {
            "dest": field.name,
            "default": argparse.SUPPRESS,
            "help": text,
        }
        if field.name == "data":
            arguments.update(nargs="+", action="extend", metavar="SOURCE")
        elif kind == "bool":
            arguments.update(action=argparse.BooleanOptionalAction)
        elif field.name in CHOICES:
            arguments.update(choices=CHOICES[field.name])
        elif field.name == "network":
            arguments.update(metavar="MAPPING")
        else:
            arguments.update(metavar=_METAVARS[kind])
        parser.add_argument("--" + field.name.replace("_", "-"), **arguments)


def read_training_options(options: argparse.Namespace) -> TrainingSettings:
    """Return the settings that the options of :func:`add_training_options` name.

    Raises:
        FileNotFoundError, ValueError: As :func:`.settings.read_settings`.
    """
    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    overrides = {name: value for name, value in vars(options).items() if name in names}
    config = options.config
    if config is None and overrides.get("resume") and "output" in overrides:
        config = Path(overrides["output"]) / "settings.yaml"
    return read_settings(config, overrides)


def _sources_help() -> str:
    lines = ["sources of data, as KIND:PATH[,option=value...]:"]
    for kind, specification in DATA_KINDS.items():
        lines.append(f"  {kind}: {' '.join((specification.__doc__ or '').split())}")
        for field in dataclasses.fields(specification):
            if field.name != "path":
                default = "" if field.default == "" else f" (default: {field.default})"
                lines.append(f"    {field.name:22} {field.metadata['help']}{default}")
    return "\n".join(lines)
