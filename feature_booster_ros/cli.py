# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ``feature-booster`` command: every subcommand calls one function elsewhere."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence

from .training.settings import TrainingSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status. What a user can mend is said in one line, without
    a traceback.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        options.run(options)
    except (FileNotFoundError, ValueError) as error:
        print(f"feature-booster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="feature-booster", description="Boosted local features (FeatureBooster)."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    _add_evaluate(commands)
    return parser


def _add_train(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("train", help="train a booster on a folder of photographs")
    for field in dataclasses.fields(TrainingSettings):
        required = field.default is dataclasses.MISSING
        kind = {"int": int, "float": float, "str": str}[field.type]
        text = field.metadata["help"] + (
            "" if required or field.default == "" else " (default: %(default)s)"
        )
        default = None if required else field.default
        option = "--" + field.name.replace("_", "-")
        command.add_argument(option, type=kind, required=required, default=default, help=text)
    command.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from .training.trainer import train

    names = [field.name for field in dataclasses.fields(TrainingSettings)]
    train(TrainingSettings(**{name: getattr(options, name) for name in names}))


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("evaluate", help="compare methods on photographs or a sequence")
    runs = command.add_subparsers(required=True, metavar="RUN")
    photos = runs.add_parser("photos", help="warped photographs: correct matches and MMA")
    photos.add_argument("folder", help="folder of photographs, searched with its subfolders")
    photos.add_argument(
        "--holdout",
        type=int,
        default=10,
        help="only every n-th, as kept from training; 1: all (default: %(default)s)",
    )
    photos.set_defaults(run=_evaluate_photos)
    sequence = runs.add_parser("sequence", help="frames of a sequence: matches, inliers and time")
    sequence.add_argument("source", help="what image_player_node takes: a KITTI folder, a bag, ...")
    sequence.add_argument(
        "--gap", type=int, default=8, help="frames between the two of a pair (default: %(default)s)"
    )
    sequence.set_defaults(run=_evaluate_sequence)
    for run in (photos, sequence):
        run.add_argument(
            "--methods",
            nargs="+",
            default=["sift", "rootsift", "SIFT+Boost-F", "SIFT+Boost-B", "orb", "ORB+Boost-B"],
            metavar="METHOD",
            help="sift, orb, rootsift, a shipped model, a weights file, or LABEL=one of these",
        )
        run.add_argument("--max-features", type=int, default=2048, help="(default: %(default)s)")
        run.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def _evaluate_photos(options: argparse.Namespace) -> None:
    from .evaluation.runs import photos_table

    print(
        photos_table(
            options.folder, options.methods, options.max_features, options.holdout, options.device
        )
    )


def _evaluate_sequence(options: argparse.Namespace) -> None:
    from .evaluation.runs import sequence_table

    print(
        sequence_table(
            options.source, options.methods, options.max_features, options.gap, options.device
        )
    )


if __name__ == "__main__":
    sys.exit(main())
