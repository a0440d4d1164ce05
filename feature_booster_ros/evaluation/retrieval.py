# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How often a vocabulary finds an image of the same place first, or among the first five."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..features import Features
from ..methods import Method
from ..photos import find_photos, split_photos
from ..pixels import to_gray
from ..progress import Progress
from ..retrieval import BagOfWords, ImageIndex, Vocabulary
from ..sources import Source
from .metrics import bootstrap_error
from .output import format_table
from .warped_photos import warped_pairs

RANKS = (1, 5)
"""Numbers of images retrieved, at which recall is counted."""


@dataclass(frozen=True)
class RetrievalScore:
    """What one method finds with its vocabulary.

    Attributes:
        method: Name of the method.
        words: Words of the vocabulary.
        images: Images in the index.
        ranks: (Q,) rank of the first right image of each query, 0 for the most similar;
            infinite if none of those looked at is right.
        describe_ms: Median time to turn descriptors into words [ms].
        query_ms: Median time of a query [ms].
    """

    method: str
    words: int
    images: int
    ranks: tuple[float, ...]
    describe_ms: float
    query_ms: float

    def found(self, rank: int) -> list[float]:
        """Return for each query 1 if a right image is among the first ``rank``, else 0."""
        return [float(place < rank) for place in self.ranks]


class _Words:
    """Describes images by words, and finds them, with the times that takes."""

    def __init__(self, method: Method, vocabulary: Vocabulary) -> None:
        self.method = method
        self._vocabulary = vocabulary
        self._index = ImageIndex()
        self._describe: list[float] = []
        self._query: list[float] = []
        self.ranks: list[float] = []

    def describe(self, features: Features) -> BagOfWords:
        start = time.perf_counter()
        words = self._vocabulary.describe(features)
        self._describe.append(time.perf_counter() - start)
        return words

    def add(self, words: BagOfWords) -> None:
        self._index.add(words)

    def look_up(self, words: BagOfWords, is_right: np.ndarray, is_left_out: np.ndarray) -> None:
        """Look for an image among those added, of which some are right and some not counted."""
        start = time.perf_counter()
        numbers, _ = self._index.query(words, int(is_left_out.sum()) + max(RANKS))
        self._query.append(time.perf_counter() - start)
        hits = np.flatnonzero(is_right[numbers[~is_left_out[numbers]]])
        self.ranks.append(float(hits[0]) if len(hits) else float("inf"))

    def score(self) -> RetrievalScore:
        return RetrievalScore(
            self.method.name,
            len(self._vocabulary),
            len(self._index),
            tuple(self.ranks),
            1e3 * float(np.median(self._describe)),
            1e3 * float(np.median(self._query)),
        )


def evaluate_places(
    source: Source,
    methods: Sequence[Method],
    vocabularies: Sequence[Vocabulary],
    min_gap: int,
    max_distance: float,
    max_angle: float,
) -> list[RetrievalScore]:
    """Look up each frame of a sequence among its other frames.

    Right are frames whose cameras were near and looked the same way. Frames without any right one
    are not looked up.

    Args:
        source: Sequence with ground-truth poses.
        methods: Methods with binary descriptors.
        vocabularies: Vocabulary of each method.
        min_gap: Frames that are nearer in the sequence are left out.
        max_distance: Largest distance between the cameras [m].
        max_angle: Largest angle between their optical axes [degrees].

    Raises:
        ValueError: The source has no poses, or no frame has a right one.
    """
    runs, poses, described = _runs(methods, vocabularies), [], []
    for frame in Progress(source, "frames", source.length):
        if frame.pose is None:
            raise ValueError(
                f"{source.name} has no ground-truth pose of {frame.name}: choose a sequence with "
                "poses, or --warped for a folder of photographs"
            )
        poses.append(frame.pose)
        image = to_gray(frame.image)
        described.append([run.describe(run.method(image)) for run in runs])
    places = np.stack(poses) if poses else np.zeros((0, 4, 4))
    distances = np.linalg.norm(places[:, None, :3, 3] - places[None, :, :3, 3], axis=2)
    cosines = places[:, :3, 2] @ places[:, :3, 2].T
    numbers = np.arange(len(places))
    is_near = np.abs(numbers[:, None] - numbers) < min_gap
    is_right = (distances <= max_distance) & (cosines >= np.cos(np.radians(max_angle))) & ~is_near
    if not is_right.any():
        raise ValueError(
            f"no frame of {source.name} has another one, {min_gap} frames away or more, within "
            f"{max_distance:g} m and {max_angle:g} degrees: raise --max-distance or --max-angle"
        )
    for column, run in enumerate(runs):
        for words in described:
            run.add(words[column])
        for number in np.flatnonzero(is_right.any(1)):
            run.look_up(described[number][column], is_right[number], is_near[number])
    return [run.score() for run in runs]


def evaluate_warped(
    folder: str | Path,
    methods: Sequence[Method],
    vocabularies: Sequence[Vocabulary],
    holdout: int,
) -> list[RetrievalScore]:
    """Look up a warped view of each photograph among all photographs.

    Args:
        folder: Folder of photographs.
        methods: Methods with binary descriptors.
        vocabularies: Vocabulary of each method, which should not be trained on these photographs.
        holdout: Take every n-th photograph only; 1 takes all.
    """
    photos = split_photos(find_photos(folder), holdout)[1]
    runs = _runs(methods, vocabularies)
    for run in runs:
        pairs = warped_pairs(photos, run.method.extractor)
        for pair in pairs:
            run.add(run.describe(run.method.describe(pair.photo, pair.photo_shape)))
        for number, pair in enumerate(pairs):
            is_right = np.arange(len(pairs)) == number
            view = run.method.describe(pair.view, pair.view_shape)
            run.look_up(run.describe(view), is_right, np.zeros(len(pairs), bool))
    return [run.score() for run in runs]


def _runs(methods: Sequence[Method], vocabularies: Sequence[Vocabulary]) -> list[_Words]:
    return [_Words(*pair) for pair in zip(methods, vocabularies, strict=True)]


def retrieval_text(scores: Sequence[RetrievalScore]) -> str:
    """Format the scores as a table in Markdown, with standard errors by bootstrap over queries."""
    header = ["method", "words", "images", "queries"]
    header += [title for rank in RANKS for title in (f"recall@{rank} %", f"± @{rank}")]
    return format_table([*header, "describe ms", "query ms"], list(map(_row, scores)))


def write_retrieval(
    folder: Path, scores: Sequence[RetrievalScore], settings: dict[str, Any]
) -> list[Path]:
    """Write ``results.json`` and ``tables.md`` into a folder, and return their paths.

    Args:
        folder: Created if it does not exist.
        scores: To write; an infinite rank is null.
        settings: Settings of the run, to be kept with the results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results, tables = folder / "results.json", folder / "tables.md"
    entries = [dataclasses.asdict(score) for score in scores]
    for entry in entries:
        entry["ranks"] = [None if rank == float("inf") else int(rank) for rank in entry["ranks"]]
    results.write_text(json.dumps({"settings": settings, "scores": entries}, indent=1) + "\n")
    tables.write_text(retrieval_text(scores) + "\n")
    return [results, tables]


def _row(score: RetrievalScore) -> list[str]:
    def recall() -> Iterator[str]:
        for rank in RANKS:
            found = score.found(rank)
            yield f"{100 * np.mean(found):.1f}"
            yield f"{100 * bootstrap_error(found):.1f}"

    counts = [str(score.words), str(score.images), str(len(score.ranks))]
    times = [f"{score.describe_ms:.1f}", f"{score.query_ms:.1f}"]
    return [score.method, *counts, *recall(), *times]
