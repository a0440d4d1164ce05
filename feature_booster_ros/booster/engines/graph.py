# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The folded network, recorded once for a padded size and replayed by one call.

On a GPU the network's arithmetic takes a fraction of the time in which a CPU launches its kernels.
A CUDA graph launches all of them at once, with the copies to and from the GPU. Its sizes are fixed,
so sets of features are padded; the padding mask prevents an effect on the results.
"""

from __future__ import annotations

import copy
import threading

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...features import extractor_class
from ..descriptors import network_input
from ..model_config import ModelConfig
from ..network import FeatureBooster
from .engine import Engine
from .folded import Buffers, FoldedNetwork

MIN_SIZE = 256
"""Smallest padded size [features]."""

WARM_UP_RUNS = 3
"""Runs before a graph is recorded, in which libraries choose kernels and allocate memory."""


def padded_size(count: int) -> int:
    """Return the size that ``count`` features are padded to.

    It is a power of two, or one and a half times one: at most half of the work is padding, and a
    few graphs serve all counts.
    """
    size = MIN_SIZE
    while size < count:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


class CudaGraphEngine(Engine):
    """For CUDA. On a CPU it computes the same without recording, for tests."""

    name = "cuda_graph"

    def __init__(self, network: FeatureBooster, device: torch.device, precision: str) -> None:
        super().__init__(network, device, precision)
        self._network = _PaddedNetwork(network, self.dtype, device)
        self._runs: dict[tuple[int, np.dtype], _PaddedRun] = {}
        self._lock = threading.Lock()

    def __call__(self, descriptors: np.ndarray, geometry: np.ndarray) -> np.ndarray:
        with self._lock:
            run = self._run_for(padded_size(len(descriptors)), descriptors.dtype)
            return run(descriptors, geometry)

    def warm_up(self, count: int) -> None:
        dtype = np.dtype(np.uint8 if _takes_bits(self.config) else np.float32)
        with self._lock:
            size = MIN_SIZE
            self._run_for(size, dtype)
            while size < count:
                size = padded_size(size + 1)
                self._run_for(size, dtype)

    def _run_for(self, size: int, dtype: np.dtype) -> _PaddedRun:
        if (size, dtype) not in self._runs:
            self._runs[size, dtype] = _PaddedRun(self._network, size, dtype)
        return self._runs[size, dtype]


class _PaddedNetwork:
    """The computation of a padded set, from extracted descriptors to boosted ones."""

    def __init__(self, network: FeatureBooster, dtype: torch.dtype, device: torch.device) -> None:
        self.config = network.config
        self.dtype, self.device = dtype, device
        self._network: FoldedNetwork | FeatureBooster
        if FoldedNetwork.refusal(network) is None:
            self._network = FoldedNetwork(network, dtype, device)
        else:
            self._network = copy.deepcopy(network).to(device, dtype).eval().requires_grad_(False)
        bits = torch.arange(8)
        signs = (torch.arange(256)[:, None] >> bits & 1) * 2 - 1
        self._signs_of_byte = signs.to(device, dtype)
        self._bit_values = (1 << bits).to(device, torch.uint8)

    def buffers(self, size: int) -> Buffers | None:
        """Return memory for sets of a size, or None if the network is not folded."""
        if isinstance(self._network, FoldedNetwork):
            return Buffers(self._network, size, self.dtype, self.device)
        return None

    def __call__(
        self, descriptors: Tensor, keypoints: Tensor, count: Tensor, buffers: Buffers | None
    ) -> Tensor:
        """Compute descriptors (N, output_dim) float32, or (N, output_dim / 8) uint8 packed bits.

        Args:
            descriptors: (N, D) float32, or (N, D / 8) uint8 packed bits.
            keypoints: (N, K) float32.
            count: (1,), number of rows that are features, not padding.
            buffers: from :meth:`buffers`.
        """
        padding = torch.arange(len(descriptors), device=self.device) >= count
        if descriptors.dtype == torch.uint8:
            inputs = self._signs_of_byte[descriptors.long()].flatten(1)
        else:
            inputs = network_input(descriptors, self.config).to(self.dtype, copy=True)
        keypoints = keypoints.to(self.dtype)
        if isinstance(self._network, FoldedNetwork):
            assert buffers is not None  # made by buffers() for the same network
            boosted = self._network(inputs, keypoints, buffers, padding)
        else:
            boosted = self._network(inputs, keypoints, padding)
        if self.config.binary:
            bits = (boosted >= 0).unflatten(1, (-1, 8))
            return (bits * self._bit_values).sum(dim=2, dtype=torch.uint8)
        boosted = boosted.float()
        return functional.normalize(boosted, dim=-1) if self.config.l2_normalization else boosted


class _PaddedRun:
    """The memory of one padded size on host and device, and the graph.

    Args:
        network: to run.
        size: padded number of features.
        dtype: of their descriptors.
    """

    def __init__(self, network: _PaddedNetwork, size: int, dtype: np.dtype) -> None:
        config, device = network.config, network.device
        columns = config.descriptor_dim // (8 if dtype == np.uint8 else 1)
        kind = torch.uint8 if dtype == np.uint8 else torch.float32
        on_cuda = device.type == "cuda"
        # Pinned memory, as a recorded copy needs a fixed address.
        self._inputs = [
            torch.zeros(shape, dtype=which, pin_memory=on_cuda)
            for shape, which in (
                ((size, columns), kind),
                ((size, config.keypoint_dim), torch.float32),
                ((1,), torch.int64),
            )
        ]
        self._on_device = [torch.zeros_like(each, device=device) for each in self._inputs]
        self._network, self._buffers = network, network.buffers(size)
        self._count = 0
        self._recording: tuple[torch.cuda.CUDAGraph, torch.cuda.Stream] | None = None
        if on_cuda:
            self._record()
        else:
            self._compute()

    def __call__(self, descriptors: np.ndarray, geometry: np.ndarray) -> np.ndarray:
        count = len(descriptors)
        for host, array in zip(self._inputs, (descriptors, geometry), strict=False):
            host.numpy()[:count] = array
            # The features of an earlier, larger set are cleared.
            host.numpy()[count : self._count] = 0
        self._inputs[2][0] = self._count = count
        if self._recording is None:
            self._compute()
        else:
            graph, stream = self._recording
            with torch.cuda.stream(stream):
                graph.replay()
            stream.synchronize()
        return self._output.numpy()[:count].copy()

    @torch.inference_mode()
    def _compute(self) -> None:
        for device, host in zip(self._on_device, self._inputs, strict=True):
            device.copy_(host, non_blocking=True)
        descriptors, keypoints, count = self._on_device
        boosted = self._network(descriptors, keypoints, count, self._buffers)
        if not hasattr(self, "_output"):
            self._output = torch.empty(
                boosted.shape, dtype=boosted.dtype, pin_memory=boosted.is_cuda
            )
        self._output.copy_(boosted, non_blocking=True)

    def _record(self) -> None:
        with torch.cuda.device(self._network.device):
            stream = torch.cuda.Stream()
            # Wait for the work of this run on the default stream.
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_RUNS):
                    self._compute()
            stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                self._compute()
            stream.synchronize()
        self._recording = graph, stream


def _takes_bits(config: ModelConfig) -> bool:
    """Return whether the network's features are packed bits; False for an unknown extractor."""
    try:
        return extractor_class(config.detector).is_binary
    except ValueError:
        return False
