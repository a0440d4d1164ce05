# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network by OpenVINO, if that is installed.

On a CPU the matrix products take nearly all of the network's time. OpenVINO compiles them for their
sizes and packs the weights beforehand, which makes them faster than PyTorch's.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..descriptors import network_input, pack_signs, unpack_bits
from ..network import FeatureBooster
from ..pruning import without_dead_units
from .engine import Engine

if TYPE_CHECKING:
    import openvino

_PRECISION_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}

_EXAMPLE_COUNT = 300
"""Number of features that the network is traced with; the model takes any number."""


class OpenVinoEngine(Engine):
    """For CPUs, with as many threads as PyTorch has at its creation."""

    name = "openvino"

    def __init__(self, network: FeatureBooster, device: torch.device, precision: str) -> None:
        super().__init__(network, device, precision)
        compiled = _core().compile_model(
            _openvino_model(without_dead_units(network).cpu().float()),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[precision],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()

    @classmethod
    def refusal(cls, network: FeatureBooster) -> str | None:
        # Wrong for all sets where the first one has a single feature (OpenVINO 2026.4).
        return "it has multi-head attention" if network.config.use_mha else None

    @classmethod
    def missing(cls) -> str | None:
        if importlib.util.find_spec("openvino") is None:
            return "the package openvino is not installed (pip install openvino)"
        return None

    def __call__(self, descriptors: np.ndarray, geometry: np.ndarray) -> np.ndarray:
        if descriptors.dtype == np.uint8:
            descriptors = unpack_bits(descriptors)
        with self._lock:
            boosted = self._request.infer([descriptors, geometry], share_inputs=True)[0]
            # The memory belongs to the request, and the next set overwrites it.
            return pack_signs(boosted) if self.config.binary else boosted.copy()

    def warm_up(self, count: int) -> None:
        self(
            np.zeros((count, self.config.descriptor_dim), np.float32),
            np.zeros((count, self.config.keypoint_dim), np.float32),
        )


@functools.cache
def _core() -> openvino.Core:
    """Return the only runtime of the process, which is never destroyed.

    Each runtime replaces the signal stack of the thread that creates it, and restores the former
    one at its end. If two are not destroyed in reverse order, the stack is freed memory, and the
    next signal that Python handles, such as Ctrl-C, is a segmentation fault.
    """
    from openvino import Core

    return Core()


class _WithInput(nn.Module):
    """The conversion of the descriptors and the network, for one model of both."""

    def __init__(self, network: FeatureBooster) -> None:
        super().__init__()
        self.network = network

    def forward(self, descriptors: Tensor, keypoints: Tensor) -> Tensor:
        return self.network(network_input(descriptors, self.network.config), keypoints)


def _openvino_model(network: FeatureBooster) -> openvino.Model:
    """Convert the network to OpenVINO, for any number of features.

    These are the steps of ``openvino.convert_model`` without its telemetry.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    widths = network.config.descriptor_dim, network.config.keypoint_dim
    example = tuple(torch.rand(_EXAMPLE_COUNT, width) for width in widths)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of tracing, which is needed
        decoder = TorchScriptPythonDecoder(_WithInput(network), example_input=example)
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape({k: [-1, width] for k, width in enumerate(widths)})
    return model
