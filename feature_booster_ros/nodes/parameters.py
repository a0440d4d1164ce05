# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Node parameters as one frozen dataclass per node.

A field made with :func:`parameter` carries its description, what is allowed and when it may change.
From that come the declaration (:func:`declare`), the validation (:func:`changed`), ``--help``, and
docs/parameters.md and config/booster.yaml (:mod:`feature_booster_ros.nodes.parameter_tables`).
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import math
import sys
import textwrap
import typing
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import QoSProfile

from .qos import RELIABILITIES, stream_profile

Parameters = TypeVar("Parameters", bound="NodeParameters")
Value = TypeVar("Value", bool, int, float, str)

# ROS ranges have two ends; these stand for an open one.
_LARGEST_INTEGER = 2**31 - 1
_LARGEST_FLOAT = sys.float_info.max

_TYPE_NAMES = {bool: "a bool", int: "an integer", float: "a double", str: "a string"}


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
    def type_name(self) -> str:
        """The type as ROS calls it."""
        return _TYPE_NAMES[self.type].partition(" ")[2]

    @property
    def is_free(self) -> bool:
        """Whether every value of the type is allowed."""
        return not self.choices and self.minimum is None and self.maximum is None

    @property
    def literal(self) -> str:
        """The default as it is written in a parameter file."""
        if isinstance(self.default, bool):
            return str(self.default).lower()
        return f'"{self.default}"' if isinstance(self.default, str) else str(self.default)

    @property
    def allowed(self) -> str:
        """The values allowed, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum} to {self.maximum}"
        if self.minimum is not None:
            return f"{self.minimum} or more"
        return "true or false" if self.type is bool else f"any {self.type_name}"

    def check(self, value: Any) -> None:
        """Raise ParameterError unless ``value`` has the type and is allowed."""
        # bool is a subclass of int in Python, but not in ROS.
        if type(value) is not self.type:
            hint = f": write {value}.0" if self.type is float and type(value) is int else ""
            raise ParameterError(
                f"parameter '{self.name}' takes {_TYPE_NAMES[self.type]}, {self.allowed}, not "
                f"{value!r}{hint}"
            )
        if not self._allows(value):
            raise ParameterError(f"parameter '{self.name}' must be {self.allowed}, not {value!r}")

    def _allows(self, value: Any) -> bool:
        if isinstance(value, str):
            return not self.choices or value in self.choices
        return (
            math.isfinite(value)
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )

    def descriptor(self) -> ParameterDescriptor:
        """Return what ``ros2 param describe`` shows; ROS checks type and range.

        No parameter is read_only: ROS then refuses even the value in force, and ``ros2 param load``
        of a node's own dump would complain.
        """
        descriptor = ParameterDescriptor(name=self.name, description=self.description)
        constraints = [self.allowed.capitalize()] if self.choices else []
        if self.change is Change.UNCONFIGURED:
            constraints.append("Can be set while the node is unconfigured")
        elif self.change is Change.START:
            constraints.append("Can be set at start only")
        descriptor.additional_constraints = ". ".join(constraints)
        if self.minimum is not None and self.type is int:
            last = _LARGEST_INTEGER if self.maximum is None else int(self.maximum)
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.minimum), to_value=last, step=0)
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
    """Return a field of a parameter dataclass: ``name: type = parameter(default, description)``.

    Args:
        default: Of the field's type: bool, int, float or str.
        description: One sentence: quantity, unit, effect.
        minimum: Lowest value of a number; a number with a ``maximum`` has a ``minimum`` too.
        maximum: Highest value of a number.
        choices: The strings allowed; none for any.
        change: When the parameter may be set.
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


@dataclasses.dataclass(frozen=True)
class NodeParameters:
    """Parameters of every node of the package.

    Two attributes of a subclass, both by former name, say what became of parameters.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """The new names. The node refuses the former ones."""
    RETIRED: ClassVar[Mapping[str, str]] = {}
    """What took a parameter's place, in words. The node warns of the former names."""

    autostart: bool = parameter(
        True,
        "Configure and activate at start; false leaves that to a lifecycle manager.",
        change=Change.START,
    )
    qos_output_reliability: str = parameter(
        "reliable",
        "Reliability of the publishers; best_effort serves best-effort subscriptions only.",
        choices=RELIABILITIES,
        change=Change.UNCONFIGURED,
    )
    qos_output_depth: int = parameter(
        5,
        "Messages that each publisher keeps for slow subscriptions.",
        minimum=1,
        maximum=1000,
        change=Change.UNCONFIGURED,
    )

    def output_profile(self) -> QoSProfile:
        """Return the quality of service of the publishers."""
        return stream_profile(self.qos_output_reliability, self.qos_output_depth)


@dataclasses.dataclass(frozen=True)
class FrameNodeParameters(NodeParameters):
    """Parameters of the nodes that work on a stream of frames and publish diagnostics of it."""

    qos_input_reliability: str = parameter(
        "reliable",
        "Reliability of the subscription to features; best_effort also connects to best-effort "
        "publishers.",
        choices=RELIABILITIES,
        change=Change.UNCONFIGURED,
    )
    qos_input_depth: int = parameter(
        5,
        "Messages that the middleware keeps for each subscription.",
        minimum=1,
        maximum=1000,
        change=Change.UNCONFIGURED,
    )
    diagnostics_period: float = parameter(
        1.0,
        "Seconds between two messages on /diagnostics.",
        minimum=0.1,
        maximum=60.0,
        change=Change.UNCONFIGURED,
    )

    def input_profile(self) -> QoSProfile:
        """Return the quality of service of the subscriptions."""
        return stream_profile(self.qos_input_reliability, self.qos_input_depth)


@dataclasses.dataclass(frozen=True)
class FeatureNodeParameters(FrameNodeParameters):
    """Parameters of the nodes that subscribe to features."""

    max_input_features: int = parameter(
        100_000,
        "A FeatureArray of more features is refused, as time and memory grow with their square.",
        minimum=1,
        maximum=10_000_000,
    )


def specifications(parameter_type: type) -> dict[str, Specification]:
    """Return the parameters of a dataclass by name, those that are all nodes' last."""
    types = typing.get_type_hints(parameter_type)
    fields = {field.name: field for field in dataclasses.fields(parameter_type)}
    names = [
        name for cls in parameter_type.__mro__ for name in vars(cls).get("__annotations__", ())
    ]
    return {
        name: Specification(name, types[name], fields[name].default, **fields[name].metadata)
        for name in dict.fromkeys(names)
        if name in fields
    }


def from_values(parameter_type: type[Parameters], values: Mapping[str, Any]) -> Parameters:
    """Return an instance with ``values`` and else the defaults, checked.

    Raises:
        ParameterError: A name is unknown, a value is not allowed, or two values do not go together.
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
    """Declare the parameters on ``node`` and return the values it was started with.

    A name on the command line or in a parameter file that is nearly one of the node's is warned
    about, since ROS ignores it silently. Other unknown names may be meant for other nodes.

    Raises:
        ParameterError: A value that the node was started with is not allowed, or a parameter was
            given by its former name.
    """
    known = specifications(parameter_type)
    overrides = getattr(node, "_parameter_overrides", {})
    for former, name in parameter_type.RENAMED.items():
        if former in overrides:
            raise ParameterError(f"parameter '{former}' is called '{name}' now: rename it")
    values = {}
    for name, specification in known.items():
        try:
            node.declare_parameter(name, specification.default, specification.descriptor())
        except ParameterException:
            # In our words: rclpy's do not name the values that are allowed.
            if name in overrides:
                specification.check(overrides[name].value)
            raise
        values[name] = node.get_parameter(name).value
    _warn_of_overrides(node, overrides, known, parameter_type.RETIRED)
    return from_values(parameter_type, values)


def changed(current: Parameters, values: Mapping[str, Any], configured: bool) -> Parameters:
    """Return ``current`` with ``values``, checked.

    Args:
        current: The values in force.
        values: New values by name; names that are not in the dataclass are ignored.
        configured: Whether the node has left its unconfigured state.

    Raises:
        ParameterError: A value is not allowed, or may not be set now.
    """
    known = specifications(type(current))
    new = {name: value for name, value in values.items() if name in known}
    for name, value in new.items():
        known[name].check(value)
        if value == getattr(current, name):
            continue
        if known[name].change is Change.START:
            raise ParameterError(
                f"parameter '{name}' can be set at start only (-p {name}:={str(value).lower()})"
            )
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
    """Return the parameters as a Markdown table."""
    lines = [
        "| parameter | type | default | allowed | set | description |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in specifications(parameter_type).values():
        default = each.literal if each.type is not str else each.default or '""'
        lines.append(
            f"| `{each.name}` | {each.type_name} | `{default}` | {each.allowed} | "
            f"{each.change.value} | {each.description} |"
        )
    return "\n".join(lines)


def plain_table(parameter_type: type) -> str:
    """Return the parameters as lines for a terminal."""
    return "\n".join(
        f"  {each.name} ({', '.join(_summary(each))})\n"
        + textwrap.indent(textwrap.fill(each.description, 90), "      ")
        for each in specifications(parameter_type).values()
    )


def _summary(parameter: Specification) -> list[str]:
    parts = [parameter.type_name, parameter.literal]
    return parts if parameter.is_free else [*parts, parameter.allowed]


def parameter_file_section(parameter_type: type) -> str:
    """Return the lines below ``ros__parameters`` of a parameter file, with the defaults."""
    lines = []
    for each in specifications(parameter_type).values():
        text = each.description
        if not each.is_free:
            text = f"{text.rstrip('.')} ({each.allowed.removeprefix('one of ')})."
        if each.change is not Change.LIVE:
            text += f" [{each.change.value.removeprefix('while ')}]"
        lines += [f"# {line}" for line in textwrap.wrap(text, 94, break_on_hyphens=False)]
        lines.append(f"{each.name}: {each.literal}")
    return textwrap.indent("\n".join(lines), "    ")


def _warn_of_overrides(
    node: Node,
    overrides: Iterable[str],
    known: Mapping[str, Specification],
    retired: Mapping[str, str],
) -> None:
    for name in overrides:
        if name in retired:
            node.get_logger().warning(
                f"parameter '{name}' no longer exists and has no effect: {retired[name]}"
            )
        elif not node.has_parameter(name) and (suggestion := _suggestion(name, known)):
            node.get_logger().warning(
                f"there is no parameter '{name}'{suggestion}: its value has no effect"
            )


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return f" (did you mean '{close[0]}'?)" if close else ""
