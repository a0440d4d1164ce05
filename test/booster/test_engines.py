# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Engines give what the plain network gives, whatever they leave out."""

import dataclasses
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from torch import nn

from feature_booster_ros.booster import (
    Booster,
    FeatureBooster,
    available_engines,
    available_models,
    load_checkpoint,
    load_models,
)
from feature_booster_ros.booster.engines import create_engine
from feature_booster_ros.booster.engines.eager import EagerEngine
from feature_booster_ros.booster.engines.fused import FusedEngine
from feature_booster_ros.booster.engines.graph import CudaGraphEngine, padded_size
from feature_booster_ros.booster.engines.openvino import OpenVinoEngine
from feature_booster_ros.booster.network import LAYER_NORM_EPS
from feature_booster_ros.booster.pruning import prune_mlp, without_dead_units
from feature_booster_ros.features import Features, create_extractor

PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)
CPU = torch.device("cpu")
FAST = [FusedEngine, CudaGraphEngine]

F = load_models()["SIFT+Boost-F"]
ORB = load_models()["ORB+Boost-B"]
VARIANTS = {
    **load_models(),
    "no geometry": dataclasses.replace(F, use_kenc=False),
    "no cross-boosting": dataclasses.replace(F, use_cross=False),
    "neither": dataclasses.replace(F, use_kenc=False, use_cross=False),
    "no descriptor encoder": dataclasses.replace(F, descriptor_encoder=()),
    "only a projection": dataclasses.replace(
        F, descriptor_encoder=(), use_kenc=False, use_cross=False
    ),
    "no layers": dataclasses.replace(F, attentional_layers=0),
    "multi-head attention": dataclasses.replace(F, use_mha=True),
    "relu": dataclasses.replace(F, last_activation="relu"),
    "sigmoid": dataclasses.replace(F, last_activation="sigmoid", l2_normalization=False),
    "tanh of floats": dataclasses.replace(F, last_activation="tanh"),
    "rootsift": dataclasses.replace(F, descriptor_transform="rootsift"),
}


def random_network(config, seed=0) -> FeatureBooster:
    """Weights of a size that trained ones have, norms that are no identity among them."""
    generator = torch.Generator().manual_seed(seed)
    network = FeatureBooster(config).eval()
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.data = 0.5 + torch.rand(module.weight.shape, generator=generator)
            module.bias.data = 0.3 * torch.randn(module.bias.shape, generator=generator)
        elif isinstance(module, nn.Linear):
            spread = module.in_features**-0.5
            module.weight.data = spread * torch.randn(module.weight.shape, generator=generator)
            module.bias.data = 0.3 * torch.randn(module.bias.shape, generator=generator)
    return network


def random_set(config, count, seed=0, bits=None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if ("orb" in config.detector) if bits is None else bits:
        descriptors = rng.integers(0, 256, (count, config.descriptor_dim // 8), dtype=np.uint8)
    else:
        descriptors = rng.random((count, config.descriptor_dim), dtype=np.float32)
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return descriptors, rng.normal(0, 0.5, (count, config.keypoint_dim)).astype(np.float32)


def check_same(config, found, expected, tolerance=2e-5):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    if config.binary:
        assert np.unpackbits(found ^ expected).mean() < 1e-3
    else:
        np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize(
    ("engine", "variant"),
    [
        pytest.param(engine, variant, id=f"{variant}-{engine.name}")
        for variant, config in VARIANTS.items()
        for engine in FAST
        if engine is not FusedEngine or not config.use_mha  # which it refuses
    ],
)
def test_every_configuration_gives_what_the_module_gives(engine, variant):
    config = VARIANTS[variant]
    network = random_network(config)
    fast, plain = engine(network, CPU, "fp32"), EagerEngine(network, CPU, "fp32")
    # Up and down, so that memory grows and is used again by less.
    for count in (1, 300, 2, 41):
        features = random_set(config, count, seed=count)
        check_same(config, fast(*features), plain(*features))


@pytest.mark.parametrize("variant", ["rootsift", "ORB+Boost-B", "ALIKE+Boost-B"])
def test_openvino_gives_what_the_module_gives(variant):
    config = VARIANTS[variant]
    network = random_network(config)
    fast, plain = (engine(network, CPU, "fp32") for engine in (OpenVinoEngine, EagerEngine))
    fast.warm_up(40)
    for count in (1, 300, 2, 41):
        features = random_set(config, count, seed=count)
        found = fast(*features)
        check_same(config, found, plain(*features))
        kept = found.copy()
        fast(*random_set(config, count, seed=count + 1000))
        np.testing.assert_array_equal(found, kept)


def test_signals_are_handled_after_openvino_engines_are_gone():
    script = """
import signal
from feature_booster_ros.booster import Booster

signal.signal(signal.SIGINT, lambda *_: print("handled"))
engines = [Booster.from_pretrained("ORB+Boost-B", "cpu", engine="openvino") for _ in range(2)]
engines.pop(0)
engines.pop(0)
signal.raise_signal(signal.SIGINT)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    # A process that ends by a signal has written nothing to say so: the status does.
    assert (run.returncode, run.stdout) == (0, "handled\n"), run.stderr


@pytest.mark.parametrize("engine", FAST, ids=lambda engine: engine.name)
@pytest.mark.parametrize("name", available_models())
def test_shipped_models_keep_their_features_in_half_precision(engine, name):
    network = load_checkpoint(name)
    features = create_extractor(network.config.detector, 700)(PHOTO)
    booster = Booster(network, "cpu", "fp32", "eager")
    expected = booster(features, PHOTO.shape).descriptors
    for precision in ("fp32", "fp16"):
        booster._engine = engine(network, CPU, precision)
        found = booster(features, PHOTO.shape).descriptors
        if booster.is_binary:
            assert np.unpackbits(found ^ expected).mean() < 0.005
        else:
            assert (found * expected).sum(1).min() > 0.9999


@pytest.mark.parametrize("engine", [EagerEngine, *FAST], ids=lambda engine: engine.name)
@pytest.mark.parametrize("config", [F, ORB], ids=["floats", "bits"])
def test_what_goes_in_and_what_came_out_before_stays(engine, config):
    run = engine(random_network(config), CPU, "fp32")
    first, second = random_set(config, 50, 1), random_set(config, 50, 2)
    kept = [array.copy() for array in first]
    found = run(*first)
    copy = found.copy()
    run(*second)
    np.testing.assert_array_equal(found, copy)
    for array, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("engine", FAST, ids=lambda engine: engine.name)
def test_threads_do_not_disturb_each_other(engine):
    run = engine(random_network(F), CPU, "fp32")
    sets = [random_set(F, 20 + 30 * k, k) for k in range(8)]
    expected = [run(*each) for each in sets]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: run(*each), sets * 3))
    for result, wanted in zip(found, expected * 3, strict=True):
        np.testing.assert_allclose(result, wanted, atol=1e-5)


def test_keys_of_any_size_have_a_finite_softmax():
    network = random_network(F)
    with torch.no_grad():
        network.attn_proj.layers[0].attn.key.weight.mul_(1e3)
    features = random_set(F, 40)
    expected = EagerEngine(network, CPU, "fp32")(*features)
    for engine in FAST:
        np.testing.assert_allclose(engine(network, CPU, "fp32")(*features), expected, atol=1e-4)


def test_warm_up_makes_all_there_is_to_make():
    fused = FusedEngine(random_network(F), CPU, "fp32")
    fused.warm_up(700)
    buffers = fused._buffers
    fused(*random_set(F, 700))
    fused(*random_set(F, 3))
    assert fused._buffers is buffers
    graphs = CudaGraphEngine(random_network(F), CPU, "fp32")
    graphs.warm_up(700)
    sizes = sorted(size for size, _ in graphs._runs)
    assert sizes == [256, 384, 512, 768]
    for count in (1, 257, 700):
        graphs(*random_set(F, count))
    assert sorted(size for size, _ in graphs._runs) == sizes


def test_padded_sizes_are_few_and_near():
    counts = np.arange(1, 20_000)
    sizes = np.array([padded_size(count) for count in counts])
    assert (sizes >= counts).all() and len(set(sizes)) < 16
    assert (sizes[counts > 256] <= 1.5 * counts[counts > 256]).all()
    assert padded_size(2048) == 2048 and padded_size(2049) == 3072 and padded_size(3073) == 4096


# Units that do nothing


def silence(network: FeatureBooster) -> FeatureBooster:
    """Puts zeros into a network, of every kind that is looked for."""
    with torch.no_grad():
        first, second, third = (network.denc.encoder[i] for i in (0, 2, 4))
        first.weight[:40] = 0  # constant units
        first.bias[:20] = -1  # of which these never fire
        second.weight[:, 60:100] = 0  # units that nothing is made of
        third.weight[:, 5:90] = 0
        network.attn_proj.layers[3].ffn.mlp[0].weight[:200] = 0
    return network


def test_zeros_are_left_out_and_nothing_changes():
    network = silence(random_network(F))
    pruned = without_dead_units(network)
    descriptors, geometry = map(torch.from_numpy, random_set(F, 60))
    torch.testing.assert_close(
        pruned(descriptors, geometry), network(descriptors, geometry), atol=1e-6, rtol=0
    )
    widths = [layer.weight.shape for layer in pruned.denc.encoder if isinstance(layer, nn.Linear)]
    assert widths == [(256 - 40 - 40, 128), (128 - 85, 256 - 40 - 40), (128, 128 - 85)]
    hidden = network.attn_proj.layers[3].ffn.mlp[0].out_features
    assert pruned.attn_proj.layers[3].ffn.mlp[0].out_features == hidden - 200
    assert network.denc.encoder[0].weight.shape == (256, 128)  # the network itself stays
    features = random_set(F, 60)
    expected = EagerEngine(network, CPU, "fp32")(*features)
    for engine in FAST:
        np.testing.assert_allclose(engine(network, CPU, "fp32")(*features), expected, atol=1e-5)


def test_an_mlp_of_zeros_is_a_constant():
    mlp = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).requires_grad_(False)
    mlp[0].weight.zero_()
    x = torch.randn(5, 4)
    torch.testing.assert_close(prune_mlp(mlp)(x), mlp(x))
    mlp = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).requires_grad_(False)
    mlp[2].weight.zero_()
    torch.testing.assert_close(prune_mlp(mlp)(x), mlp[2].bias.expand(5, 3))


def test_the_shipped_orb_model_is_a_tenth_of_its_configuration():
    def multiplications(network):
        layers = (module for module in network.modules() if isinstance(module, nn.Linear))
        return sum(layer.weight.numel() for layer in layers)

    assert multiplications(load_checkpoint("ORB+Boost-B")) < 0.1 * multiplications(
        FeatureBooster(ORB)
    )


# Choice


def test_the_quickest_engine_is_chosen(monkeypatch):
    def chosen(network):
        return Booster(network, "cpu").engine

    plain = random_network(F)
    attention = random_network(VARIANTS["multi-head attention"])
    monkeypatch.setattr(OpenVinoEngine, "missing", classmethod(lambda cls: "it is not here"))
    assert available_engines("cpu") == ("eager", "fused")
    assert available_engines("cuda:1") == ("eager", "fused", "cuda_graph")
    assert [chosen(each) for each in (plain, attention)] == ["fused", "eager"]
    with pytest.raises(ValueError, match="engine 'openvino' cannot run here: it is not here"):
        create_engine(plain, CPU, "auto", "openvino")
    monkeypatch.undo()
    assert available_engines("cpu") == ("eager", "fused", "openvino")
    assert [chosen(each) for each in (plain, attention)] == ["openvino", "eager"]
    booster = Booster.from_pretrained("SIFT+Boost-F", "cpu", engine="eager")
    assert (booster.engine, booster.precision) == ("eager", "fp32")


@pytest.mark.parametrize(
    ("variant", "engine", "message"),
    [
        ("SIFT+Boost-F", "quick", "engine must be one of auto, eager, fused, openvino, cuda_graph"),
        ("SIFT+Boost-F", "cuda_graph", "engine 'cuda_graph' needs a CUDA device, not cpu"),
        *(
            (
                "multi-head attention",
                engine,
                f"engine '{engine}' cannot run SIFT.Boost-F: it has multi-head attention; use auto",
            )
            for engine in ("fused", "openvino")
        ),
    ],
)
def test_an_engine_that_cannot_be_is_refused(variant, engine, message):
    with pytest.raises(ValueError, match=message):
        create_engine(random_network(VARIANTS[variant]), CPU, "auto", engine)


def test_norms_are_the_networks_own():
    # Folding relies on it: one epsilon for all.
    norms = [m for m in FeatureBooster(F).modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 9 and {norm.eps for norm in norms} == {LAYER_NORM_EPS}


@pytest.mark.cuda
@pytest.mark.parametrize("name", available_models())
@pytest.mark.parametrize("engine", ["eager", "fused", "cuda_graph"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_engines_on_cuda(name, engine, precision):
    reference = Booster.from_pretrained(name, "cpu", engine="eager")
    booster = Booster.from_pretrained(name, "cuda", precision, engine=engine)
    booster.warm_up(700)
    features = create_extractor(reference.detector, 700)(PHOTO)
    for part in (features, features.select(np.arange(300)), features.select(np.arange(1))):
        wanted = reference(part, PHOTO.shape).descriptors
        for _ in range(2):
            found = booster(part, PHOTO.shape).descriptors
            if reference.is_binary:
                assert np.unpackbits(found ^ wanted).mean() < 0.005
            else:
                assert (found * wanted).sum(1).min() > 0.9999
    assert len(booster(Features.empty(features.descriptor_length, features.is_binary), (9, 9))) == 0
