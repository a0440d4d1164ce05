# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Node parameters as one frozen dataclass per node.

A field made with :func:`parameter` carries its description, what is allowed and when it may change.
From that come the declaration (:func:`declare`), the validation (:func:`changed`), and the table in
docs/parameters.md (:mod:`feature_booster_ros.nodes.parameter_tables`).
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import math
import sys
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node

Parameters = TypeVar("Parameters")
Value = TypeVar("Value", bool, int, float, str)

# ROS ranges have two ends; these stand for an open one.
_LARGEST_INTEGER = 2**31 - 1
_LARGEST_FLOAT = sys.float_info.max

_TYPE_NAMES = {bool: "bool", int: "integer", float: "double", str: "string"}
_ARTICLES = {int: "an"}


class ParameterError(ValueError):
    """A parameter value that is not allowed; the message names parameter, value and what is."""


class Change(enum.Enum):
    """When a parameter may be set."""

    LIVE = "any time"
    UNCONFIGURED = "while unconfigured"
    START = "at start"


@dataclasses.dataclass(frozen=True)
class Specification:
    """What a parameter is and which values it takes."""

    name: str
    type: type
    default: Any
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    change: Change

    @property
    def allowed(self) -> str:
        """The values allowed, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum} to {self.maximum}"
        if self.minimum is not None:
            return f"{self.minimum} or more"
        return "true or false" if self.type is bool else f"any {_TYPE_NAMES[self.type]}"

    def check(self, value: Any) -> None:
        """Raises ParameterError unless ``value`` has the type, and is in the range or among the
        choices.
        """
        # bool is a subclass of int in Python, but not in ROS.
        if type(value) is not self.type:
            hint = f": write {value}.0" if self.type is float and type(value) is int else ""
            kind = f"{_ARTICLES.get(self.type, 'a')} {_TYPE_NAMES[self.type]}"
            raise ParameterError(
                f"parameter '{self.name}' takes {kind}, {self.allowed}, not {value!r}{hint}"
            )
        fits = not self.choices or value in self.choices
        if self.type is float and not math.isfinite(value):
            fits = False
        if self.minimum is not None and not value >= self.minimum:
            fits = False
        if self.maximum is not None and not value <= self.maximum:
            fits = False
        if not fits:
            raise ParameterError(f"parameter '{self.name}' must be {self.allowed}, not {value!r}")

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` shows; ROS itself checks the type, the range and
        read_only.
        """
        descriptor = ParameterDescriptor(
            name=self.name,
            description=self.description,
            read_only=self.change is Change.START,
        )
        constraints = [self.allowed.capitalize()] if self.choices else []
        if self.change is Change.UNCONFIGURED:
            constraints.append("Can be set while the node is unconfigured")
        descriptor.additional_constraints = ". ".join(constraints)
        if self.minimum is not None and self.type is int:
            largest = _LARGEST_INTEGER if self.maximum is None else int(self.maximum)
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.minimum), to_value=largest, step=0)
            ]
        elif self.minimum is not None and self.type is float:
            largest = _LARGEST_FLOAT if self.maximum is None else float(self.maximum)
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.minimum), to_value=largest, step=0.0)
            ]
        return descriptor


def parameter(
    default: Value,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Iterable[str] = (),
    change: Change = Change.LIVE,
) -> Value:
    """A field of a parameter dataclass: ``name: type = parameter(default, description, ...)``.

    Args:
        default: of the field's type: bool, int, float or str.
        description: one sentence, with the unit.
        minimum: lowest value of a number; a number with a ``maximum`` has a ``minimum`` too.
        maximum: highest value of a number.
        choices: the strings allowed; none for any.
        change: when the parameter may be set.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "description": description,
            "minimum": minimum,
            "maximum": maximum,
            "choices": tuple(choices),
            "change": change,
        },
    )


def specifications(parameter_type: type) -> dict[str, Specification]:
    """The parameters of a dataclass by name, in its order."""
    types = typing.get_type_hints(parameter_type)
    return {
        field.name: Specification(field.name, types[field.name], field.default, **field.metadata)
        for field in dataclasses.fields(parameter_type)
    }


def from_values(parameter_type: type[Parameters], values: Mapping[str, Any]) -> Parameters:
    """An instance with ``values`` and else the defaults, checked.

    Raises:
        ParameterError: a name is unknown, a value is not allowed, or two values do not go together.
    """
    known = specifications(parameter_type)
    for name, value in values.items():
        if name not in known:
            raise ParameterError(f"there is no parameter '{name}'{_suggestion(name, known)}")
        known[name].check(value)
    try:
        return parameter_type(**values)
    except ValueError as error:  # of __post_init__, which checks what concerns several parameters
        raise ParameterError(str(error)) from error


def declare(node: Node, parameter_type: type[Parameters]) -> Parameters:
    """Declares the parameters on ``node`` and returns the values it was started with.

    A name on the command line or in a parameter file that is nearly one of the node's is warned
    about, since ROS ignores it silently. Other unknown names may be meant for other nodes. Two
    optional attributes of the dataclass, both by former name, say what became of parameters:
    ``RENAMED`` has the new names, and the node refuses the former ones; ``RETIRED`` says in words
    what took a parameter's place, which is warned about.

    Raises:
        ParameterError: a value that the node was started with is not allowed, or a parameter was
            given by its former name.
    """
    known = specifications(parameter_type)
    for former, name in getattr(parameter_type, "RENAMED", {}).items():
        if former in getattr(node, "_parameter_overrides", {}):
            raise ParameterError(f"parameter '{former}' is called '{name}' now: rename it")
    values = {}
    for name, specification in known.items():
        try:
            node.declare_parameter(name, specification.default, specification.descriptor())
        except ParameterException:
            # Say it in our words: rclpy's do not tell the values that are allowed.
            override = getattr(node, "_parameter_overrides", {}).get(name)
            if override is not None:
                specification.check(override.value)
            raise
        values[name] = node.get_parameter(name).value
    _warn_of_overrides(node, known, getattr(parameter_type, "RETIRED", {}))
    return from_values(parameter_type, values)


def changed(current: Parameters, values: Mapping[str, Any], configured: bool) -> Parameters:
    """``current`` with ``values``, checked.

    Args:
        current: the values in force.
        values: new values by name; names that are not in the dataclass are passed over.
        configured: whether the node has left its unconfigured state.

    Raises:
        ParameterError: a value is not allowed, or may not be set now.
    """
    known = specifications(type(current))
    new = {name: value for name, value in values.items() if name in known}
    for name, value in new.items():
        known[name].check(value)
        if value == getattr(current, name):
            continue
        if known[name].change is Change.UNCONFIGURED and configured:
            raise ParameterError(
                f"parameter '{name}' can be set only while the node is unconfigured: deactivate "
                "and clean up the node first (ros2 lifecycle set NODE deactivate; ros2 lifecycle "
                "set NODE cleanup)"
            )
    try:
        return dataclasses.replace(current, **new)
    except ValueError as error:
        raise ParameterError(str(error)) from error


def markdown_table(parameter_type: type) -> str:
    """The parameters as a Markdown table."""
    lines = [
        "| parameter | type | default | allowed | set | description |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for specification in specifications(parameter_type).values():
        default = specification.default
        shown = (
            str(default).lower()
            if isinstance(default, bool)
            else f'"{default}"'
            if default == ""
            else default
        )
        lines.append(
            f"| `{specification.name}` | {_TYPE_NAMES[specification.type]} | `{shown}` | "
            f"{specification.allowed} | {specification.change.value} | {specification.description} "
            "|"
        )
    return "\n".join(lines)


def _warn_of_overrides(
    node: Node, known: Mapping[str, Specification], retired: Mapping[str, str]
) -> None:
    for name in getattr(node, "_parameter_overrides", {}):
        if name in retired:
            node.get_logger().warning(
                f"parameter '{name}' is no more and has no effect: {retired[name]}"
            )
            continue
        suggestion = _suggestion(name, known)
        if suggestion and not node.has_parameter(name):
            node.get_logger().warning(
                f"there is no parameter '{name}'{suggestion}: its value has no effect"
            )


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return f" (did you mean '{close[0]}'?)" if close else ""
