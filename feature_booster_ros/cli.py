# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ``feature-booster`` command: every subcommand calls one function elsewhere."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from .evaluation.command_line import add_runs
from .training.datasets.command_line import add_commands
from .training.options import add_arguments, settings_from_options


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
    add_commands(commands)
    _add_benchmark_training(commands)
    return parser


def _add_train(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("train", help="train a booster")
    add_arguments(command)
    command.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from .training.trainer import train

    train(settings_from_options(options))


def _add_benchmark_training(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "benchmark-training", help="time steps of a run, against a plain loop over its pairs"
    )
    add_arguments(command)
    command.add_argument(
        "--timed-steps", type=int, default=5, help="steps timed of each way (default: %(default)s)"
    )
    command.set_defaults(run=_benchmark_training)


def _benchmark_training(options: argparse.Namespace) -> None:
    from .training.benchmark import benchmark_step

    print(benchmark_step(settings_from_options(options), options.timed_steps))


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "evaluate", help="compare methods on photographs, HPatches, pose pairs or a sequence"
    )
    add_runs(command)


if __name__ == "__main__":
    sys.exit(main())
