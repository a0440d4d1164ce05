# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network by OpenVINO, where that is installed.

On a CPU the matrix products are nearly all of the network's time. OpenVINO compiles them for their
sizes and packs the weights beforehand, which makes them quicker than PyTorch's.
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
from ..pruning import without_dead_parts
from .engine import Engine

if TYPE_CHECKING:
    import openvino

_PRECISION_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}

_EXAMPLE_COUNT = 300
"""Features that the network is traced with; it then takes any number."""


class OpenVinoEngine(Engine):
    """For CPUs of any make. It takes as many threads as PyTorch has when it is made."""

    name = "openvino"

    def __init__(self, network: FeatureBooster, device: torch.device, precision: str) -> None:
        super().__init__(network, device, precision)
        compiled = _core().compile_model(
            _openvino_model(without_dead_parts(network).cpu().float()),
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
    def missing(cls) -> str | None:
        if importlib.util.find_spec("openvino") is None:
            return "the package openvino is not installed (pip install openvino)"
        return None

    def __call__(self, descriptors: np.ndarray, geometry: np.ndarray) -> np.ndarray:
        if descriptors.dtype == np.uint8:
            descriptors = unpack_bits(descriptors)
        with self._lock:
            boosted = self._request.infer([descriptors, geometry], share_inputs=True)[0]
            # The request's own memory, which the next set overwrites.
            return pack_signs(boosted) if self.config.binary else boosted.copy()

    def warm_up(self, count: int) -> None:
        self(
            np.zeros((count, self.config.descriptor_dim), np.float32),
            np.zeros((count, self.config.keypoint_dim), np.float32),
        )


@functools.cache
def _core() -> openvino.Core:
    """The one runtime of the process, never given up.

    Each gives the thread that makes it a stack for signal handlers, and the one it found back when
    it goes. Of two that do not go last in, first out, freed memory remains: the next signal that
    Python handles, Ctrl-C for one, is a segmentation fault.
    """
    from openvino import Core

    return Core()


class _WithInput(nn.Module):
    """The network and what its descriptors go through before, for one model of both."""

    def __init__(self, network: FeatureBooster) -> None:
        super().__init__()
        self.network = network

    def forward(self, descriptors: Tensor, keypoints: Tensor) -> Tensor:
        return self.network(network_input(descriptors, self.network.config), keypoints)


def _openvino_model(network: FeatureBooster) -> openvino.Model:
    """The network as OpenVINO has it, for any number of features.

    By the steps of ``openvino.convert_model``, but for the report on its use that this sends to its
    makers: a robot does not call home.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    widths = network.config.descriptor_dim, network.config.keypoint_dim
    example = tuple(torch.rand(_EXAMPLE_COUNT, width) for width in widths)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of tracing, which it needs
        decoder = TorchScriptPythonDecoder(_WithInput(network), example_input=example)
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape({k: [-1, width] for k, width in enumerate(widths)})
    return model
