# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matching of photographs with warped views of them, whose homography is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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


@dataclass(frozen=True, eq=False)
class WarpedPair:
    """Features of a photograph and of a view of it.

    Attributes:
        image_shape: (height, width) of both.
        photo: Features of the photograph.
        view: Features of the view.
        homography: (3, 3) from pixels of the photograph to those of the view.
    """

    image_shape: tuple[int, int]
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
    pairs = []
    for number, path in enumerate(Progress(photos, f"views ({extractor.name})")):
        photo = read_photo(path, LONGEST_SIDE)
        if photo is None:
            continue
        rng = np.random.default_rng([seed, number])
        homography = random_homography(rng, photo.shape, views)
        image, mask = warp_image(photo, homography)
        view = extractor(change_light(rng, image), mask)
        pairs.append(WarpedPair(photo.shape, extractor(photo), view, homography))
    return pairs


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
            photo, view = boost(photo, pair.image_shape), boost(view, pair.image_shape)
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
