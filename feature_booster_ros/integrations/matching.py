# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Match pairs of images whose features are in a file, for hloc or for COLMAP."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..colmap import database as colmap_database
from ..colmap.conventions import import_pycolmap
from ..features import Features
from ..matching import Matches, match
from ..progress import Progress
from .hloc import FeatureFile, MatchFile
from .pairs import choose_pairs

RATIO = 0.9
"""Largest distance of a match as a share of that to the second nearest (Lowe, IJCV 2004).

With 0.8, boosted features register fewer images (docs/integrations/colmap.md).
"""
_CACHED_IMAGES = 64
"""Images whose features are kept in memory."""
_PAIRS_AT_ONCE = 100
"""Pairs whose matches are written to a database together; of these an interruption loses the
matches."""


def match_for_hloc(
    features: Path,
    output: Path,
    pairs: str = "exhaustive",
    ratio: float | None = RATIO,
    device: str = "auto",
    images: Path | None = None,
) -> int:
    """Match pairs of images and write the matches to a file of hloc's layout.

    Pairs that the file has already are left as they are.

    Args:
        features: HDF5 file of features.
        output: HDF5 file of matches.
        pairs: As :func:`.pairs.choose_pairs` takes it.
        ratio: As :func:`match` takes it.
        device: Device of matching: auto, cpu, cuda or cuda:N.
        images: Folder of the images, for pairs that are retrieved.

    Returns:
        The number of pairs in the file of those chosen.

    Raises:
        ValueError: The files or the pairs cannot be used, or h5py is missing.
    """
    file = _existing(features)
    if output.exists() and output.samefile(features):
        raise ValueError(f"{output} holds the features: give another output for the matches")
    matches = MatchFile(output)
    chosen = choose_pairs(pairs, file.names(), images, device)
    for pair, found, a, b in _match(file, matches.missing(chosen), ratio, device):
        matches.write(pair, found, a, b)
    return len(chosen)


def match_for_colmap(
    features: Path,
    images: Path,
    output: Path,
    pairs: str = "exhaustive",
    ratio: float | None = RATIO,
    device: str = "auto",
) -> int:
    """Match pairs of images, and write features, matches and two-view geometries for COLMAP.

    What the database has already is left as it is.

    Args:
        features: HDF5 file of features.
        images: Folder of the images, of which COLMAP reads sizes and focal lengths.
        output: Database, such as ``database.db``.
        pairs: As :func:`.pairs.choose_pairs` takes it.
        ratio: As :func:`match` takes it.
        device: Device of matching: auto, cpu, cuda or cuda:N.

    Returns:
        The number of pairs with a two-view geometry.

    Raises:
        ValueError: The files or the pairs cannot be used, or h5py or pycolmap are missing.
    """
    import_pycolmap("colmap")
    file = _existing(features)
    names = file.names()
    chosen = choose_pairs(pairs, names, images, device)
    if not output.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            colmap_database.import_images(output, images, names, None, False)
        except ValueError:
            output.unlink()  # A later call would go on with a part of the images.
            raise
    ids = colmap_database.image_ids(output)
    if unknown := [name for name in names if name not in ids]:
        raise ValueError(f"{output} has no image {unknown[0]}: give another output")
    described = colmap_database.images_with_keypoints(output)
    for name in Progress([name for name in names if ids[name] not in described], "keypoints"):
        colmap_database.write_keypoints(output, {ids[name]: file.read(name).keypoints})
    by_ids = {(ids[first], ids[second]): (first, second) for first, second in chosen}
    known = colmap_database.matched_pairs(output)
    missing = [pair for key, pair in by_ids.items() if (min(key), max(key)) not in known]
    batch = {}
    for number, (pair, found, _, _) in enumerate(_match(file, missing, ratio, device), 1):
        batch[ids[pair[0]], ids[pair[1]]] = found.indices
        if len(batch) == _PAIRS_AT_ONCE or number == len(missing):
            colmap_database.write_matches(output, batch)
            batch = {}
    return colmap_database.verify_matches(output, list(by_ids))


def _existing(features: Path) -> FeatureFile:
    file = FeatureFile(features)
    if not file.names():
        raise ValueError(f"{features} has no features: run feature-booster extract first")
    return file


def _match(
    file: FeatureFile, pairs: Sequence[tuple[str, str]], ratio: float | None, device: str
) -> Iterator[tuple[tuple[str, str], Matches, Features, Features]]:
    """Yield each pair with its matches and the features of both images."""
    read: Callable[[str], Features] = functools.lru_cache(_CACHED_IMAGES)(file.read)
    for pair in Progress(pairs, "matches"):
        a, b = read(pair[0]), read(pair[1])
        yield pair, match(a, b, ratio=ratio, device=device), a, b
