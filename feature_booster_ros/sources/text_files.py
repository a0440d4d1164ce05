# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read the small text files that data sets come with, naming file and line where one is wrong."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")

SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
"""What divides the fields of a line: commas, semicolons, tabs or blanks."""

# The line that names the columns, where it is not marked as a comment.
_HEADER = re.compile(r"\W*(time|stamp|t\b|sec|nsec)", re.IGNORECASE)


def parse_lines(path: Path, parse: Callable[[str], T]) -> list[T]:
    """Return `parse` of every line that is not empty, a comment (#), or names of columns on top.

    A byte-order mark and any kind of line end are accepted.

    Raises:
        ValueError: The file is not text, or `parse` refused a line.
    """
    results = []
    try:
        lines = _decode(path.read_bytes()).splitlines()
    except UnicodeError:
        raise ValueError(f"{path} is not a text file") from None
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            results.append(parse(line))
        except ValueError as error:
            if not results and _HEADER.match(line):
                continue
            raise ValueError(f"{path}, line {number}: {error}") from None
    return results


def _decode(content: bytes) -> str:
    # Windows' shells write what is redirected to a file in UTF-16.
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def parse_numbers(text: str, count: int) -> np.ndarray:
    """Return exactly `count` finite numbers divided by blanks, tabs or commas, float64.

    Raises:
        ValueError: There are more or fewer, or one is not a finite number.
    """
    words = SEPARATOR.split(text.strip(" \t,;"))
    if len(words) != count:
        raise ValueError(f"{len(words)} values, expected {count}")
    numbers = np.array([float(word) for word in words])
    if not np.isfinite(numbers).all():
        raise ValueError(f"{text!r} has a value that is not finite")
    return numbers
