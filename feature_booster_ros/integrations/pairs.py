# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which pairs of images are matched."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from ..errors import read_text

FOLLOWING = 10
"""Images with which each one is matched in a sequence: those that follow it."""


def choose_pairs(choice: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of images to match, each once and in one order.

    Args:
        choice: "exhaustive" for all pairs, "sequential" or "sequential:N" for each image with the
            N that follow it, or the path of a file with two names a line, as hloc and COLMAP have
            them.
        names: Names of all images, in the order in which they were taken if that matters.

    Raises:
        ValueError: There is no such choice or file, or the file has a line that is not two names.
    """
    if choice == "exhaustive":
        return list(itertools.combinations(names, 2))
    kind, _, count = choice.partition(":")
    if kind == "sequential" and (not count or count.isdecimal()):
        following = int(count or FOLLOWING)
        return [
            (names[first], names[second])
            for first in range(len(names))
            for second in range(first + 1, min(first + 1 + following, len(names)))
        ]
    path = Path(choice)
    if not path.is_file():
        raise ValueError(
            f"pairs must be exhaustive, sequential, sequential:N or a file, and there is no file "
            f"{choice}"
        )
    return _read_pairs(path, set(names))


def _read_pairs(path: Path, names: set[str]) -> list[tuple[str, str]]:
    pairs: dict[frozenset[str], tuple[str, str]] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or words[0] == words[1]:
            raise ValueError(f"{path}, line {number}: not the names of two images: {line.strip()}")
        for name in words:
            if name not in names:
                raise ValueError(f"{path}, line {number}: there are no features of {name}")
        pairs.setdefault(frozenset(words), (words[0], words[1]))
    return list(pairs.values())
