# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What booster_node does with a gray image: extract, then boost."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import numpy as np

from feature_booster_ros.features import (
    Extractor,
    Features,
    create_extractor,
    extractor_class,
    is_extractor_path,
)
from feature_booster_ros.pixels import read_image

from .messages import RAW
from .signal_handlers import keep_handler

if TYPE_CHECKING:
    from feature_booster_ros.booster import Booster

    from .booster_node_parameters import BoosterNodeParameters

_WARM_UP_FEATURES = 4096
"""Features to warm the network up for at most: ``max_features`` may stand for any number."""

# Options of the extractors; the parameter's name is the detector's (sift for sift_gpu) and the
# option's.
_OPTIONS = {
    "sift": ("contrast_threshold", "edge_threshold", "octave_layers", "sigma", "first_octave"),
    "sift_gpu": ("contrast_threshold", "edge_threshold", "octave_layers", "first_octave"),
    "orb": ("scale_factor", "levels", "fast_threshold", "edge_threshold", "patch_size"),
}
# Parameters that a loaded network depends on.
_NETWORK = ("model", "weights", "device", "precision", "engine")


class FeaturePipeline:
    """Extractor, mask and booster as the parameters say; immutable, so that a thread can use it
    while another is made.

    Args:
        parameters: of booster_node.
        previous: whose network is used again where no parameter of it has changed.

    Raises:
        ValueError: parameters that do not go together, weights that are damaged or of another
            model, a mask that cannot be read, or a device that there is not.
        FileNotFoundError: there are no such weights.
    """

    def __init__(
        self, parameters: BoosterNodeParameters, previous: FeaturePipeline | None = None
    ) -> None:
        self.parameters = parameters
        self.booster = self._load_booster(previous)
        detector = parameters.detector
        if self.booster is not None:
            if detector == "auto":
                detector = self.booster.detector
            elif self.booster.detector not in (detector, extractor_class(detector).boosted_as):
                raise ValueError(
                    f"parameter 'detector' is {detector}, but model {self.booster.name} boosts "
                    f"{self.booster.detector} features: set detector to auto, or choose another "
                    "model"
                )
        elif detector == "auto":
            detector = "sift"
        self.extractor = self._create_extractor(detector)
        self._mask = self._read_mask()

    @property
    def overlaps(self) -> bool:
        """Whether to extract one image's features while those of the last are boosted.

        Left to itself, where a network is in use and extraction does not fill the cores that it
        runs on, as OpenCV's SIFT does.
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

    def extract(self, image: np.ndarray) -> Features:
        """Features of an image (H, W) uint8; ValueError if the mask is of another size."""
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
        """The features with boosted descriptors, or as they are without a model.

        Args:
            features: of an image.
            shape: (height, width) of the image.
            camera_matrix: (3, 3) to normalize keypoints by, or None for the image's size.
        """
        return features if self.booster is None else self.booster(features, shape, camera_matrix)

    def _load_booster(self, previous: FeaturePipeline | None) -> Booster | None:
        parameters = self.parameters
        if parameters.model == RAW:
            return None
        if previous is not None and all(
            getattr(parameters, name) == getattr(previous.parameters, name) for name in _NETWORK
        ):
            return previous.booster
        # Here and not above: PyTorch takes seconds to load, and raw features do without it.
        from feature_booster_ros.booster import Booster

        booster = Booster.from_pretrained(
            parameters.weights or parameters.model,
            parameters.device,
            parameters.precision,
            model=parameters.model if parameters.weights else None,
            engine=parameters.engine,
        )
        booster.warm_up(min(parameters.max_features, _WARM_UP_FEATURES))
        return booster

    def _create_extractor(self, detector: str) -> Extractor:
        parameters = self.parameters
        # One's own extractor has no parameters here but those that all have.
        if detector not in _OPTIONS and not is_extractor_path(detector):
            raise ValueError(
                f"model {parameters.model} boosts {detector} features, which this node cannot "
                f"extract: choose a model for {' or '.join(_OPTIONS)}, or write an extractor "
                "(docs/custom_feature.md)"
            )
        grid = (parameters.grid_rows, parameters.grid_columns) if parameters.grid_rows else None
        prefix = extractor_class(detector).boosted_as or detector
        options = {
            name: getattr(parameters, f"{prefix}_{name}") for name in _OPTIONS.get(detector, ())
        }
        # pycolmap, which sift_gpu loads, has glog take SIGTERM for a crash.
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
