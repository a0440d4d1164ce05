# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Dataclasses from what a YAML file or a command line says, with errors that name the key."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

_KINDS = {"int": int, "float": float, "str": str}
_TRUTH = {"true": True, "false": False, "yes": True, "no": False}


def check_keys(values: Collection[str], known: Collection[str], what: str, noun: str) -> None:
    """ValueError names the first of ``values`` that is not known, and the nearest that is.

    Args:
        values: what was said.
        known: what can be.
        what: is configured.
        noun: what the values are.
    """
    for key in values:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise ValueError(f"{what}: no {noun} is called {key!r}; {hint}")


def read_fields(cls: type, values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The fields of a dataclass by name, each of its annotated type: int, float, str or bool, or
    one of these or None. Fields of other types are taken as they are.

    Args:
        cls: the dataclass.
        values: what was said; a number or a truth may be given as text.
        what: is configured, for the errors.

    Raises:
        ValueError: a key is not a field, a field without default is missing, or a value is of
            another type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    check_keys(list(values), list(fields), what, "option")
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and name not in values
    ]
    if missing:
        raise ValueError(f"{what}: {missing[0]} is missing")
    return {
        name: read_value(f"{what}: {name}", value, fields[name].type)
        for name, value in values.items()
    }


def read_value(name: str, value: Any, annotation: str) -> Any:
    """A value as its annotation has it; ValueError names it where it is none."""
    kind = annotation.removesuffix(" | None")
    if value is None and kind != annotation:
        return None
    if kind not in (*_KINDS, "bool"):
        return value
    # YAML reads 1e-3, without a point, as text, and a command line has nothing but text.
    if kind == "bool":
        truth = _TRUTH.get(value.lower()) if isinstance(value, str) else value
        if isinstance(truth, bool):
            return truth
    elif isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            converted = _KINDS[kind](value)
        except ValueError:
            pass
        else:
            if kind == "str" or float(converted) == float(value):
                return converted
    raise ValueError(f"{name} must be of type {annotation}, not {value!r}")
