# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which pairs of images are matched."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from ..errors import read_text
from ..methods import create_method
from ..pixels import read_gray, shrink
from ..progress import Progress
from ..retrieval import ImageIndex, read_vocabulary

FOLLOWING = 10
"""Images with which each one is matched in a sequence: those that follow it."""
RETRIEVED = 20
"""Images with which each one is matched when they are retrieved: the most similar."""
RETRIEVAL_MODEL = "ORB+Boost-B"
"""Model whose features and shipped vocabulary retrieve images."""
_RETRIEVAL_FEATURES = 1000
_RETRIEVAL_SIDE = 1024
"""Longest side to which larger images are shrunk for retrieval [px]."""


def choose_pairs(
    choice: str, names: Sequence[str], images: Path | None = None, device: str = "auto"
) -> list[tuple[str, str]]:
    """Return the pairs of images to match, each once and in one order.

    Args:
        choice: "exhaustive" for all pairs, "sequential" or "sequential:N" for each image with the
            N that follow it, "retrieved" or "retrieved:N" for each with the N most similar by the
            words of the shipped vocabulary, or the path of a file with two names a line, as hloc
            and COLMAP have them.
        names: Names of all images, in the order in which they were taken if that matters.
        images: Folder of the images, which only "retrieved" reads.
        device: Device of the booster of "retrieved": auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: There is no such choice or file, the file has a line that is not two names, or
            "retrieved" has no folder of images or cannot read one.
    """
    if choice == "exhaustive":
        return list(itertools.combinations(names, 2))
    kind, _, count = choice.partition(":")
    is_count = not count or (count.isdecimal() and int(count) > 0)
    if kind == "sequential" and is_count:
        following = int(count or FOLLOWING)
        return [
            (names[first], names[second])
            for first in range(len(names))
            for second in range(first + 1, min(first + 1 + following, len(names)))
        ]
    if kind == "retrieved" and is_count:
        if images is None:
            raise ValueError(
                "pairs that are retrieved need the folder of the images: give --images"
            )
        return _retrieve_pairs(images, names, int(count or RETRIEVED), device)
    path = Path(choice)
    if not path.is_file():
        raise ValueError(
            "pairs must be exhaustive, sequential, sequential:N, retrieved, retrieved:N, with N at "
            f"least 1, or a file, and there is no file {choice}"
        )
    return _read_pairs(path, set(names))


def _retrieve_pairs(
    images: Path, names: Sequence[str], count: int, device: str
) -> list[tuple[str, str]]:
    vocabulary, index = read_vocabulary(RETRIEVAL_MODEL), ImageIndex()
    method = create_method(RETRIEVAL_MODEL, _RETRIEVAL_FEATURES, device)
    described = []
    for name in Progress(names, "words"):
        image, _ = shrink(read_gray(images / name), _RETRIEVAL_SIDE)
        described.append(vocabulary.describe(method(image)))
        index.add(described[-1])
    pairs: dict[tuple[str, str], None] = {}
    for number, words in enumerate(described):
        found, _ = index.query(words, count + 1)
        others = [other for other in found.tolist() if other != number][:count]
        for other in others:
            pairs[names[min(number, other)], names[max(number, other)]] = None
    return list(pairs)


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
