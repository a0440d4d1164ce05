# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of a run as command line options."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from .datasets.opening import KINDS
from .settings import CHOICES, TrainingSettings, settings_from

_METAVARS = {"int": "N", "float": "X", "str": "TEXT"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives a parser ``--config`` and an option for every field of :class:`TrainingSettings`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _sources_help()
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file of settings, which the other options override; with --resume, by default "
        "that of the run in OUTPUT",
    )
    for field in dataclasses.fields(TrainingSettings):
        option, text = "--" + field.name.replace("_", "-"), field.metadata["help"]
        # What is not given stays away, so that it overrides nothing.
        common = {"dest": field.name, "default": argparse.SUPPRESS}
        hidden = field.default in (dataclasses.MISSING, None, "") or field.type == "bool"
        if not hidden:
            text += f" (default: {field.default})"
        if field.name == "data":
            parser.add_argument(
                option, nargs="+", action="extend", metavar="SOURCE", help=text, **common
            )
        elif field.type == "bool":
            action = argparse.BooleanOptionalAction
            parser.add_argument(option, action=action, help=text, **common)
        elif field.name in CHOICES:
            parser.add_argument(option, choices=CHOICES[field.name], help=text, **common)
        else:
            kind = field.type.removesuffix(" | None")
            parser.add_argument(option, metavar=_METAVARS[kind], help=text, **common)


def settings_from_options(options: argparse.Namespace) -> TrainingSettings:
    """The settings that the options of :func:`add_arguments` name; errors as
    :func:`.settings.settings_from`.
    """
    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    overrides = {name: value for name, value in vars(options).items() if name in names}
    config = options.config
    if config is None and overrides.get("resume") and "output" in overrides:
        config = Path(overrides["output"]) / "settings.yaml"
    return settings_from(config, overrides)


def _sources_help() -> str:
    lines = ["sources of data, as KIND:PATH[,option=value...]:"]
    for kind, specification in KINDS.items():
        lines.append(f"  {kind}: {' '.join((specification.__doc__ or '').split())}")
        for field in dataclasses.fields(specification):
            if field.name != "path":
                default = "" if field.default == "" else f" (default: {field.default})"
                lines.append(f"    {field.name:22} {field.metadata['help']}{default}")
    return "\n".join(lines)
