# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image in, :class:`Features` out: SIFT, ORB, and user-defined extractors."""

from .extractor import (
    Extractor,
    available_extractors,
    create_extractor,
    descriptor_model,
    extractor_class,
    is_extractor_path,
    known_extractor,
)
from .frame import Continuity, FeatureFrame
from .normalization import normalize_keypoints
from .orb import OrbExtractor
from .sift import SiftExtractor
from .sift_gpu import SiftGpuExtractor
from .types import Features, check_comparable, check_features

__all__ = [
    "Continuity",
    "Extractor",
    "FeatureFrame",
    "Features",
    "OrbExtractor",
    "SiftExtractor",
    "SiftGpuExtractor",
    "available_extractors",
    "check_comparable",
    "check_features",
    "create_extractor",
    "descriptor_model",
    "extractor_class",
    "is_extractor_path",
    "known_extractor",
    "normalize_keypoints",
]
