# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read the small text files that data sets come with, naming file and line where one is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def parse_lines(path: Path, parse: Callable[[str], T]) -> list[T]:
    """`parse` of every line that is neither empty nor a comment (#).

    Raises:
        ValueError: The file is not text, or `parse` refused a line.
    """
    results = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file") from None
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            results.append(parse(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return results


def parse_numbers(text: str, count: int) -> np.ndarray:
    """Exactly `count` finite numbers divided by blanks, float64.

    Raises:
        ValueError: There are more or fewer, or one is not a finite number.
    """
    words = text.split()
    if len(words) != count:
        raise ValueError(f"{len(words)} values, expected {count}")
    numbers = np.array([float(word) for word in words])
    if not np.isfinite(numbers).all():
        raise ValueError(f"{text!r} has a value that is not finite")
    return numbers
