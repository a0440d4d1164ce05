# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features, the data type that all stages of the package exchange."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Features:
    """Local features of one image, row i of every array describing the same feature.

    Attributes:
        keypoints: (N, 2) float32, x and y in pixels; the center of the top-left pixel is (0, 0).
        scales: (N,) float32. SIFT: sigma of the Gaussian in pixels (OpenCV's size / 2);
            ORB: scale of the pyramid level, 1 for the finest (OpenCV's size / 31).
        angles: (N,) float32, orientation in radians, in [0, 2 pi), clockwise as the y axis points
            down.
        scores: (N,) float32, the detector's response; larger is stronger.
        descriptors: (N, D) float32 rows of unit length, or (N, D / 8) uint8 rows of packed bits,
            the first bit of a descriptor being the least significant bit of its first byte.
        model: name of what made the descriptors, such as "sift" or "SIFT+Boost-F"; "" if unknown.
            Descriptors of two models cannot be compared.
        depths: (N,) float32, distance along the optical axis in meters, NaN where unknown; None if
            nothing measured depth.
        depth_sigmas: (N,) float32, their standard deviations in meters, NaN where the depth is
            unknown; None without depths.

    Raises:
        ValueError: an array has the wrong shape, length or type, or a value that is not finite; the
            message names it.
    """

    keypoints: np.ndarray
    scales: np.ndarray
    angles: np.ndarray
    scores: np.ndarray
    descriptors: np.ndarray
    model: str = ""
    depths: np.ndarray | None = None
    depth_sigmas: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("keypoints", "scales", "angles", "scores", "descriptors"):
            values = getattr(self, name)
            if not isinstance(values, np.ndarray):
                remedy = to_array(values, name)
                raise ValueError(f"{name} must be a NumPy array, not {describe(values)}: {remedy}")
            if values.dtype.kind not in "fiu":
                raise ValueError(f"{name} must be numbers, not {values.dtype}")
        if not isinstance(self.model, str):
            raise ValueError(f"model must be a name, not {describe(self.model)}")
        if self.keypoints.ndim != 2 or self.keypoints.shape[1] != 2:
            raise ValueError(f"keypoints must have shape (N, 2), not {self.keypoints.shape}")
        count = len(self.keypoints)
        for name in ("scales", "angles", "scores"):
            shape = getattr(self, name).shape
            if shape != (count,):
                raise ValueError(
                    f"{name} must have shape ({count},) as there are {count} keypoints, not {shape}"
                )
        if self.descriptors.ndim != 2 or len(self.descriptors) != count:
            raise ValueError(
                f"descriptors must have shape ({count}, D) as there are {count} keypoints, "
                f"not {self.descriptors.shape}"
            )
        if self.descriptors.dtype not in (np.float32, np.uint8):
            raise ValueError(
                "descriptors must be float32 (unit rows) or uint8 (packed bits), "
                f"not {self.descriptors.dtype}"
            )
        for name in ("keypoints", "scales", "angles", "scores", "descriptors"):
            finite = np.isfinite(getattr(self, name))
            if not finite.all():
                rows = count - int(finite.reshape(count, -1).all(axis=1).sum())
                raise ValueError(
                    f"{name} of {rows} of {count} features are NaN or infinite: leave these "
                    "features out"
                )
        _check_depths(self.depths, self.depth_sigmas, count)

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def is_binary(self) -> bool:
        """Whether the descriptors are packed bits, to be compared by Hamming distance."""
        return self.descriptors.dtype == np.uint8

    @property
    def descriptor_length(self) -> int:
        """Elements of one descriptor: floats, or bits when binary."""
        return self.descriptors.shape[1] * (8 if self.is_binary else 1)

    def select(self, which: np.ndarray | slice) -> Features:
        """Return the features at integer indices (M,), in their order, or of a mask (N,) bool."""
        return Features(
            self.keypoints[which],
            self.scales[which],
            self.angles[which],
            self.scores[which],
            self.descriptors[which],
            self.model,
            None if self.depths is None else self.depths[which],
            None if self.depth_sigmas is None else self.depth_sigmas[which],
        )

    def with_descriptors(self, descriptors: np.ndarray, model: str) -> Features:
        """Return the same keypoints with descriptors (N, D) of ``model``."""
        return dataclasses.replace(self, descriptors=descriptors, model=model)

    def with_depths(self, depths: np.ndarray, depth_sigmas: np.ndarray) -> Features:
        """Return the same features with depths and their standard deviations, both (N,) [m].

        Raises:
            ValueError: see :class:`Features`.
        """
        return dataclasses.replace(self, depths=depths, depth_sigmas=depth_sigmas)

    @staticmethod
    def empty(descriptor_length: int, binary: bool, model: str = "") -> Features:
        """Return no features, with descriptors of that many floats, or bits when ``binary``."""
        columns, dtype = (
            (descriptor_length // 8, np.uint8) if binary else (descriptor_length, np.float32)
        )
        none = np.zeros(0, np.float32)
        return Features(
            np.zeros((0, 2), np.float32), none, none, none, np.zeros((0, columns), dtype), model
        )


def _check_depths(depths: np.ndarray | None, sigmas: np.ndarray | None, count: int) -> None:
    if depths is None and sigmas is None:
        return
    if depths is None or sigmas is None:
        raise ValueError("depths and depth_sigmas must be given together, or neither")
    for name, values in (("depths", depths), ("depth_sigmas", sigmas)):
        if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
            raise ValueError(f"{name} must be an array of floats, not {describe(values)}")
        if values.shape != (count,):
            raise ValueError(
                f"{name} must have shape ({count},) as there are {count} keypoints, "
                f"not {values.shape}"
            )
    known = ~np.isnan(depths)
    for name, values in (("depths", depths), ("depth_sigmas", sigmas)):
        wrong = ~(np.isfinite(values[known]) & (values[known] > 0))
        if wrong.any():
            raise ValueError(
                f"{name} of {int(wrong.sum())} of {count} features are not positive: set unknown "
                "depths to NaN"
            )


def check_features(name: str, features: object) -> None:
    """Raise ValueError naming the argument ``name`` unless it is :class:`Features`."""
    if not isinstance(features, Features):
        raise ValueError(
            f"{name} must be Features, not {describe(features)}: pass what the extractor or the "
            "booster returned, not its descriptors alone"
        )


def check_comparable(a: Features, b: Features) -> None:
    """Raise ValueError unless the descriptors of both are of one kind, length and model."""
    if a.is_binary != b.is_binary or a.descriptor_length != b.descriptor_length:
        kinds = [
            f"{'binary' if features.is_binary else 'float'} of {features.descriptor_length}"
            + (f" ({features.model})" if features.model else "")
            for features in (a, b)
        ]
        raise ValueError(
            f"descriptors must be of one kind, not {kinds[0]} and {kinds[1]}: make both by the "
            "same extractor and booster"
        )
    if a.model and b.model and a.model != b.model:
        raise ValueError(
            f"descriptors of {a.model} cannot be compared with those of {b.model}: make both by "
            "the same extractor and booster"
        )


def describe(value: object) -> str:
    """Describe in a few words what was passed for an array or an object of this package."""
    if value is None:
        return "None"
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    if isinstance(value, np.ndarray):
        return f"an array of shape {shape} and type {value.dtype}"
    module = type(value).__module__.partition(".")[0]
    text = name if module == "builtins" else f"{module} {name}"
    return f"a {text}" if shape is None else f"a {text} of shape {tuple(shape)}"


def to_array(value: object, name: str) -> str:
    """Return how to make a NumPy array of what was passed as the argument ``name``."""
    if type(value).__module__.partition(".")[0] == "torch":
        return f"pass {name}.detach().cpu().numpy()"
    return f"pass numpy.asarray({name})"
