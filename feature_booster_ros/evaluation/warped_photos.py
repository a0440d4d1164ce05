# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matching of photographs with views of them whose homography is known."""

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
# In full, so that what training prefers can change and this stays comparable.
DEFAULT_VIEWS = ViewDistribution(
    rotation=25.0, full_rotation_share=0.15, log2_scale=0.45, tilt=20.0, shift=0.1
)


@dataclass(frozen=True, eq=False)
class WarpedPair:
    """Features of a photograph and of a view of it, and the homography between the two."""

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
    """A pair of each photograph that can be read, the same for the same seed."""
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
    """Mutual nearest neighbors, raw or boosted, against the homographies.

    Args:
        pairs: from :func:`warped_pairs`.
        boost: features and image shape in, features out, as a Booster; None for the features as
            they are.
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
