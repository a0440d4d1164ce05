# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is compared: an extractor, with or without a booster behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..booster import Booster
from ..booster.descriptors import root_sift
from ..features import Extractor, Features, available_extractors, create_extractor
from ..features.extractor import is_extractor_path


@dataclass(frozen=True, eq=False)
class Method:
    """A way from an image to descriptors.

    Attributes:
        name: as it stands in tables.
        extractor: image in, features out.
        booster: features in, boosted features out; None for the features as they are.
        is_root: whether the raw descriptors become RootSIFT (Arandjelovic and Zisserman, 2012).
    """

    name: str
    extractor: Extractor
    booster: Booster | None = None
    is_root: bool = False

    def describe(self, features: Features, image_shape: tuple[int, ...]) -> Features:
        """The extractor's features with this method's descriptors."""
        if self.booster is not None:
            return self.booster(features, image_shape)
        if self.is_root:
            rows = root_sift(torch.from_numpy(features.descriptors)).numpy()
            return features.with_descriptors(rows, "rootsift")
        return features

    def __call__(self, image: np.ndarray) -> Features:
        """Features of a gray image (H, W) uint8."""
        return self.describe(self.extractor(image), image.shape)


def create_method(specification: str, max_features: int, device: str = "auto") -> Method:
    """The method of that name.

    Args:
        specification: an extractor ("sift", "orb", or package.module:ClassName for one's own),
            "rootsift", a shipped model ("SIFT+Boost-F") or the path of a weights file; or LABEL=one
            of these.
        max_features: of an image.
        device: of the booster.

    Raises:
        FileNotFoundError, ValueError: there is none of that name, or its weights cannot be used.
    """
    label, _, rest = specification.rpartition("=")
    label, name = label or rest, rest
    is_own = is_extractor_path(name) and not Path(name).exists()
    if name.lower() in available_extractors() or is_own:
        return Method(label, create_extractor(name, max_features))
    if name.lower() == "rootsift":
        return Method(label, create_extractor("sift", max_features), is_root=True)
    booster = Booster.from_pretrained(name, device)
    if label == rest and Path(name).suffix:
        label = Path(name).stem
    return Method(label, create_extractor(booster.detector, max_features), booster)


def create_methods(
    specifications: Sequence[str], max_features: int, device: str = "auto"
) -> list[Method]:
    """Methods to compare; those of one detector share their extractor.

    Raises:
        FileNotFoundError, ValueError: as of :func:`create_method`; or two have one name.
    """
    extractors: dict[type[Extractor], Extractor] = {}
    methods = []
    for specification in specifications:
        method = create_method(specification, max_features, device)
        if any(method.name == other.name for other in methods):
            raise ValueError(
                f"two methods are called {method.name!r}: write LABEL={specification} for one"
            )
        extractor = extractors.setdefault(type(method.extractor), method.extractor)
        methods.append(dataclasses.replace(method, extractor=extractor))
    return methods


def describe_all(methods: Sequence[Method], image: np.ndarray) -> list[Features]:
    """Every method's features of a gray image (H, W) uint8, extracted once for each extractor."""
    extracted: dict[Extractor, Features] = {}
    for method in methods:
        if method.extractor not in extracted:
            extracted[method.extractor] = method.extractor(image)
    return [method.describe(extracted[method.extractor], image.shape) for method in methods]
