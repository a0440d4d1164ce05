# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameter files of ROS, read by commands that take the parameters of nodes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from feature_booster_ros.errors import read_text


def read_parameter_file(path: Path, nodes: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the values of a file such as config/booster.yaml for some nodes.

    Args:
        path: The file.
        nodes: Names of nodes; sections of others are left out. A section counts in any namespace
            (``/booster_node``, ``/**/booster_node``).

    Returns:
        The values by node and parameter, for the nodes that have a section.

    Raises:
        ValueError: The file is no YAML, has no section of these nodes or two of one of them, or a
            section has no ``ros__parameters``.
    """
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    sections = content if isinstance(content, dict) else {}
    found: dict[str, dict[str, Any]] = {}
    for name, section in sections.items():
        node = str(name).rpartition("/")[2]
        if node not in nodes:
            continue
        if node in found:
            raise ValueError(f"{path} has two sections of {node}: leave one")
        if not isinstance(section, dict) or not isinstance(
            values := section.get("ros__parameters"), dict
        ):
            raise ValueError(f"{path}: {name} has no parameters below 'ros__parameters:'")
        found[node] = values
    if not found:
        raise ValueError(
            f"{path} has no section of {', '.join(nodes)}: write it as config/booster.yaml is"
        )
    return found
