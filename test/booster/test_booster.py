# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Booster: features in, boosted features out; and weights on disk, whole and broken."""

import dataclasses
import string

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from feature_booster_ros.booster import (
    Booster,
    CheckpointError,
    FeatureBooster,
    available_models,
    load_checkpoint,
    load_models,
    save_checkpoint,
)
from feature_booster_ros.booster.descriptors import pack_signs, root_sift, unpack_bits
from feature_booster_ros.features import Features, create_extractor

PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)
SHIPPED = ["ORB+Boost-B", "SIFT+Boost-B", "SIFT+Boost-F"]


def test_the_shipped_models():
    assert available_models() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_boost_their_features(name):
    booster = Booster.from_pretrained(name, device="cpu")
    features = create_extractor(booster.detector, 300)(PHOTO)
    boosted = booster(features, PHOTO.shape)
    assert boosted.is_binary == booster.is_binary == name.endswith("B")
    assert boosted.descriptor_length == booster.descriptor_length
    assert len(boosted) == len(features)
    assert boosted.keypoints is features.keypoints
    if not boosted.is_binary:
        np.testing.assert_allclose(np.linalg.norm(boosted.descriptors, axis=1), 1, atol=1e-5)
    assert len(np.unique(boosted.descriptors, axis=0)) > 0.9 * len(boosted)


@pytest.mark.parametrize("name", SHIPPED)
def test_boosting_is_the_network_on_the_documented_inputs(name):
    booster = Booster.from_pretrained(name, device="cpu")
    features = create_extractor(booster.detector, 200)(PHOTO)
    network = load_checkpoint(name)
    descriptors = features.descriptors
    if features.is_binary:
        bits = [
            [(byte >> bit) & 1 for byte in row for bit in range(8)] for row in descriptors.tolist()
        ]
        descriptors = np.array(bits, np.float32) * 2 - 1
    if network.config.descriptor_transform == "rootsift":
        descriptors = np.sqrt(descriptors / descriptors.sum(1, keepdims=True))
    center, focal = np.array(PHOTO.shape[::-1]) / 2, 0.7 * max(PHOTO.shape)
    geometry = np.column_stack(
        [(features.keypoints - center) / focal, features.scales, features.angles]
    )
    with torch.no_grad():
        expected = network(
            torch.from_numpy(descriptors), torch.from_numpy(geometry).float()
        ).numpy()
    found = booster(features, PHOTO.shape).descriptors
    if booster.is_binary:
        differ = (np.unpackbits(found, axis=1, bitorder="little") == 1) != (expected >= 0)
        assert differ.mean() < 1e-3
    else:
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_close(precision):
    features = create_extractor("sift", 300)(PHOTO)
    exact = Booster.from_pretrained("SIFT+Boost-F", "cpu")(features, PHOTO.shape).descriptors
    half = Booster.from_pretrained("SIFT+Boost-F", "cpu", precision)(
        features, PHOTO.shape
    ).descriptors
    assert half.dtype == np.float32
    assert (exact * half).sum(1).min() > 0.98
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-5)


def test_intrinsics_make_a_difference():
    booster = Booster.from_pretrained("SIFT+Boost-F", "cpu")
    features = create_extractor("sift", 100)(PHOTO)
    camera = np.array([[700.0, 0, 250], [0, 700, 260], [0, 0, 1]])
    by_size, by_camera = (booster(features, PHOTO.shape, c).descriptors for c in (None, camera))
    assert np.abs(by_size - by_camera).max() > 1e-3
    # The same rays: intrinsics that are the assumed ones.
    assumed = np.array([[0.7 * 512, 0, 256], [0, 0.7 * 512, 256], [0, 0, 1]])
    np.testing.assert_allclose(
        booster(features, PHOTO.shape, assumed).descriptors, by_size, atol=1e-6
    )


def test_no_features_and_one():
    for name in SHIPPED:
        booster = Booster.from_pretrained(name, "cpu")
        none = Features.empty(booster.config.descriptor_dim, name.startswith("ORB"))
        boosted = booster(none, (480, 640))
        assert len(boosted) == 0 and boosted.descriptor_length == booster.descriptor_length
        one = create_extractor(booster.detector, 1)(PHOTO)
        assert len(booster(one, PHOTO.shape)) == 1


def test_features_of_another_detector_are_refused():
    with pytest.raises(
        ValueError, match="SIFT\\+Boost-F takes sift descriptors of 128 elements, not of 256"
    ):
        Booster.from_pretrained("SIFT+Boost-F", "cpu")(create_extractor("orb")(PHOTO), PHOTO.shape)


def test_bits_survive_packing():
    packed = np.random.default_rng(0).integers(0, 256, (50, 32), dtype=np.uint8)
    np.testing.assert_array_equal(pack_signs(unpack_bits(packed)), packed)
    assert unpack_bits(np.array([[1]], np.uint8)).tolist() == [[1, -1, -1, -1, -1, -1, -1, -1]]


def test_root_sift_has_unit_rows_and_takes_a_zero_row():
    rows = torch.rand(5, 128)
    rows[2] = 0
    rooted = root_sift(rows)
    torch.testing.assert_close(rooted[0], (rows[0] / rows[0].sum()).sqrt())
    assert torch.isfinite(rooted).all() and rooted[2].sum() == 0


# Weights on disk


def saved(tmp_path, name="SIFT+Boost-F", **kwargs):
    torch.manual_seed(0)
    network = FeatureBooster(load_models()[name]).eval()
    path = tmp_path / f"{name}.safetensors"
    save_checkpoint(network, path, **kwargs)
    return network, path


def test_a_checkpoint_comes_back_with_its_configuration(tmp_path):
    torch.manual_seed(0)
    config = dataclasses.replace(
        load_models()["SIFT+Boost-F"], descriptor_transform="rootsift", output_dim=64
    )
    network = FeatureBooster(config).eval()
    save_checkpoint(network, tmp_path / "mine.safetensors", {"note": "hello"})
    loaded = load_checkpoint(tmp_path / "mine.safetensors")
    assert loaded.config == config
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), loaded.parameters(), strict=True)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]


def test_half_the_file_in_float16(tmp_path):
    network, path = saved(tmp_path)
    size = path.stat().st_size
    save_checkpoint(network, path, dtype=torch.float16)
    assert path.stat().st_size < 0.55 * size
    assert next(load_checkpoint(path).parameters()).dtype == torch.float32


def test_a_pth_file_is_known_by_its_name_or_the_models(tmp_path):
    network, _ = saved(tmp_path)
    torch.save(network.state_dict(), tmp_path / "SIFT+Boost-F.pth")
    assert load_checkpoint(tmp_path / "SIFT+Boost-F.pth").config.name == "SIFT+Boost-F"
    torch.save(network.state_dict(), tmp_path / "best.pth")
    assert (
        load_checkpoint(tmp_path / "best.pth", model="SIFT+Boost-F").config.name == "SIFT+Boost-F"
    )
    with pytest.raises(CheckpointError, match="best.pth: no configuration is called 'best'"):
        load_checkpoint(tmp_path / "best.pth")


def test_missing_weights_name_what_there_is():
    with pytest.raises(FileNotFoundError, match="nothing-here.*SIFT\\+Boost-F"):
        load_checkpoint("nothing-here")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_truncated_weights_are_refused(tmp_path, suffix, share):
    network, path = saved(tmp_path)
    if suffix == ".pth":
        path = path.with_suffix(".pth")
        torch.save(network.state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(path)


def test_text_that_was_saved_as_weights_is_refused(tmp_path):
    path = tmp_path / "SIFT+Boost-F.pth"
    for first in string.printable:  # each is another operation of a pickle
        path.write_text(f"{first}rror 404: there is no such page")
        with pytest.raises(CheckpointError, match="no weights file that holds tensors only"):
            load_checkpoint(path)


def test_damaged_weights_of_the_old_format_are_refused(tmp_path):
    network, _ = saved(tmp_path)
    path = tmp_path / "SIFT+Boost-F.pth"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    load_checkpoint(path)
    for length in range(0, 400, 7):  # the first objects of the file
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="truncated"):
            load_checkpoint(path)


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda tensor: tensor.to(torch.complex64), "torch.complex64"),
        (lambda tensor: tensor.to(torch.int8), "torch.int8"),
        (lambda tensor: tensor.to_sparse(), "torch.sparse_coo"),
        (lambda tensor: tensor.to("meta"), "on meta"),
    ],
)
def test_weights_that_are_no_arrays_of_floats_are_refused(tmp_path, change, text):
    network, _ = saved(tmp_path)
    path = tmp_path / "SIFT+Boost-F.pth"
    torch.save({name: change(tensor) for name, tensor in network.state_dict().items()}, path)
    with pytest.raises(CheckpointError, match=f"tensor .*{text}.*; convert it"):
        load_checkpoint(path)


def test_weights_that_hold_code_are_refused_without_advice_to_execute_it(tmp_path):
    path = tmp_path / "SIFT+Boost-F.pth"
    torch.save(load_checkpoint("SIFT+Boost-F"), path)  # not its tensors
    with pytest.raises(CheckpointError, match="tensors only; save network.state_dict") as told:
        load_checkpoint(path)
    assert "weights_only" not in str(told.value)


def test_weights_of_another_model_are_refused_by_the_first_tensor(tmp_path):
    network, path = saved(tmp_path, "SIFT+Boost-B")
    with pytest.raises(CheckpointError, match="holds the weights of SIFT\\+Boost-B, not of ORB"):
        load_checkpoint(path, model="ORB+Boost-B")
    torch.save(network.state_dict(), tmp_path / "SIFT+Boost-F.pth")
    with pytest.raises(
        CheckpointError, match=r"tensor final_proj.weight has shape \(256, 128\), not \(128, 128\)"
    ):
        load_checkpoint(tmp_path / "SIFT+Boost-F.pth")
    with pytest.raises(CheckpointError, match="tensor kenc.encoder.6.weight has shape"):
        load_checkpoint(tmp_path / "SIFT+Boost-F.pth", model="ORB+Boost-B")


def test_missing_and_surplus_tensors_are_named(tmp_path):
    network, _ = saved(tmp_path)
    state = network.state_dict()
    bias = state.pop("denc.encoder.0.bias")
    torch.save(state, tmp_path / "SIFT+Boost-F.pth")
    with pytest.raises(CheckpointError, match="tensor denc.encoder.0.bias is missing"):
        load_checkpoint(tmp_path / "SIFT+Boost-F.pth")
    state.update({"denc.encoder.0.bias": bias, "zzz": bias})
    torch.save(state, tmp_path / "SIFT+Boost-F.pth")
    with pytest.raises(CheckpointError, match="tensor zzz is not part of it"):
        load_checkpoint(tmp_path / "SIFT+Boost-F.pth")
    state.pop("zzz")
    state["final_proj.bias"] = torch.full((128,), torch.nan)
    torch.save(state, tmp_path / "SIFT+Boost-F.pth")
    with pytest.raises(CheckpointError, match="final_proj.bias holds numbers that are not finite"):
        load_checkpoint(tmp_path / "SIFT+Boost-F.pth")


def test_code_in_a_pth_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"x": Evil()}, tmp_path / "SIFT+Boost-F.pth")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "SIFT+Boost-F.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ValueError, match=device):
        Booster.from_pretrained("SIFT+Boost-F", device)


def test_cuda_without_cuda_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device: use auto or cpu"):
        Booster.from_pretrained("SIFT+Boost-F", "cuda")
    assert Booster.from_pretrained("SIFT+Boost-F", "auto").device.type == "cpu"


@pytest.mark.cuda
@pytest.mark.parametrize("name", SHIPPED)
def test_cuda_gives_what_the_cpu_gives(name):
    on_cpu, on_cuda = (Booster.from_pretrained(name, device) for device in ("cpu", "cuda"))
    features = create_extractor(on_cpu.detector, 300)(PHOTO)
    a, b = (booster(features, PHOTO.shape).descriptors for booster in (on_cpu, on_cuda))
    if on_cpu.is_binary:
        assert np.unpackbits(a ^ b).mean() < 0.005
    else:
        assert (a * b).sum(1).min() > 0.9999


def test_a_name_in_the_place_of_a_network_is_told():
    with pytest.raises(TypeError, match="not str: use Booster.from_pretrained"):
        Booster("SIFT+Boost-B")


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be one of auto, fp32, fp16, bf16"):
        Booster.from_pretrained("SIFT+Boost-F", "cpu", "int8")
