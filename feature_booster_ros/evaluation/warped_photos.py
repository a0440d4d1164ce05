# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matching of photographs with warped views of them, whose homography is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..features import Extractor, Features
from ..matching import match
from ..photos import (
    ViewDistribution,
    change_light,
    random_homography,
    read_photo,
    warp_image,
)
from ..progress import Progress
from .homography import transfer_errors
from .metrics import MatchingScore, score_matches

LONGEST_SIDE = 480
"""Longest side to which photographs are shrunk [px]."""

# Written out, so that results stay comparable when the defaults of training change.
DEFAULT_VIEWS = ViewDistribution(
    rotation=25.0, full_rotation_share=0.15, log2_scale=0.45, tilt=20.0, shift=0.1
)

TURNS = (0, 90, 180)
"""Turns of the camera about its optical axis, of views without any other roll [degrees]."""


@dataclass(frozen=True, eq=False)
class WarpedPair:
    """Features of a photograph and of a view of it.

    Attributes:
        photo_shape: (height, width) of the photograph.
        view_shape: (height, width) of the view.
        photo: Features of the photograph.
        view: Features of the view.
        homography: (3, 3) from pixels of the photograph to those of the view.
    """

    photo_shape: tuple[int, int]
    view_shape: tuple[int, int]
    photo: Features
    view: Features
    homography: np.ndarray


def warped_pairs(
    photos: Sequence[Path],
    extractor: Extractor,
    views: ViewDistribution = DEFAULT_VIEWS,
    seed: int = 1,
) -> list[WarpedPair]:
    """Extract the features of each photograph that can be read and of a random view of it.

    Args:
        photos: Paths of the photographs.
        extractor: Extractor of the features.
        views: Distribution of the views.
        seed: Seed of the views.
    """
    return [
        pairs[0]
        for pairs in _each_photo(photos, extractor, views, seed, (0,), f"views ({extractor.name})")
    ]


def turned_pairs(
    photos: Sequence[Path], extractor: Extractor, seed: int = 1
) -> dict[int, list[WarpedPair]]:
    """Extract the features of each photograph and of a view without roll, turned by ``TURNS``.

    Args:
        photos: Paths of the photographs.
        extractor: Extractor of the features.
        seed: Seed of the views.

    Returns:
        For each turn in degrees, a pair for each photograph that can be read.
    """
    level = dataclasses.replace(DEFAULT_VIEWS, rotation=0.0, full_rotation_share=0.0)
    label = f"turned views ({extractor.name})"
    by_photo = list(_each_photo(photos, extractor, level, seed, TURNS, label))
    return {turn: [pairs[place] for pairs in by_photo] for place, turn in enumerate(TURNS)}


def _each_photo(
    photos: Sequence[Path],
    extractor: Extractor,
    views: ViewDistribution,
    seed: int,
    turns: Sequence[int],
    label: str,
) -> Iterator[list[WarpedPair]]:
    """Yield for each photograph that can be read its random view, turned by each of ``turns``."""
    for number, path in enumerate(Progress(photos, label)):
        photo = read_photo(path, LONGEST_SIDE)
        if photo is None:
            continue
        rng = np.random.default_rng([seed, number])
        homography = random_homography(rng, photo.shape, views)
        image, mask = warp_image(photo, homography)
        image, features = change_light(rng, image), extractor(photo)
        pairs = []
        for turn in turns:
            view = np.ascontiguousarray(np.rot90(image, turn // 90))
            height, width = view.shape
            seen = np.ascontiguousarray(np.rot90(mask, turn // 90))
            turned = _turn(image.shape, turn) @ homography
            described = extractor(view, seen)
            pairs.append(WarpedPair(photo.shape, (height, width), features, described, turned))
        yield pairs


def _turn(shape: tuple[int, ...], turn: int) -> np.ndarray:
    """Return the (3, 3) homography from the pixels of an image to those of ``numpy.rot90`` of it.

    Args:
        shape: (height, width) of the image.
        turn: 0, 90, 180 or 270 degrees.
    """
    height, width = shape
    homography = np.eye(3)
    for _ in range(turn // 90):
        homography = np.array([[0, 1, 0], [-1, 0, width - 1], [0, 0, 1.0]]) @ homography
        height, width = width, height
    return homography


def evaluate_warped_pairs(
    pairs: Iterable[WarpedPair],
    boost: Callable[[Features, tuple[int, int]], Features] | None = None,
) -> MatchingScore:
    """Score the mutual nearest neighbors of pairs, raw or boosted, against the homographies.

    Args:
        pairs: Pairs, as of :func:`warped_pairs`.
        boost: Features and image shape in, features out, such as a Booster; None for raw features.
    """
    errors, counts, points = [], [], []
    for pair in pairs:
        photo, view = pair.photo, pair.view
        if boost is not None:
            photo, view = boost(photo, pair.photo_shape), boost(view, pair.view_shape)
        matches = match(photo, view)
        points.append(photo.keypoints[matches.indices[:, 0]])
        errors.append(
            transfer_errors(
                points[-1],
                view.keypoints[matches.indices[:, 1]],
                pair.homography,
            )
        )
        counts.append((len(photo) + len(view)) / 2)
    return score_matches(counts, errors, points)
