# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The descriptors that a vocabulary is trained on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..methods import create_method
from ..photos import find_photos
from ..pixels import read_gray, to_gray
from ..progress import Progress
from ..sources import open_source
from ..sources.bag_files import looks_like_bag

logger = logging.getLogger(__name__)


def extract_binary(
    sources: Sequence[str], method: str, max_features: int, device: str = "auto"
) -> list[np.ndarray]:
    """Return the descriptors (M, B) uint8 of every image that has some.

    Args:
        sources: Folders of images, searched with their subfolders, and what ``open_source`` takes.
        method: With binary descriptors, as :func:`..methods.create_method` takes it.
        max_features: Most features of an image.
        device: Device of the booster: auto, cpu, cuda or cuda:N.

    Raises:
        FileNotFoundError: There is no such source, or no image in it.
        ValueError: The descriptors are not binary, or a source cannot be read.
    """
    maker = create_method(method, max_features, device)
    if not (maker.booster or maker.extractor).is_binary:
        raise ValueError(
            f"a vocabulary needs binary descriptors, which {method} has not: choose orb or "
            "ORB+Boost-B"
        )
    found = []
    for image in Progress(_images(sources), "features"):
        features = maker(image)
        if len(features):
            found.append(features.descriptors)
    return found


def _images(sources: Sequence[str]) -> Iterator[np.ndarray]:
    for source in sources:
        path = Path(source)
        if path.is_dir() and not looks_like_bag(path):
            for photo in find_photos(path):
                try:
                    yield read_gray(photo)
                except ValueError as error:
                    logger.warning("left out: %s", error)
        else:
            with open_source(source) as opened:
                for frame in opened:
                    yield to_gray(frame.image)
