# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Extract the features of a folder of images into a file."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np

from ..features import Features
from ..methods import Method, create_method
from ..photos import find_photos
from ..pixels import read_gray, shrink
from ..progress import Progress
from .hloc import FeatureFile

logger = logging.getLogger(__name__)

LONGEST_SIDE = 1600
"""Longest side to which larger images are shrunk before extraction [px]."""


def extract_folder(
    images: Path,
    output: Path,
    method: str = "SIFT+Boost-F",
    max_features: int = 4096,
    longest_side: int | None = LONGEST_SIDE,
    device: str = "auto",
) -> int:
    """Write the features of all images below a folder to a file of hloc's layout.

    Images that the file has already are left as they are, so that an extraction which was
    interrupted goes on.

    Args:
        images: Folder, searched with its subfolders. Images that cannot be read are left out with
            a warning.
        output: HDF5 file.
        method: An extractor, a shipped model or a weights file, as
            :func:`..methods.create_method` takes it.
        max_features: Most features of an image.
        longest_side: Longest side to which larger images are shrunk [px]; None for any. The
            keypoints are in pixels of the file.
        device: Device of the booster: auto, cpu, cuda or cuda:N.

    Returns:
        The number of images in the file.

    Raises:
        FileNotFoundError: There is no such folder, or no image in it.
        ValueError: The file has features of another method, the method or a number is wrong, or
            h5py is missing.
    """
    paths = {path.relative_to(images).as_posix(): path for path in find_photos(images)}
    file = FeatureFile(output)
    maker = create_method(method, max_features, device)
    done, model = set(file.names()), file.model()
    if model not in (None, maker.model):
        raise ValueError(
            f"{output} holds features of {model or 'another program'}, not of {maker.model}: give "
            "another output"
        )
    for name in Progress([name for name in paths if name not in done], "features"):
        try:
            image = read_gray(paths[name])
        except ValueError as error:
            logger.warning("left out: %s", error)
            continue
        features = extract_shrunk(maker, image, longest_side)
        file.write(name, features, (image.shape[1], image.shape[0]))
    return len(file.names())


def extract_shrunk(method: Method, image: np.ndarray, longest_side: int | None) -> Features:
    """Return the features of an image (H, W) uint8 that is shrunk first, in its own pixels."""
    small, ratio = shrink(image, longest_side)
    features = method(small)
    if ratio == 1:
        return features
    exact = np.array(small.shape[::-1]) / image.shape[::-1]
    keypoints = ((features.keypoints + 0.5) / exact - 0.5).astype(np.float32)
    return dataclasses.replace(
        features, keypoints=keypoints, scales=(features.scales / ratio).astype(np.float32)
    )
