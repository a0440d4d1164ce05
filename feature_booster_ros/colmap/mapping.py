# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""COLMAP's incremental mapper, the same for all versions of pycolmap."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..progress import Progress
from .conventions import import_pycolmap

if TYPE_CHECKING:
    import pycolmap

SMALLEST_MODEL = 3
"""Images of a sub-model: with two, nothing tells wrong matches along the epipolar lines."""
FORWARD_MOTION = {
    "init_max_forward_motion": 1.0,
    "init_min_tri_angle": 4.0,
    "init_min_num_inliers": 50,
}
"""What a first pair of images may be where COLMAP's own demands find none: a camera that drives or
walks ahead, as along a street, sees little parallax, and all of it towards the borders.
"""


def map_incrementally(
    database: Path,
    images: Path | None,
    output: Path,
    is_calibrated: bool,
    threads: int,
) -> list[pycolmap.Reconstruction]:
    """Every sub-model that COLMAP finds, the largest first.

    Args:
        database: with verified matches.
        images: folder of the images, for the points' colors; None for no colors.
        output: folder to be made: gets the models in folders 0, 1 and on.
        is_calibrated: whether the database's intrinsics are right, and are to stay.
        threads: of the bundle adjustment; -1 for all processors.
    """
    pycolmap = import_pycolmap()
    if hasattr(pycolmap, "set_random_seed"):
        pycolmap.set_random_seed(0)
    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = SMALLEST_MODEL
    options.num_threads = threads
    options.extract_colors = images is not None
    if hasattr(options, "structure_less_registration_fallback"):
        # From pycolmap 4 on; images without any point in common with the others, whose poses are
        # guesses, and with which bundle adjustment fails for minutes.
        options.structure_less_registration_fallback = False
    if is_calibrated:
        options.ba_refine_focal_length = False
        options.ba_refine_extra_params = False
    output.mkdir()
    models = _map(pycolmap, database, images or output, output, options)
    if not models:
        for name, value in FORWARD_MOTION.items():
            setattr(options.mapper, name, value)
        models = _map(pycolmap, database, images or output, output, options)
    return models


def _map(
    pycolmap: ModuleType,
    database: Path,
    images: Path,
    output: Path,
    options: pycolmap.IncrementalPipelineOptions,
) -> list[pycolmap.Reconstruction]:
    with Progress(desc="images registered") as progress:
        models = pycolmap.incremental_mapping(
            str(database),
            str(images),
            str(output),
            options,
            next_image_callback=progress.update,
        )
    usable = [model for model in models.values() if model.num_reg_images() >= SMALLEST_MODEL]
    return sorted(usable, key=lambda model: -model.num_reg_images())
