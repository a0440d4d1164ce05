# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images to work on, and real features in exact numbers."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import install_extra
from ..features import Extractor, Features
from ..sources import open_source
from ..sources.source import Frame

_FIELDS = ("keypoints", "scales", "angles", "scores", "descriptors")
# Copies that make up the number of features differ from their originals by:
_SHIFT = 2.0  # Standard deviation of the shift of a keypoint [px].
_FLOAT_NOISE = 0.02  # Standard deviation of the noise on each element of a unit descriptor.
_FLIPPED_BITS = 0.05  # Share of the bits of a binary descriptor that are flipped.


def pool_features(images: Sequence[np.ndarray], extractor: Extractor, enough: int) -> Features:
    """Extract features from one image after the other, until there are enough.

    Raises:
        ValueError: None of the images has a feature.
    """
    found: list[Features] = []
    for image in images:
        found.append(extractor(image))
        if sum(map(len, found)) >= enough:
            break
    pool = _concatenate(found)
    if not len(pool):
        raise ValueError(f"none of the {len(images)} images has a {extractor.name} feature")
    return pool


def exactly(pool: Features, count: int) -> Features:
    """Draw ``count`` features from the pool, always the same.

    Each is drawn once if the pool has enough. Otherwise copies make up the number, each moved and
    changed a little so that no two are alike.
    """
    generator = np.random.default_rng(0)
    drawn = [generator.permutation(len(pool))[:count]]
    if missing := count - len(drawn[0]):
        drawn.append(generator.integers(0, len(pool), missing))
        return _concatenate([pool.select(drawn[0]), _changed(pool.select(drawn[1]), generator)])
    return pool.select(drawn[0])


def save_features(path: Path, features: Features) -> None:
    """Write features as .npz."""
    np.savez(path, model=features.model, **{name: getattr(features, name) for name in _FIELDS})


def load_features(path: Path) -> Features:
    """Read what :func:`save_features` wrote."""
    with np.load(path) as arrays:
        return _features([arrays[name] for name in _FIELDS], str(arrays["model"]))


def _concatenate(parts: Sequence[Features]) -> Features:
    arrays = [np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS]
    return _features(arrays, parts[0].model)


def _features(arrays: Sequence[np.ndarray], model: str) -> Features:
    """Make features of the arrays of ``_FIELDS``."""
    return Features(**dict(zip(_FIELDS, arrays, strict=True)), model=model)


def _changed(features: Features, generator: np.random.Generator) -> Features:
    keypoints = features.keypoints + generator.normal(0, _SHIFT, features.keypoints.shape)
    if features.is_binary:
        bits = generator.random((len(features), features.descriptor_length)) < _FLIPPED_BITS
        descriptors = features.descriptors ^ np.packbits(bits, axis=1, bitorder="little")
    else:
        noise = generator.normal(0, _FLOAT_NOISE, features.descriptors.shape)
        descriptors = np.maximum(features.descriptors + noise, 0)
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        descriptors = descriptors.astype(np.float32)
    return Features(
        keypoints.astype(np.float32),
        features.scales,
        features.angles,
        features.scores,
        descriptors,
        features.model,
    )


def default_source() -> str:
    """Return the source to use by default.

    Raises:
        ValueError: scikit-image, whose pictures the rendered sequence shows, is not installed.
    """
    if importlib.util.find_spec("skimage") is None:
        raise ValueError(
            "the rendered sequence needs scikit-image, which is not installed: give --source, "
            f"such as a folder of images, or {install_extra('demo')}"
        )
    return "rendered"


def read_frames(source: str, count: int) -> list[Frame]:
    """Read the first frames of a source, at most ``count``.

    Args:
        source: The source, as for :func:`open_source`.
        count: Most frames to read.

    Raises:
        FileNotFoundError: The source does not exist.
        ValueError: It cannot be read, or has fewer than two frames.
    """
    try:
        with open_source(source) as opened:
            frames = list(islice(opened.frames(), count))
    except FileNotFoundError:
        raise
    except (ImportError, OSError) as error:  # A missing package, a camera.
        raise ValueError(f"source {source}: {error}") from error
    if len(frames) < 2:
        raise ValueError(f"source {source} has {len(frames)} frame: a benchmark takes two at least")
    return frames
