# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The kinds of data that a run can train on; what one needs is imported when it is opened."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...features import create_extractor
from ...photos import ViewDistribution, find_photos, split_photos, warp_points
from .feature_pair import NOWHERE, FeaturePair, PairSource
from .fixed_pairs import FixedPairs, fix_pairs
from .photo_views import PhotoViews, ViewSettings
from .specification import OpeningContext, PairSourceSpecification

VALIDATION_PAIRS = 40
VALIDATION_FEATURES = 1024
_VIEWS = ViewDistribution()


@dataclass(frozen=True)
class PhotosSpecification(PairSourceSpecification):
    """Warped views of a folder of photographs, extracted once into the cache."""

    kind = "photos"

    views: int = field(default=10, metadata={"help": "views extracted of each photograph"})
    features: int = field(default=768, metadata={"help": "most features kept of a view"})
    longest_side: int = field(default=480, metadata={"help": "larger photographs are shrunk, px"})
    holdout: int = field(
        default=10, metadata={"help": "every n-th photograph is kept from training, to validate on"}
    )
    rotation: float = field(
        default=_VIEWS.rotation, metadata={"help": "standard deviation of the roll, degrees"}
    )
    log2_scale: float = field(
        default=_VIEWS.log2_scale, metadata={"help": "standard deviation of the zoom, octaves"}
    )
    tilt: float = field(
        default=_VIEWS.tilt, metadata={"help": "standard deviation of tilt and pan, degrees"}
    )
    motion_blur: float = field(
        default=_VIEWS.motion_blur, metadata={"help": "share of views blurred by motion"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("views", "holdout"):
            self.require(name, getattr(self, name) >= 2, "at least 2")
        self.require("features", self.features >= 16, "at least 16")
        self.require("longest_side", self.longest_side >= 64, "at least 64")
        for name in ("rotation", "log2_scale", "tilt"):
            self.require(name, getattr(self, name) >= 0, "at least 0")
        self.require("motion_blur", 0 <= self.motion_blur <= 1, "in [0, 1]")

    def open_training(self, context: OpeningContext) -> PairSource:
        photos, _ = split_photos(find_photos(self.path), self.holdout)
        distribution = dataclasses.replace(
            _VIEWS,
            rotation=self.rotation,
            log2_scale=self.log2_scale,
            tilt=self.tilt,
            motion_blur=self.motion_blur,
        )
        settings = ViewSettings(
            context.detector,
            views=self.views,
            features=self.features,
            longest_side=self.longest_side,
            distribution=distribution,
        )
        return PhotoViews.open(photos, settings, context.cache, context.workers)

    def open_validation(self, context: OpeningContext) -> FixedPairs | None:
        # The pairs of `evaluate photos`, so that both tell the same.
        from ...evaluation.warped_photos import WarpedPair, warped_pairs

        def feature_pair(pair: WarpedPair) -> FeaturePair:
            homographies = pair.homography, np.linalg.inv(pair.homography)
            sides = pair.photo, pair.view
            seen_at = tuple(
                np.nan_to_num(
                    warp_points(side.keypoints.astype(np.float64), homography), nan=NOWHERE
                )
                for side, homography in zip(sides, homographies, strict=True)
            )
            return FeaturePair(sides, (pair.image_shape, pair.image_shape), seen_at)

        _, held_out = split_photos(find_photos(self.path), self.holdout)
        extractor = create_extractor(context.detector, VALIDATION_FEATURES)
        pairs = warped_pairs(held_out[:VALIDATION_PAIRS], extractor)
        return FixedPairs(context.detector, tuple(map(feature_pair, pairs)))


@dataclass(frozen=True)
class PosedSpecification(PairSourceSpecification):
    """A file of posed views: rendered, reconstructed, or extracted from MegaDepth."""

    kind = "posed"

    pairs_per_scene: int = field(default=300, metadata={"help": "most pairs of a scene an epoch"})
    min_overlap: float = field(default=0.0, metadata={"help": "least overlap of a pair"})
    max_overlap: float = field(default=1.0, metadata={"help": "largest overlap of a pair"})
    validation: str = field(
        default="",
        metadata={"help": "another file of posed views, of other scenes, to validate on"},
    )

    def open_training(self, context: OpeningContext) -> PairSource:
        return self._open(self.path)

    def open_validation(self, context: OpeningContext) -> FixedPairs | None:
        return fix_pairs(self._open(self.validation), VALIDATION_PAIRS) if self.validation else None

    def _open(self, path: str) -> PairSource:
        from .posed_views import PosedViews

        return PosedViews(path, self.pairs_per_scene, self.min_overlap, self.max_overlap)


@dataclass(frozen=True)
class MegaDepthSpecification(PairSourceSpecification):
    """MegaDepth, its features extracted while training; ``path`` is the folder of images and depth
    maps.
    """

    kind = "megadepth"

    scene_list_path: str = field(
        default="", metadata={"help": "text file of the scenes to train on"}
    )
    scene_info_path: str = field(default="", metadata={"help": "folder of one .npz a scene"})
    validation_scene_list_path: str = field(
        default="", metadata={"help": "text file of the scenes to validate on"}
    )
    pairs_per_scene: int = field(default=300, metadata={"help": "pairs of a scene in an epoch"})
    crop_image_size: int = field(default=512, metadata={"help": "side of the crops, px"})
    min_overlap: float = field(default=0.1, metadata={"help": "least overlap of a pair"})
    max_overlap: float = field(default=1.0, metadata={"help": "largest overlap of a pair"})
    max_features: int = field(default=2048, metadata={"help": "most features extracted of a crop"})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("scene_list_path", "scene_info_path"):
            self.require(name, bool(getattr(self, name)), "given")

    def open_training(self, context: OpeningContext) -> PairSource:
        return self._open(self.scene_list_path, context)

    def open_validation(self, context: OpeningContext) -> FixedPairs | None:
        if not self.validation_scene_list_path:
            return None
        return fix_pairs(self._open(self.validation_scene_list_path, context), VALIDATION_PAIRS)

    def _open(self, scene_list: str, context: OpeningContext) -> PairSource:
        from .megadepth.pairs import MegaDepth

        return MegaDepth(
            scene_list_path=Path(scene_list),
            scene_info_path=Path(self.scene_info_path),
            base_path=Path(self.path),
            detector=context.detector,
            pairs_per_scene=self.pairs_per_scene,
            crop_image_size=self.crop_image_size,
            min_overlap=self.min_overlap,
            max_overlap=self.max_overlap,
            max_features=self.max_features,
        )


KINDS: dict[str, type[PairSourceSpecification]] = {
    kind.kind: kind for kind in (PhotosSpecification, PosedSpecification, MegaDepthSpecification)
}


def open_training(specification: PairSourceSpecification, context: OpeningContext) -> PairSource:
    """The pairs to train on, of the features that the run trains.

    Raises:
        FileNotFoundError: there are no data.
        ValueError: they cannot be used, or hold another detector's features.
    """
    return _of_detector(specification, specification.open_training(context), context.detector)


def open_validation(
    specification: PairSourceSpecification, context: OpeningContext
) -> FixedPairs | None:
    """The pairs to validate on, or None where a source has none; errors as
    :func:`open_training`.
    """
    pairs = specification.open_validation(context)
    return None if pairs is None else _of_detector(specification, pairs, context.detector)


def open_pair_source(
    specification: PairSourceSpecification, context: OpeningContext
) -> tuple[PairSource, FixedPairs | None]:
    """Both parts of a source."""
    return open_training(specification, context), open_validation(specification, context)


def _of_detector(
    specification: PairSourceSpecification, source: PairSource, detector: str
) -> PairSource:
    if source.detector != detector:
        raise ValueError(
            f"{specification} holds features of {source.detector}, and the model takes those of "
            f"{detector}: extract them anew, or train another model"
        )
    return source
