# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""COLMAP's incremental mapper, the same for all versions of pycolmap."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING

from ..progress import Progress
from .conventions import import_pycolmap

if TYPE_CHECKING:
    import pycolmap

MIN_MODEL_IMAGES = 3
"""Fewest images of a model: two cannot tell wrong matches along the epipolar lines."""

# Thresholds of the first pair of images if COLMAP's own find none: a camera that moves ahead, as
# along a street, sees little parallax, and all of it near the borders of the image.
_FORWARD_MOTION = {
    "init_max_forward_motion": 1.0,
    "init_min_tri_angle": 4.0,
    "init_min_num_inliers": 50,
}


def map_incrementally(
    database: Path,
    images: Path | None,
    output: Path,
    is_calibrated: bool,
    threads: int,
) -> list[pycolmap.Reconstruction]:
    """Return every model that COLMAP reconstructs, the largest first.

    Args:
        database: File of the database, with verified matches.
        images: Folder of the images, for the points' colors; None for no colors.
        output: Folder to create, which gets the models in folders 0, 1 and so on, in this order.
        is_calibrated: Whether the database's intrinsics are known and are not to be refined.
        threads: Threads of the bundle adjustment; -1 for all processors.
    """
    pycolmap = import_pycolmap()
    if hasattr(pycolmap, "set_random_seed"):
        pycolmap.set_random_seed(0)
    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = MIN_MODEL_IMAGES
    options.num_threads = threads
    options.extract_colors = images is not None
    if hasattr(options, "structure_less_registration_fallback"):
        # From pycolmap 4 on, it registers images without any point in common with the others. Their
        # poses are guesses, and bundle adjustment fails on them for minutes.
        options.structure_less_registration_fallback = False
    if is_calibrated:
        options.ba_refine_focal_length = False
        options.ba_refine_extra_params = False
    output.mkdir()
    models = _map(pycolmap, database, images or output, options)
    if not models:
        for name, value in _FORWARD_MOTION.items():
            setattr(options.mapper, name, value)
        models = _map(pycolmap, database, images or output, options)
    for number, model in enumerate(models):
        folder = output / str(number)
        folder.mkdir()
        model.write(str(folder))
    return models


def _map(
    pycolmap: ModuleType,
    database: Path,
    images: Path,
    options: pycolmap.IncrementalPipelineOptions,
) -> list[pycolmap.Reconstruction]:
    # COLMAP also writes models that are too small, and in the order in which it finds them.
    with Progress(desc="images registered") as progress, TemporaryDirectory() as output:
        models = pycolmap.incremental_mapping(
            str(database),
            str(images),
            output,
            options,
            next_image_callback=progress.update,
        )
    usable = [model for model in models.values() if model.num_reg_images() >= MIN_MODEL_IMAGES]
    return sorted(usable, key=lambda model: -model.num_reg_images())
