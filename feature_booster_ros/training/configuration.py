# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read the fields of a dataclass from YAML or a command line, with errors that name the key."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

_KINDS = {"int": int, "float": float, "str": str}
_TRUTH = {"true": True, "false": False, "yes": True, "no": False}


def check_keys(values: Collection[str], known: Collection[str], what: str, noun: str) -> None:
    """Refuse keys that are not known.

    Args:
        values: Keys that are given.
        known: Keys that exist.
        what: What is configured, for the message.
        noun: What a key is, for the message.

    Raises:
        ValueError: A key is not known; the message names it and the nearest that is.
    """
    for key in values:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise ValueError(f"{what}: no {noun} is called {key!r}; {hint}")


def read_fields(cls: type, values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the arguments of a dataclass by name, each of its field's type.

    The types are int, float, str or bool, or one of these or None; other fields are not changed.

    Args:
        cls: Dataclass whose annotations are text.
        values: Values by name; a number or a truth may be text.
        what: What is configured, for the messages.

    Raises:
        ValueError: A key is not a field, a field without default is missing, or a value has
            another type; the message names it.
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
        name: read_value(f"{what}: {name}", value, str(fields[name].type))
        for name, value in values.items()
    }


def read_value(name: str, value: Any, annotation: str) -> Any:
    """Return a value as its annotation asks.

    Raises:
        ValueError: It has another type; the message begins with ``name``.
    """
    kind = annotation.removesuffix(" | None")
    if value is None and kind != annotation:
        return None
    if kind not in (*_KINDS, "bool"):
        return value
    # YAML reads 1e-3, without a point, as text, and a command line gives text only.
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
