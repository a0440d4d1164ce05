# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The methods that are compared: an extractor, with or without a booster."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .booster import Booster
from .booster.descriptors import root_sift
from .features import Extractor, Features, available_extractors, create_extractor
from .features.extractor import descriptor_model, is_extractor_path

_ROOT_SIFT = "rootsift"


@dataclass(frozen=True, eq=False)
class Method:
    """A way from an image to described features.

    Attributes:
        name: Name in tables.
        extractor: Image in, features out.
        booster: Features in, boosted features out; None for raw features.
        is_root: Whether raw descriptors become RootSIFT (Arandjelovic and Zisserman, CVPR 2012).
    """

    name: str
    extractor: Extractor
    booster: Booster | None = None
    is_root: bool = False

    @property
    def model(self) -> str:
        """What makes the descriptors, as :attr:`Features.model` names it."""
        if self.booster is not None:
            return self.booster.name
        return _ROOT_SIFT if self.is_root else descriptor_model(self.extractor.name)

    def describe(self, features: Features, image_shape: tuple[int, ...]) -> Features:
        """Return the extractor's features with this method's descriptors."""
        if self.booster is not None:
            return self.booster(features, image_shape)
        if self.is_root:
            rows = root_sift(torch.from_numpy(features.descriptors)).numpy()
            return features.with_descriptors(rows, self.model)
        return features

    def __call__(self, image: np.ndarray) -> Features:
        """Return the features of a gray image (H, W) uint8."""
        return self.describe(self.extractor(image), image.shape)


def create_method(
    specification: str,
    max_features: int,
    device: str = "auto",
    extractor_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Method:
    """Create the method of that name.

    Args:
        specification: An extractor ("sift", "orb", or package.module:ClassName of another),
            "rootsift", a shipped model ("SIFT+Boost-F") or the path of a weights file; or LABEL=one
            of these.
        max_features: Most features of an image.
        device: Device of the booster: "auto", "cpu", "cuda" or "cuda:N".
        extractor_options: Options of extractors by name; None for their defaults.

    Raises:
        FileNotFoundError: There is no weights file at that path.
        ValueError: There is no method of that name, or its weights cannot be used.
    """
    label, _, rest = specification.rpartition("=")
    label, name = label or rest, rest

    def extractor(detector: str) -> Extractor:
        chosen = (extractor_options or {}).get(detector.lower(), {})
        return create_extractor(detector, max_features, **chosen)

    is_own = is_extractor_path(name) and not Path(name).exists()
    if name.lower() in available_extractors() or is_own:
        return Method(label, extractor(name))
    if name.lower() == _ROOT_SIFT:
        return Method(label, extractor("sift"), is_root=True)
    try:
        booster = Booster.from_pretrained(name, device)
    except FileNotFoundError as error:
        extractors = ", ".join(available_extractors())
        raise FileNotFoundError(
            f"{error}, nor {_ROOT_SIFT}, nor one of the extractors ({extractors})"
        ) from None
    if label == rest and Path(name).suffix:
        label = Path(name).stem
    return Method(label, extractor(booster.detector), booster)


def create_methods(
    specifications: Sequence[str],
    max_features: int,
    device: str = "auto",
    extractor_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Method]:
    """Create the methods to compare; those of one detector share their extractor.

    Args:
        specifications: Methods, as for :func:`create_method`.
        max_features: Most features of an image.
        device: Device of the boosters.
        extractor_options: Options of extractors by name; None for their defaults.

    Raises:
        FileNotFoundError: There is no weights file at that path.
        ValueError: A method cannot be created, or two have the same name.
    """
    extractors: dict[type[Extractor], Extractor] = {}
    methods: list[Method] = []
    for specification in specifications:
        method = create_method(specification, max_features, device, extractor_options)
        if any(method.name == other.name for other in methods):
            raise ValueError(
                f"two methods are called {method.name!r}: write LABEL={specification} for one"
            )
        extractor = extractors.setdefault(type(method.extractor), method.extractor)
        methods.append(dataclasses.replace(method, extractor=extractor))
    return methods


def describe_all(methods: Sequence[Method], image: np.ndarray) -> list[Features]:
    """Return every method's features of a gray image (H, W) uint8; each extractor runs once."""
    extracted: dict[Extractor, Features] = {}
    for method in methods:
        if method.extractor not in extracted:
            extracted[method.extractor] = method.extractor(image)
    return [method.describe(extracted[method.extractor], image.shape) for method in methods]
