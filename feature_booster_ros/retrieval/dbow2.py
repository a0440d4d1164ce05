# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vocabularies in the text format of DBoW2, which ORB-SLAM2 and ORB-SLAM3 read.

The first line is ``k L scoring weighting``, here ``k L 0 0`` for the L1 score and TF-IDF. A line of
each node but the root follows: parent, 1 for a leaf, the bytes of the descriptor, weight. Nodes are
numbered by their lines, from 1 on, and words by the leaves among them.

No newline ends the file, since ORB-SLAM takes an empty last line for one more child of the root.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np

from ..booster.model_config import weights_folder
from .vocabulary import Vocabulary

_SHIPPED_SUFFIX = ".vocabulary.txt.gz"
_NO_VOCABULARY = (
    "no vocabulary in the text format of DBoW2: make one with `feature-booster vocabulary`, or "
    "unpack ORB-SLAM's ORBvoc.txt from its archive first"
)


def write_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write a vocabulary; compressed if the name ends in .gz (ORB-SLAM reads it unpacked)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(_lines(vocabulary)).encode("ascii")
    # Without a time in the file, equal vocabularies are equal files.
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def _lines(vocabulary: Vocabulary) -> Iterator[str]:
    yield f"{vocabulary.branching} {vocabulary.depth} 0 0"
    is_leaf = np.zeros(len(vocabulary.parents), np.int64)
    is_leaf[vocabulary.leaves] = 1
    for node in range(1, len(vocabulary.parents)):
        row = " ".join(map(str, vocabulary.descriptors[node].tolist()))
        weight = float(vocabulary.weights[node])
        yield f"{vocabulary.parents[node]} {is_leaf[node]} {row} {weight:.9g}"


def vocabulary_path(name_or_path: str | Path) -> Path:
    """Return the file of the vocabulary shipped for a model, such as ORB+Boost-B, or of a path.

    Raises:
        FileNotFoundError: There is neither such a shipped vocabulary nor such a file.
    """
    shipped = weights_folder() / f"{name_or_path}{_SHIPPED_SUFFIX}"
    if shipped.is_file():
        return shipped
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    names = [path.name for path in sorted(weights_folder().glob(f"*{_SHIPPED_SUFFIX}"))]
    raise FileNotFoundError(
        f"no vocabulary called {str(name_or_path)!r}: neither a file nor one of those shipped "
        f"({', '.join(name.removesuffix(_SHIPPED_SUFFIX) for name in names)})"
    )


def read_vocabulary(name_or_path: str | Path) -> Vocabulary:
    """Read a vocabulary in DBoW2's text format, also ORB-SLAM's ORBvoc.txt.

    Args:
        name_or_path: Model whose shipped vocabulary to read (ORB+Boost-B), or the path of a file.

    Raises:
        FileNotFoundError: There is neither such a shipped vocabulary nor such a file.
        ValueError: It is no such file, or its score or weighting is not L1 and TF-IDF.
    """
    path = vocabulary_path(name_or_path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="ascii") as file:
            head = [int(word) for word in file.readline().split()]
            body = file.read()
        # NumPy only warns of a file without lines.
        nodes = np.loadtxt(StringIO(body), np.float64, ndmin=2) if body else np.zeros((0, 0))
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is {_NO_VOCABULARY} ({error})") from error
    if len(head) != 4 or nodes.shape[1] < 4:
        raise ValueError(f"{path} is {_NO_VOCABULARY}")
    if head[2:] != [0, 0]:
        raise ValueError(
            f"{path} has other scores or weights than L1 and TF-IDF (its first line must end in "
            "0 0): make one with `feature-booster vocabulary`, or with DBoW2's TF_IDF and L1_NORM"
        )
    root = np.zeros((1, nodes.shape[1]))
    root[0, 0] = -1
    nodes = np.concatenate([root, nodes])
    weights = np.where(nodes[:, 1] > 0, nodes[:, -1], 0.0)
    try:
        return Vocabulary(
            head[0], head[1], nodes[:, 0].astype(np.int64), nodes[:, 2:-1].astype(np.uint8), weights
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
