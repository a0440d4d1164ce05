# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exported networks give in ONNX Runtime what PyTorch gives."""

import dataclasses
import json
import logging

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from skimage import data

from feature_booster_ros.booster import (
    Booster,
    FeatureBooster,
    available_models,
    load_models,
    onnx_export,
)
from feature_booster_ros.booster.descriptors import unpack_bits
from feature_booster_ros.booster.onnx_export import export_onnx
from feature_booster_ros.cli import main
from feature_booster_ros.features import create_extractor, normalize_keypoints

PHOTO = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("name", available_models())
def test_a_shipped_model_with_any_number_of_features(name, tmp_path, capsys, caplog):
    path = tmp_path / "model.onnx"
    caplog.set_level(logging.INFO)  # as the command has it
    assert main(["export", name, "--output", str(path)]) == 0
    assert "written to" in capsys.readouterr().out
    assert not caplog.messages
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(path)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["model"] == name
    assert json.loads(metadata["config"]) == Booster.from_pretrained(name).config.to_dict()
    booster = Booster.from_pretrained(name, "cpu", engine="eager")
    features = create_extractor(booster.detector, 500)(PHOTO)
    for count in (1, 2, 500):
        some = features.select(np.arange(count))
        wanted = booster(some, PHOTO.shape).descriptors
        rows = unpack_bits(some.descriptors) if some.is_binary else some.descriptors
        (found,) = session.run(
            ["boosted"],
            {"descriptors": rows, "keypoints": normalize_keypoints(some, PHOTO.shape)},
        )
        if booster.is_binary:
            bits = np.unpackbits(wanted, axis=1, bitorder="little")
            assert found.shape == bits.shape and (found != bits).mean() < 1e-3
        else:
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_multi_head_attention_too(tmp_path):
    config = dataclasses.replace(load_models()["SIFT+Boost-F"], use_mha=True, attentional_layers=1)
    network = FeatureBooster(config).eval()
    export_onnx(network, tmp_path / "mha.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "mha.onnx")
    descriptors, keypoints = torch.rand(77, 128), torch.rand(77, 4)
    with torch.no_grad():
        wanted = network(descriptors, keypoints).numpy()
    inputs = {"descriptors": descriptors.numpy(), "keypoints": keypoints.numpy()}
    np.testing.assert_allclose(session.run(None, inputs)[0], wanted, atol=1e-5)


def test_what_cannot_be_exported_is_told(tmp_path, capsys, monkeypatch):
    assert main(["export", "SIFT+Boost-G"]) == 1
    assert "no weights called 'SIFT+Boost-G'" in capsys.readouterr().err
    assert main(["export", "SIFT+Boost-F", "--output", str(tmp_path / "no" / "f.onnx")]) == 1
    assert "there is no folder" in capsys.readouterr().err
    monkeypatch.setattr(onnx_export.importlib.util, "find_spec", lambda name: None)
    assert main(["export", "SIFT+Boost-F", "--output", str(tmp_path / "f.onnx")]) == 1
    assert "pip install '.[onnx]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
