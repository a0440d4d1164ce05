# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Extract and boost the features of a gray image, as booster_node's parameters say."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from feature_booster_ros.features import (
    Extractor,
    Features,
    create_extractor,
    extractor_class,
)
from feature_booster_ros.pixels import read_image

from .messages import RAW
from .process import keep_handler

if TYPE_CHECKING:
    from feature_booster_ros.booster import Booster

    from .booster_node_parameters import BoosterNodeParameters

_WARM_UP_FEATURES = 4096  # Most features to warm the network up with; max_features may be huge.

# Options of the extractors that have parameters; a parameter's name is that of the detector (sift
# for sift_gpu) and of the option.
_OPTIONS = {
    "sift": ("contrast_threshold", "edge_threshold", "octave_layers", "sigma", "first_octave"),
    "sift_gpu": ("contrast_threshold", "edge_threshold", "octave_layers", "first_octave"),
    "orb": ("scale_factor", "levels", "fast_threshold", "edge_threshold", "patch_size"),
}
# Parameters that a loaded network depends on.
_NETWORK = ("model", "weights", "device", "precision", "engine")


class FeaturePipeline:
    """Extractor, mask and booster as the parameters say.

    Immutable, so that one can be in use in a thread while the next is made.

    Args:
        parameters: Of booster_node.
        previous: Its network is used again if no parameter of it has changed.
        warn: Called with what has happened after an error of CUDA that was survived.

    Raises:
        ValueError: Parameters that do not go together, weights that are damaged or of another
            model, an unknown detector, a mask that cannot be read, or a device that is missing.
        FileNotFoundError: The weights do not exist.
    """

    def __init__(
        self,
        parameters: BoosterNodeParameters,
        previous: FeaturePipeline | None,
        warn: Callable[[str], object],
    ) -> None:
        self.parameters = parameters
        self.booster = self._load_booster(previous, warn)
        self.extractor = self._create_extractor(self._choose_detector())
        self._mask = self._read_mask()

    @property
    def overlaps(self) -> bool:
        """Whether to extract one image's features while those of the previous one are boosted.

        By default if a network is in use and extraction leaves it cores to run on; SIFT does not.
        """
        if self.parameters.overlap != "auto":
            return self.parameters.overlap == "always"
        if self.booster is None:
            return False
        return self.detector != "sift" or self.booster.device.type != "cpu"

    @property
    def detector(self) -> str:
        """Name of the extractor."""
        return self.extractor.name

    @property
    def model(self) -> str:
        """Name of the booster, ``RAW`` for none."""
        return RAW if self.booster is None else self.booster.name

    @property
    def engine(self) -> str:
        """How the network is run, ``RAW`` for none."""
        return RAW if self.booster is None else self.booster.engine

    @property
    def device(self) -> str:
        """Where the network runs."""
        return "cpu" if self.booster is None else str(self.booster.device)

    @property
    def problem(self) -> str:
        """Why the network does not run on the device that was asked for; empty if it does."""
        return "" if self.booster is None else self.booster.problem

    def extract(self, image: np.ndarray) -> Features:
        """Return the features of an image (H, W) uint8.

        Raises:
            ValueError: The mask is of another size.
        """
        if self._mask is not None and self._mask.shape != image.shape:
            height, width = self._mask.shape
            raise ValueError(
                f"the mask {self.parameters.mask} has {width} x {height} pixels, but the image "
                f"{image.shape[1]} x {image.shape[0]}: set parameter 'mask' to one of the image's "
                "size"
            )
        return self.extractor(image, self._mask)

    def boost(
        self, features: Features, shape: tuple[int, int], camera_matrix: np.ndarray | None
    ) -> Features:
        """Return the features with boosted descriptors, or unchanged without a model.

        Args:
            features: Of an image.
            shape: (height, width) of the image.
            camera_matrix: (3, 3) to normalize keypoints by, or None for the image's size.
        """
        return features if self.booster is None else self.booster(features, shape, camera_matrix)

    def _load_booster(
        self, previous: FeaturePipeline | None, warn: Callable[[str], object]
    ) -> Booster | None:
        parameters = self.parameters
        if parameters.model == RAW:
            return None
        if previous is not None and all(
            getattr(parameters, name) == getattr(previous.parameters, name) for name in _NETWORK
        ):
            return previous.booster
        # Imported here because PyTorch takes seconds to load, and raw features do not need it.
        from feature_booster_ros.booster import Booster

        try:
            booster = Booster.from_pretrained(
                parameters.weights or parameters.model,
                parameters.device,
                parameters.precision,
                model=parameters.model if parameters.weights else None,
                engine=parameters.engine,
                on_recovery=warn,
            )
        except FileNotFoundError as error:
            name = "weights" if parameters.weights else "model"
            raise FileNotFoundError(f"parameter '{name}': {error}") from error
        booster.warm_up(min(parameters.max_features, _WARM_UP_FEATURES))
        return booster

    def _choose_detector(self) -> str:
        """Return the detector to use, checked against the model."""
        detector = self.parameters.detector
        if self.booster is None:
            return "sift" if detector == "auto" else detector
        if detector == "auto":
            return self.booster.detector
        # First, as importing the model's extractor makes it known by its name, too.
        boosted = self._extractor_class(self.booster.detector)
        chosen = self._extractor_class(detector)
        if chosen is not boosted and chosen.boosted_as != boosted.name:
            raise ValueError(
                f"parameter 'detector' is {detector}, but model {self.booster.name} boosts "
                f"{self.booster.detector} features: set detector to auto, or choose another model"
            )
        return detector

    def _extractor_class(self, detector: str) -> type[Extractor]:
        """Return the class of a detector; the error names the parameter that it comes from."""
        try:
            return extractor_class(detector)
        except ValueError as error:
            name = "detector" if detector == self.parameters.detector else "model"
            raise ValueError(f"parameter '{name}': {error}") from error

    def _create_extractor(self, detector: str) -> Extractor:
        parameters = self.parameters
        extractor = self._extractor_class(detector)
        grid = (parameters.grid_rows, parameters.grid_columns) if parameters.grid_rows else None
        prefix = extractor.boosted_as or extractor.name
        # Extractors of the user have no parameters here except those that all have.
        options = {
            name: getattr(parameters, f"{prefix}_{name}")
            for name in _OPTIONS.get(extractor.name, ())
        }
        # pycolmap, which sift_gpu loads, lets glog treat SIGTERM as a crash.
        with keep_handler(signal.SIGTERM):
            return create_extractor(
                detector, max_features=parameters.max_features, grid=grid, **options
            )

    def _read_mask(self) -> np.ndarray | None:
        path = self.parameters.mask
        if not path:
            return None
        try:
            mask = read_image(path)
        except ValueError as error:
            raise ValueError(
                f"parameter 'mask': {error}; give a gray image, nonzero where features are wanted"
            ) from error
        return mask != 0 if mask.ndim == 2 else (mask != 0).any(axis=2)
