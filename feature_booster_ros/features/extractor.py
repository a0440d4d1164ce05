# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The base class of extractors, with checks, limit and grid, and the table of their names."""

from __future__ import annotations

import dataclasses
import importlib
import os
from abc import ABC, abstractmethod

import numpy as np

from ..memory import check_memory
from .keypoints import spread, strongest
from .types import Features, describe, to_array


class Extractor(ABC):
    """Extracts :class:`Features` of a gray image.

    A user-defined extractor is a subclass with ``name``, ``descriptor_length``, ``is_binary``,
    ``_extract``. :func:`create_extractor` takes it as ``package.module:ClassName`` where Python can
    import the module, and by its name once it has been imported. docs/custom_feature.md has an
    example.

    Args:
        max_features: the largest number of features to return, at least 1.
        grid: (rows, columns) of cells over which the features are spread, or None for the strongest
            of the whole image.

    Raises:
        ValueError: an option is out of its range; the message names it.
    """

    name: str
    descriptor_length: int
    """Elements of one descriptor: floats, or bits when binary."""
    is_binary: bool
    bytes_per_pixel: float = 0.0
    """Memory of the extraction for each pixel [bytes]; 0 where it is unknown."""
    implementation: str = ""
    """What computes the features, for extractors with more than one way."""
    grid_candidates: int = 4
    """Candidates for each feature of a grid: enough to fill sparse cells in a short time."""
    boosted_as: str | None = None
    """Name of the extractor with the same descriptors, whose networks boost these too."""
    bytes_per_unit: float | None = None
    """Factor that converts the elements of a descriptor to integers of 0 to 255, as which training
    stores them; None for arbitrary floats.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            taken = _EXTRACTORS.get(cls.name)
            package = __name__.partition(".")[0] + "."
            # A user's class may be imported twice, as __main__ and as a module; a class of this
            # package must not be replaced.
            if (
                taken
                and taken.__module__.startswith(package)
                and taken.__module__ != cls.__module__
            ):
                raise ValueError(
                    f"extractor {cls.__module__}:{cls.__qualname__} cannot be called {cls.name!r}: "
                    f"that is {taken.__module__}:{taken.__qualname__}; give it another name"
                )
            _EXTRACTORS[cls.name] = cls

    def __init__(self, max_features: int = 2048, grid: tuple[int, int] | None = None) -> None:
        check_range("max_features", max_features, 1, None)
        if grid is not None:
            if len(grid) != 2:
                raise ValueError(f"grid must be (rows, columns), not {grid!r}")
            check_range("grid rows", grid[0], 1, None)
            check_range("grid columns", grid[1], 1, None)
        self.max_features = max_features
        self.grid = None if grid is None else (int(grid[0]), int(grid[1]))

    def __call__(self, image: np.ndarray, mask: np.ndarray | None = None) -> Features:
        """Extract the features of a gray image.

        Args:
            image: (H, W) uint8.
            mask: (H, W) uint8 or bool, nonzero where features are wanted, or None for all.

        Returns:
            At most ``max_features`` features.

        Raises:
            ValueError: the image or the mask has the wrong shape or type, or the image is too large
                for the available memory.
        """
        image = check_image(image)
        mask = check_mask(mask, image)
        check_memory(
            image.size * self.bytes_per_pixel,
            f"image of {image.shape[1]} x {image.shape[0]} pixels: {self.name}",
            "resize the image, use SIFT with first_octave 0 (sift_first_octave of the nodes), "
            "which takes a quarter of -1, or ORB",
        )
        limit = self.max_features * (1 if self.grid is None else self.grid_candidates)
        features = self._extract(image, mask, limit)
        features = dataclasses.replace(features, model=descriptor_model(self.name))
        if self.grid is not None:
            return features.select(self._spread(features, image.shape, self.grid))
        if len(features) <= self.max_features:
            return features
        return features.select(strongest(features.scores, self.max_features))

    def _spread(
        self, features: Features, image_shape: tuple[int, ...], grid: tuple[int, int]
    ) -> np.ndarray:
        """Return the indices of at most ``max_features`` features, spread over a grid."""
        return spread(features.keypoints, features.scores, image_shape, grid, self.max_features)

    @abstractmethod
    def _extract(self, image: np.ndarray, mask: np.ndarray | None, limit: int) -> Features:
        """Extract about ``limit`` of the strongest features; the caller applies limit and grid.

        Args:
            image: (H, W) uint8, contiguous.
            mask: (H, W) uint8, 0 or 255, or None.
            limit: largest number of features that the caller uses.
        """


_EXTRACTORS: dict[str, type[Extractor]] = {}


def available_extractors() -> list[str]:
    """Return the names that :func:`create_extractor` takes without a module."""
    return sorted(_EXTRACTORS)


def known_extractor(detector: str) -> type[Extractor] | None:
    """Return the class of a detector's name or ``package.module:ClassName``, if it is imported.

    None otherwise: nothing is imported here, since the name may come from a message.
    """
    for known in _EXTRACTORS.values():
        if detector.lower() == known.name or (
            detector == f"{known.__module__}:{known.__qualname__}"
        ):
            return known
    return None


def descriptor_model(detector: str) -> str:
    """Return the ``model`` of a detector's raw features.

    It is one name for extractors with the same descriptors (``boosted_as``).
    """
    known = known_extractor(detector)
    return detector if known is None else known.boosted_as or known.name


def is_extractor_path(name: str) -> bool:
    """Return whether ``name`` has the form ``package.module:ClassName``."""
    return ":" in name


def extractor_class(name: str) -> type[Extractor]:
    """Return the class of an extractor.

    Args:
        name: of a known extractor, in any case, or ``package.module:ClassName``, which is imported.
            Weights files and stored features contain this name, so that all processes that read
            them, such as nodes, find the class.

    Raises:
        ValueError: there is no such extractor, module or class, or the class is no extractor; the
            message names what is missing.
    """
    if is_extractor_path(name):
        return _imported_class(name)
    try:
        return _EXTRACTORS[name.lower()]
    except KeyError:
        raise ValueError(
            f"no extractor is called {name!r}; there are {', '.join(available_extractors())}, and "
            "package.module:ClassName for one of your own"
        ) from None


def _imported_class(name: str) -> type[Extractor]:
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError, TypeError) as error:
        # The module itself, or something that it imports.
        raise ValueError(
            f"extractor {name!r} cannot be imported: {error}; the folder of {module_name!r} must "
            "be in PYTHONPATH, or the package installed, and so must what it imports"
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        raise ValueError(f"extractor {name!r}: {module.__file__} has no class {class_name!r}")
    if not (isinstance(found, type) and issubclass(found, Extractor)):
        raise ValueError(
            f"extractor {name!r}: {class_name} in {module.__file__} is no subclass of "
            "feature_booster_ros.features.Extractor"
        )
    for attribute in ("name", "descriptor_length", "is_binary"):
        if not hasattr(found, attribute):
            raise ValueError(f"extractor {name!r}: class {class_name} lacks {attribute!r}")
    if missing := sorted(found.__abstractmethods__):
        raise ValueError(f"extractor {name!r}: class {class_name} lacks {missing[0]!r}")
    return found


def create_extractor(
    name: str, max_features: int = 2048, grid: tuple[int, int] | None = None, **options: float
) -> Extractor:
    """Create an extractor by its name.

    Args:
        name: "sift", "orb" or "sift_gpu", in any case, or ``package.module:ClassName`` of a
            user-defined extractor.
        max_features: the largest number of features to return.
        grid: (rows, columns) to spread the features over, or None.
        **options: of the extractor; see :class:`SiftExtractor`, :class:`OrbExtractor` and
            :class:`SiftGpuExtractor`.

    Raises:
        ValueError: no such extractor, an option it does not have, or a value out of range.
    """
    extractor = extractor_class(name)
    try:
        return extractor(max_features=max_features, grid=grid, **options)
    except TypeError as error:
        raise ValueError(f"extractor {name!r}: {error}") from error


def check_range(name: str, value: float, low: float | None, high: float | None) -> None:
    """Raise ValueError naming ``name`` unless low <= value <= high; None is no bound."""
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = " and ".join(
            text
            for text, bound in ((f"at least {low}", low), (f"at most {high}", high))
            if bound is not None
        )
        raise ValueError(f"{name} must be {bounds}, not {value}")


def check_image(image: np.ndarray) -> np.ndarray:
    """Return a contiguous ``image``; ValueError unless it is (H, W) uint8 and has pixels."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image must be an array (H, W) uint8, {_instead_of_image(image)}")
    if image.size == 0:
        raise ValueError(f"image is empty, of shape {image.shape}")
    if image.ndim != 2:
        remedy = "pass one image at a time"
        if image.ndim == 3 and image.shape[2] in (1, 3, 4):
            code = {3: "BGR2GRAY", 4: "BGRA2GRAY"}.get(image.shape[2])
            remedy = (
                f"pass cv2.cvtColor(image, cv2.COLOR_{code})" if code else "pass image[:, :, 0]"
            )
        raise ValueError(f"image must be gray, of shape (H, W), not {image.shape}: {remedy}")
    if image.dtype != np.uint8:
        remedy = "scale it to 0..255 first"
        if image.dtype.kind == "f":
            remedy += ", such as (image * 255).astype(numpy.uint8) where white is 1"
        raise ValueError(f"image must be uint8, not {image.dtype}: {remedy}")
    return np.ascontiguousarray(image)


def _instead_of_image(image: object) -> str:
    """Return what was passed as an image, and the remedy."""
    if image is None:
        return "not None: cv2.imread returns None when it cannot read the file, so check its path"
    if isinstance(image, (str, os.PathLike)):
        return f"not the path {os.fspath(image)}: pass cv2.imread(path, cv2.IMREAD_GRAYSCALE)"
    if type(image).__module__.startswith("PIL."):
        return f"not {describe(image)}: pass numpy.asarray(image.convert('L'))"
    return f"not {describe(image)}: {to_array(image, 'image')}, gray and scaled to 0..255"


def check_mask(mask: np.ndarray | None, image: np.ndarray) -> np.ndarray | None:
    """Return ``mask`` as uint8 0 or 255; ValueError unless it fits the image."""
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray):
        raise ValueError(
            f"mask must be a NumPy array, not {describe(mask)}: {to_array(mask, 'mask')}"
        )
    if mask.shape != image.shape or mask.dtype not in (np.uint8, np.bool_):
        raise ValueError(
            f"mask must be uint8 or bool of the image's shape {image.shape}, "
            f"not {mask.dtype} of shape {mask.shape}"
        )
    return np.where(mask, np.uint8(255), np.uint8(0))
