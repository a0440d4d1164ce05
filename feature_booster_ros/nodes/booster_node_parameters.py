# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of booster_node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from feature_booster_ros.depth import DepthSettings
from feature_booster_ros.pixels import WIDE_PIXELS

from .messages import FLOAT_DESCRIPTORS
from .parameters import Change, FrameNodeParameters, parameter
from .qos import RELIABILITIES

# The first part of a topic's name, relative to the node's namespace.
_CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")
_PAIRED_ALONE = (
    "an image without a camera_info of its stamp is paired with the newest of its frame_id; leave "
    "the parameter out"
)


@dataclass(frozen=True)
class BoosterNodeParameters(FrameNodeParameters):
    """Parameters of booster_node."""

    RETIRED: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("approximate_sync", "sync_slop", "sync_queue_size"), _PAIRED_ALONE),
        "half_precision_descriptors": "set descriptor_type to float16",
    }

    model: str = parameter(
        "SIFT+Boost-F",
        "Network to boost with: a name in config/models.yaml, or none for raw descriptors.",
    )
    weights: str = parameter(
        "",
        "Weights of the model, a .safetensors or .pth file; empty for the weights that ship with "
        "the package.",
    )
    device: str = parameter(
        "auto", "Where the network runs: auto (CUDA if available), cpu, cuda or cuda:N."
    )
    precision: str = parameter(
        "auto",
        "Arithmetic of the network: fp32, fp16, bf16, or auto for fp16 on CUDA and else fp32.",
        choices=("auto", "fp32", "fp16", "bf16"),
    )
    engine: str = parameter(
        "auto",
        "How the network is run, all with the same results: eager PyTorch, fused, openvino (CPU, "
        "where it is installed), cuda_graph (CUDA), or auto for the quickest available.",
        choices=("auto", "eager", "fused", "openvino", "cuda_graph"),
    )
    cameras: str = parameter(
        "",
        "Names of the cameras that this process serves, separated by commas, such as left,right: "
        "the features of NAME/image and NAME/camera_info are NAME/features. All share the network "
        "and the other parameters, and take turns. Empty for one camera, on image and camera_info.",
        change=Change.UNCONFIGURED,
    )
    threads: int = parameter(
        0,
        "Threads to compute with; 0 for one per core.",
        minimum=0,
        maximum=1024,
        change=Change.START,
    )
    overlap: str = parameter(
        "auto",
        "Extract one image's features while those of the previous one are boosted and published: "
        "more images per second, each a little later; auto does so where extraction leaves cores "
        "idle.",
        choices=("auto", "always", "never"),
    )
    normalization: str = parameter(
        "image_size",
        "What keypoints are normalized by for the network: the image's size, as in training, or "
        "the intrinsics.",
        choices=("image_size", "intrinsics"),
    )
    detector: str = parameter(
        "auto",
        "Feature to extract: auto (the model's, and SIFT without a model), sift, orb, sift_gpu "
        "(SIFT on a CUDA GPU, where pycolmap-cuda12 is installed), or package.module:ClassName for "
        "an extractor class that Python can import.",
    )
    max_features: int = parameter(
        2048, "Largest number of features of an image.", minimum=1, maximum=100_000
    )
    grid_rows: int = parameter(
        0,
        "Rows of the grid over which features are spread; 0 takes the strongest anywhere.",
        minimum=0,
        maximum=1000,
    )
    grid_columns: int = parameter(
        0, "Columns of that grid; 0 takes the strongest anywhere.", minimum=0, maximum=1000
    )
    mask: str = parameter(
        "",
        "Gray image of the camera's size, nonzero where features are wanted; empty for everywhere.",
    )
    sift_contrast_threshold: float = parameter(
        0.04, "SIFT: lowest contrast of a keypoint; less finds more.", minimum=0.0, maximum=1.0
    )
    sift_edge_threshold: float = parameter(
        10.0,
        "SIFT: largest ratio of principal curvatures; more finds more.",
        minimum=1.0,
        maximum=1000.0,
    )
    sift_octave_layers: int = parameter(
        3, "SIFT: scales that an octave is divided into.", minimum=1, maximum=16
    )
    sift_sigma: float = parameter(
        1.6, "SIFT: blur of the first scale, in its pixels.", minimum=1.1, maximum=10.0
    )
    sift_first_octave: int = parameter(
        -1,
        "SIFT: -1 starts at double the image's size; 0 at its size, in a fraction of the time.",
        minimum=-1,
        maximum=0,
    )
    orb_scale_factor: float = parameter(
        1.2, "ORB: ratio of the sizes of neighboring pyramid levels.", minimum=1.01, maximum=4.0
    )
    orb_levels: int = parameter(8, "ORB: number of pyramid levels.", minimum=1, maximum=32)
    orb_fast_threshold: int = parameter(
        20,
        "ORB: lowest difference of gray values that makes a corner; less finds more.",
        minimum=1,
        maximum=255,
    )
    orb_edge_threshold: int = parameter(
        31, "ORB: width in pixels of the image's border without features.", minimum=1, maximum=1000
    )
    orb_patch_size: int = parameter(
        31,
        "ORB: size of the patch described, in pixels of its pyramid level.",
        minimum=2,
        maximum=1000,
    )
    descriptor_type: str = parameter(
        "int8",
        "How float descriptors are published: int8 (a quarter of float32's bytes; uint8 where no "
        "element is negative), float16 or float32. Binary ones stay as they are.",
        choices=FLOAT_DESCRIPTORS,
    )
    wide_pixels: str = parameter(
        "stretch",
        "How pixels of 16 bits or float become 8 bits: stretch (1st to 99th percentile of each "
        "image) or full_range (of the type; 0 to 1 for float).",
        choices=WIDE_PIXELS,
    )
    image_transport: str = parameter(
        "raw",
        "Topic of the images: raw (image) or compressed (image/compressed).",
        choices=("raw", "compressed"),
        change=Change.UNCONFIGURED,
    )
    use_camera_info: bool = parameter(
        True,
        "Take intrinsics from camera_info, which may come with each image, latched or at a lower "
        "rate; false works on images alone, with unknown intrinsics.",
        change=Change.UNCONFIGURED,
    )
    rectified: bool = parameter(
        False,
        "The images are rectified (image_rect): P of camera_info holds for them, and there is no "
        "distortion.",
    )
    depth_input: str = parameter(
        "none",
        "What measures the features' depth: none, an aligned depth image (topic depth, 16UC1 in "
        "millimeters or 32FC1 in meters), or stereo: the right camera of a calibrated pair "
        "(right/image and right/camera_info). With image_transport compressed: "
        "depth/compressedDepth, or right/image/compressed.",
        choices=("none", "aligned", "stereo"),
        change=Change.UNCONFIGURED,
    )
    max_depth: float = parameter(
        0.0, "Largest depth in meters; what is beyond is unknown. 0 for no limit.", minimum=0.0
    )
    depth_noise: float = parameter(
        0.001,
        "Aligned: standard deviation of the depth near the camera in meters.",
        minimum=0.0,
        maximum=10.0,
    )
    depth_noise_growth: float = parameter(
        0.0025,
        "Aligned: what that grows by with the squared depth, in 1/m: 0.0025 for structured light "
        "and stereo cameras of 5 cm baseline, 0 for time of flight.",
        minimum=0.0,
        maximum=10.0,
    )
    disparity_noise: float = parameter(
        0.25,
        "Stereo: standard deviation of the disparity in pixels.",
        minimum=0.01,
        maximum=100.0,
    )
    lazy: bool = parameter(True, "Extract nothing while nobody subscribes to features.")
    qos_input_reliability: str = parameter(
        "best_effort",
        "Reliability of the subscriptions; reliable connects to reliable publishers only.",
        choices=RELIABILITIES,
        change=Change.UNCONFIGURED,
    )

    def camera_names(self) -> list[str]:
        """Return the name of each camera; one that is empty where there is only one."""
        return [name.strip() for name in self.cameras.split(",")] if self.cameras else [""]

    def depth_settings(self) -> DepthSettings:
        """Return what these parameters say of the depth sensor."""
        return DepthSettings(
            self.max_depth, self.depth_noise, self.depth_noise_growth, self.disparity_noise
        )

    def __post_init__(self) -> None:
        names = self.camera_names()
        wrong = [name for name in names if not _CAMERA_NAME.fullmatch(name)]
        if self.cameras and wrong:
            raise ValueError(
                f"parameter 'cameras' has the name {wrong[0]!r}, which no topic can have: give "
                "names of letters, digits and _, separated by commas, such as left,right"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"parameter 'cameras' names a camera twice: {self.cameras}")
        if (self.grid_rows == 0) != (self.grid_columns == 0):
            raise ValueError(
                f"parameters 'grid_rows' ({self.grid_rows}) and 'grid_columns' "
                f"({self.grid_columns}) must both be 0 or both be above 0: set them together, as "
                "by the service set_parameters_atomically"
            )
        if self.depth_input == "stereo" and not self.use_camera_info:
            raise ValueError(
                "parameter 'depth_input' can be stereo only while 'use_camera_info' is true: the "
                "baseline is in camera_info"
            )
        if self.depth_noise == self.depth_noise_growth == 0:
            raise ValueError(
                "parameters 'depth_noise' and 'depth_noise_growth' must not both be 0: no sensor "
                "is exact"
            )
        if self.normalization == "intrinsics" and not self.use_camera_info:
            raise ValueError(
                "parameter 'normalization' can be intrinsics only while 'use_camera_info' is true"
            )
