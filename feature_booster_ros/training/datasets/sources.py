# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The data of a run: how it is written, and the kinds of sources.

A kind imports what it needs when it is opened.
"""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...features import create_extractor
from ...photos import ViewDistribution, find_photos, split_photos
from ..configuration import check_keys, read_fields
from .pairs import FixedPairs, PairSource, ViewGroup, fix_pairs, seen_through
from .photo_views import PhotoViews, ViewSettings

VALIDATION_PAIRS = 40
"""Most pairs of a source to validate on."""
VALIDATION_FEATURES = 1024
"""Most features of a photograph to validate on."""
_VIEWS = ViewDistribution()
_WRITTEN = re.compile(r"(?P<kind>\w+):(?P<path>.*?)(?P<options>(,\w+=[^,]*)*)", re.DOTALL)


@dataclass(frozen=True)
class OpeningContext:
    """What a source needs from the run to be opened.

    Attributes:
        detector: Name of the extractor of the features.
        cache: Folder for features that are extracted once.
        workers: Processes that extract.
    """

    detector: str
    cache: Path
    workers: int = 1


@dataclass(frozen=True)
class PairSourceSpecification(ABC):
    """A source of data: its path and options. Every kind is a subclass.

    Raises:
        ValueError: An option is out of range.
    """

    kind: ClassVar[str]

    path: str = field(metadata={"help": "path of the data"})
    weight: float = field(
        default=1.0, metadata={"help": "share of the pairs drawn from it, relative to the others'"}
    )

    def __post_init__(self) -> None:
        self.require("weight", self.weight > 0, "above 0")

    @abstractmethod
    def open_training(self, context: OpeningContext) -> PairSource:
        """Open the pairs to train on.

        Raises:
            FileNotFoundError: There are no data.
            ValueError: The data cannot be used.
        """

    @abstractmethod
    def open_validation(self, context: OpeningContext) -> FixedPairs | None:
        """Open pairs that training does not see, or return None if there are none."""

    @property
    def label(self) -> str:
        """A short name for logs, without folders of this machine."""
        return f"{self.kind}:{Path(self.path).name}"

    def without_folders(self) -> PairSourceSpecification:
        """Return a copy with the names of files and folders in place of their paths."""
        names: dict[str, Any] = {
            option.name: Path(getattr(self, option.name)).name
            for option in dataclasses.fields(self)
            if option.type == "str"
        }
        return dataclasses.replace(self, **names)

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping for :func:`parse_specification`, without options at their defaults."""
        given = {
            option.name: getattr(self, option.name)
            for option in dataclasses.fields(self)
            if getattr(self, option.name) != option.default
        }
        return {"kind": self.kind, **given}

    def __str__(self) -> str:
        entry = self.to_dict()
        options = [
            f",{name}={value}" for name, value in entry.items() if name not in ("kind", "path")
        ]
        return f"{self.kind}:{self.path}{''.join(options)}"

    def require(self, name: str, valid: bool, expected: str) -> None:
        """Raise a ValueError that names the option unless ``valid``."""
        if not valid:
            raise ValueError(
                f"{self.label}: {name} must be {expected}, not {getattr(self, name)!r}"
            )


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
    upright_share: float = field(
        default=_VIEWS.upright_share, metadata={"help": "share of views rolled by 5 degrees only"}
    )
    tilt: float = field(
        default=_VIEWS.tilt, metadata={"help": "standard deviation of tilt and pan, degrees"}
    )
    motion_blur: float = field(
        default=_VIEWS.motion_blur, metadata={"help": "share of views blurred by motion"}
    )
    views_per_draw: int = field(
        default=2, metadata={"help": "views drawn at a time, of which every two make a pair"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("views", "holdout", "views_per_draw"):
            self.require(name, getattr(self, name) >= 2, "at least 2")
        self.require("features", self.features >= 16, "at least 16")
        self.require("longest_side", self.longest_side >= 64, "at least 64")
        for name in ("rotation", "log2_scale", "tilt"):
            self.require(name, getattr(self, name) >= 0, "at least 0")
        for name in ("motion_blur", "upright_share"):
            self.require(name, 0 <= getattr(self, name) <= 1, "in [0, 1]")

    def open_training(self, context: OpeningContext) -> PairSource:
        photos, _ = split_photos(find_photos(self.path), self.holdout)
        if not photos:
            raise ValueError(
                f"{self.label}: the only photograph is kept to validate on; give at least two"
            )
        distribution = dataclasses.replace(
            _VIEWS,
            rotation=self.rotation,
            log2_scale=self.log2_scale,
            upright_share=self.upright_share,
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
        return PhotoViews.open(
            photos, settings, context.cache, context.workers, self.views_per_draw
        )

    def open_validation(self, context: OpeningContext) -> FixedPairs | None:
        # The pairs of `evaluate photos`, so that the scores agree.
        from ...evaluation.warped_photos import WarpedPair, warped_pairs

        def feature_pair(pair: WarpedPair) -> ViewGroup:
            homographies = pair.homography, np.linalg.inv(pair.homography)
            sides = pair.photo, pair.view
            there, back = (
                seen_through(side.keypoints, homography)
                for side, homography in zip(sides, homographies, strict=True)
            )
            return ViewGroup(sides, (pair.photo_shape, pair.view_shape), ((there, back),))

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
    """MegaDepth in the folder ``path``; its features are extracted while training."""

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


DATA_KINDS: dict[str, type[PairSourceSpecification]] = {
    kind.kind: kind for kind in (PhotosSpecification, PosedSpecification, MegaDepthSpecification)
}


def parse_specification(
    source: str | Mapping[str, Any] | PairSourceSpecification,
    kinds: Mapping[str, type[PairSourceSpecification]],
) -> PairSourceSpecification:
    """Return the source that a run names.

    Args:
        source: ``KIND:PATH[,option=value...]``, or a mapping with ``kind``, ``path`` and options.
        kinds: Kinds of sources by name.

    Raises:
        ValueError: The source is neither, the kind or an option is not known, or a value is wrong.
    """
    if isinstance(source, PairSourceSpecification):
        return source
    if isinstance(source, str):
        written = _WRITTEN.fullmatch(source)
        if written is None:
            raise ValueError(
                f"data must be written KIND:PATH[,option=value...], not {source!r}; "
                f"the kinds are {', '.join(kinds)}"
            )
        options = [option.split("=", 1) for option in written["options"].split(",")[1:]]
        source = {"kind": written["kind"], "path": written["path"], **dict(options)}
    if not isinstance(source, Mapping) or "kind" not in source:
        raise ValueError(
            f"a source of data must be a mapping with kind and path, not {source!r}; "
            f"the kinds are {', '.join(kinds)}"
        )
    values = {name: value for name, value in source.items() if name != "kind"}
    check_keys([source["kind"]], list(kinds), "data", "kind")
    kind = kinds[source["kind"]]
    return kind(**read_fields(kind, values, f"data of kind {kind.kind}"))


def open_training(specification: PairSourceSpecification, context: OpeningContext) -> PairSource:
    """Open the pairs to train on.

    Raises:
        FileNotFoundError: There are no data.
        ValueError: The data cannot be used, or hold another detector's features.
    """
    source = specification.open_training(context)
    _check_detector(specification, source, context.detector)
    return source


def open_validation(
    specification: PairSourceSpecification, context: OpeningContext
) -> FixedPairs | None:
    """Open the pairs to validate on, or return None if the source has none.

    Raises:
        FileNotFoundError, ValueError: As :func:`open_training`.
    """
    pairs = specification.open_validation(context)
    if pairs is not None:
        _check_detector(specification, pairs, context.detector)
    return pairs


def open_pair_source(
    specification: PairSourceSpecification, context: OpeningContext
) -> tuple[PairSource, FixedPairs | None]:
    """Open both parts of a source."""
    return open_training(specification, context), open_validation(specification, context)


def _check_detector(
    specification: PairSourceSpecification, source: PairSource, detector: str
) -> None:
    if source.detector != detector:
        raise ValueError(
            f"{specification} holds features of {source.detector}, and the model takes those of "
            f"{detector}: extract them again, or train another model"
        )
