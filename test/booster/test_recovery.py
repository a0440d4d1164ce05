# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A booster goes on after errors of CUDA: a new engine first, then the CPU.

The errors are put in where PyTorch raises them, in the engine; what is computed otherwise is real.
"""

import cv2
import numpy as np
import pytest
import torch
from skimage import data

import feature_booster_ros.booster.booster as booster_module
from feature_booster_ros.booster import Booster
from feature_booster_ros.booster.engines.eager import EagerEngine
from feature_booster_ros.features import create_extractor

PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)
FEATURES = create_extractor("sift", 100)(PHOTO)
CPU = torch.device("cpu")
OUT_OF_MEMORY = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
ILLEGAL = RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with ...")


class FaultyEngine(EagerEngine):
    """An engine of the CPU in the place of one of CUDA; ``error`` is raised by its calls."""

    error: Exception | None = None

    def __call__(self, descriptors, geometry):
        if self.error is not None:
            raise self.error
        return super().__call__(descriptors, geometry)

    def warm_up(self, count):
        if self.error is not None:
            raise self.error


@pytest.fixture
def faulty_cuda(monkeypatch):
    """Have the engines that are created for CUDA fail, each as the list that is returned says:
    "create", "call" or "no".
    """
    faults: list[tuple[str, Exception]] = []

    def create(network, device, *choice):
        if device.type == "cpu":
            return EagerEngine(network, device, "fp32")  # takes less time than the fastest to make
        when, error = faults.pop(0)
        if when == "create":
            raise error
        engine = FaultyEngine(network, CPU, "fp32")
        engine.error = error if when == "call" else None
        return engine

    monkeypatch.setattr(booster_module, "create_engine", create)
    monkeypatch.setattr(booster_module, "resolve_device", torch.device)
    return faults


@pytest.mark.parametrize("warm_up", [False, True], ids=["call", "warm-up"])
@pytest.mark.parametrize(
    ("faults", "device"),
    [
        (["call", "no"], "cuda"),
        (["create", "no"], "cuda"),
        (["call", "call"], "cpu"),
        (["call", "create"], "cpu"),
        (["create", "create"], "cpu"),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, list) else None,
)
def test_features_are_right_and_it_is_told(faulty_cuda, faults, device, warm_up):
    faulty_cuda += [(when, OUT_OF_MEMORY) for when in faults]
    told: list[str] = []
    booster = Booster.from_pretrained("SIFT+Boost-F", "cuda", on_recovery=told.append)
    if warm_up:
        booster.warm_up(100)
    expected = Booster.from_pretrained("SIFT+Boost-F", "cpu", engine="eager")(FEATURES, PHOTO.shape)
    for _ in range(2):
        found = booster(FEATURES, PHOTO.shape)
        np.testing.assert_allclose(found.descriptors, expected.descriptors, atol=2e-5)
    assert booster.device.type == device and not faulty_cuda
    reason = str(OUT_OF_MEMORY)
    if device == "cuda":
        assert told == [f"{reason}: SIFT+Boost-F was loaded again on cuda"]
        assert booster.problem == ""
    else:
        assert told[-1] == booster.problem
        assert booster.problem.startswith("SIFT+Boost-F runs on the CPU and not on cuda: CUDA ")
        assert reason in booster.problem


def test_a_later_error_goes_to_the_cpu(faulty_cuda):
    faulty_cuda += [("call", ILLEGAL), ("no", ILLEGAL)]
    told: list[str] = []
    booster = Booster.from_pretrained("SIFT+Boost-F", "cuda", on_recovery=told.append)
    booster(FEATURES, PHOTO.shape)
    first = "CUDA error: an illegal memory access was encountered"
    assert told == [f"{first}: SIFT+Boost-F was loaded again on cuda"]
    booster._engine.error = OUT_OF_MEMORY
    booster(FEATURES, PHOTO.shape)
    assert len(told) == 2 and booster.device.type == "cpu" and booster.precision == "fp32"


@pytest.mark.parametrize(
    ("on_recovery", "error"),
    [(None, OUT_OF_MEMORY), (print, RuntimeError("sizes of tensors must match"))],
    ids=["not asked to", "another error"],
)
@pytest.mark.parametrize("when", ["create", "call"])
def test_what_is_not_survived_is_raised(faulty_cuda, when, on_recovery, error):
    faulty_cuda.append((when, error))
    with pytest.raises(type(error), match=str(error)):
        Booster.from_pretrained("SIFT+Boost-F", "cuda", on_recovery=on_recovery)(
            FEATURES, PHOTO.shape
        )
