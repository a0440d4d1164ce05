# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A feature of one's own: what docs/custom_feature.md shows is what is tested."""

import os
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest
import yaml
from custom_feature import DETECTOR, MODEL, block, example_folder
from records import shared
from skimage import data

from feature_booster_ros.booster import FeatureBooster, ModelConfig, load_models, save_checkpoint
from feature_booster_ros.booster.checkpoint import load_checkpoint, read_metadata
from feature_booster_ros.booster.model_config import MODELS_VARIABLE
from feature_booster_ros.features import Extractor, Features, create_extractor, extractor_class
from feature_booster_ros.training.datasets.photo_views import PhotoViews, ViewSettings

PHOTO = data.camera()


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    yield from example_folder(tmp_path, monkeypatch)


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Writes the module ``own_feature``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield (tmp_path / "own_feature.py").write_text
    sys.modules.pop("own_feature", None)


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_the_documented_extractor_finds_what_opencv_finds(user_folder):
    features = create_extractor(DETECTOR, 3000)(PHOTO)
    reference = create_extractor("sift", 3000)(PHOTO)
    distances = np.linalg.norm(reference.keypoints[:, None] - features.keypoints, axis=2)
    nearest, close = distances.argmin(axis=1), distances.min(axis=1) < 0.7
    assert close.sum() > 100
    a, b = reference.select(close), features.select(nearest[close])
    # Not half a pixel off, not COLMAP's negative angles, not twice the size.
    assert np.all(np.abs(np.median(a.keypoints - b.keypoints, axis=0)) < 0.05)
    assert np.median(np.abs(a.scales / b.scales - 1)) < 0.02
    assert features.angles.min() >= 0 and features.angles.max() < 2 * np.pi + 1e-6
    turned = np.angle(np.exp(1j * (a.angles - b.angles)))
    assert np.median(np.abs(turned)) < 0.1  # else another sense of turning, or degrees
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)


def test_the_documented_extractor_heeds_cap_and_mask(user_folder):
    mask = np.zeros_like(PHOTO)
    mask[:, 256:] = 255
    features = create_extractor(DETECTOR, 50)(PHOTO, mask)
    assert len(features) == 50
    assert features.keypoints[:, 0].min() >= 255


def test_the_table_is_added_to_the_packages_own(user_folder, monkeypatch):
    models = load_models()
    assert models[MODEL].detector == DETECTOR
    assert "ORB+Boost-B" in models
    monkeypatch.delenv(MODELS_VARIABLE)
    assert MODEL not in load_models()
    assert load_models(user_folder / "models.yaml") == models


def test_an_entry_of_the_same_name_takes_the_place_of_ours(tmp_path):
    entry = {**load_models()["SIFT+Boost-F"].to_dict(), "attentional_layers": 2}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"SIFT+Boost-F": entry}))
    models = load_models(tmp_path / "models.yaml")
    assert models["SIFT+Boost-F"].attentional_layers == 2
    assert models["SIFT+Boost-B"].attentional_layers == 4


def test_weights_remember_the_feature_and_other_processes_find_it(user_folder, tmp_path):
    network = FeatureBooster(load_models()[MODEL])
    path = tmp_path / f"{MODEL}.safetensors"
    save_checkpoint(network, path)
    assert f'"detector": "{DETECTOR}"' in read_metadata(path)["config"]
    cv2.imwrite(str(tmp_path / "photo.png"), PHOTO)
    code = block("python", "from feature_booster_ros.booster").replace(
        f"runs/colmap_sift/{MODEL}.safetensors", str(path)
    )
    shown = run(
        f"""
import cv2
image = cv2.imread({str(tmp_path / "photo.png")!r}, cv2.IMREAD_GRAYSCALE)
{code}
print(extractor.name, len(boosted), boosted.descriptor_length)
""",
        **{MODELS_VARIABLE: ""},
    )
    count = len(create_extractor(DETECTOR)(PHOTO))
    assert shown.stdout.split() == ["colmap_sift", str(count), "128"], shown.stderr


def test_spawned_workers_extract_it_for_training(user_folder, tmp_path):
    photos = []
    for number, image in enumerate((PHOTO, data.brick())):
        photos.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(photos[-1]), image)
    settings = ViewSettings(DETECTOR, views=2, features=150, longest_side=256)
    views = PhotoViews.open(photos, settings, tmp_path / "cache", workers=2)
    assert views.detector == DETECTOR
    pair = views.draw(np.random.default_rng(0))
    assert min(len(features) for features in pair.features) >= 16
    shrunk = cv2.resize(PHOTO, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    extracted = create_extractor(DETECTOR, 150)(shrunk)
    np.testing.assert_allclose(views.features(0, 0).keypoints, extracted.keypoints, atol=1e-3)


def test_the_authors_weights_load_for_it(user_folder):
    official = shared("official") / "SIFT+Boost-F.pth"
    assert load_checkpoint(official, MODEL).config.detector == DETECTOR


CLASS = """
from feature_booster_ros.features import Extractor, Features
class Own({base}):
    {body}
"""


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import no_such_library", "cannot be imported: No module named 'no_such_library'"),
        ("Other = 1", "own_feature.py has no class 'Own'"),
        ("Own = 1", "Own in .*own_feature.py is no subclass of feature_booster_ros.*Extractor"),
        (CLASS.format(base="", body="pass"), "is no subclass"),
        (CLASS.format(base="Extractor", body="pass"), "class Own lacks 'name'"),
        (
            CLASS.format(base="Extractor", body="name = 'own'; descriptor_length = 128"),
            "class Own lacks 'is_binary'",
        ),
        (
            CLASS.format(
                base="Extractor", body="name = 'own'; descriptor_length = 8; is_binary = True"
            ),
            "class Own lacks '_extract'",
        ),
        (
            CLASS.format(base="Extractor", body="name = 'sift'"),
            r"own_feature:Own cannot be called 'sift': that is .*\.sift:SiftExtractor",
        ),
    ],
)
def test_what_is_wrong_with_a_class_is_named(write_module, module, message):
    write_module(module)
    with pytest.raises(ValueError, match=message):
        extractor_class("own_feature:Own")
    assert extractor_class("sift").__module__ == "feature_booster_ros.features.sift"


def test_a_module_that_is_nowhere_is_named_with_the_remedy():
    with pytest.raises(ValueError, match="No module named 'nowhere_to_be_found'.*PYTHONPATH"):
        create_extractor("nowhere_to_be_found:Own")
    for name in (":Own", "own_feature:"):
        with pytest.raises(ValueError, match="extractor"):
            create_extractor(name)


def test_a_table_that_is_missing_or_wrong_is_named(tmp_path, monkeypatch):
    missing = tmp_path / "missing.yaml"
    with pytest.raises(FileNotFoundError, match="the model table, .*missing.yaml, does not exist"):
        load_models(missing)
    monkeypatch.setenv(MODELS_VARIABLE, str(missing))
    with pytest.raises(FileNotFoundError, match=f"{MODELS_VARIABLE} names, .*missing.yaml"):
        load_models()
    missing.write_text("mine: {detector: sift, layers: 3}")
    with pytest.raises(ValueError, match="missing.yaml: model 'mine': unknown key 'layers'"):
        load_models()


def test_a_detector_is_a_name():
    entry = {**load_models()["SIFT+Boost-F"].to_dict(), "detector": 3}
    with pytest.raises(ValueError, match="'mine': detector must be an extractor's name"):
        ModelConfig.from_dict("mine", entry)


def test_options_of_ones_own_go_to_the_class(write_module):
    write_module(
        """
import numpy as np
from feature_booster_ros.features import Extractor, Features
class Own(Extractor):
    name, descriptor_length, is_binary = "own_with_options", 8, True
    def __init__(self, max_features=2048, grid=None, *, step=10):
        super().__init__(max_features, grid)
        self.step = step
    def _extract(self, image, mask, limit):
        points = np.mgrid[:image.shape[1]:self.step, :image.shape[0]:self.step].reshape(2, -1).T
        ones = np.ones(len(points), np.float32)
        return Features(points.astype(np.float32), ones, 0 * ones, ones,
                        np.zeros((len(points), 1), np.uint8))
"""
    )
    extractor = create_extractor("own_feature:Own", 10000, step=64)
    assert isinstance(extractor, Extractor)
    features = extractor(PHOTO)
    assert isinstance(features, Features) and len(features) == 64
    assert len(create_extractor("own_with_options", 10)(PHOTO)) == 10
    with pytest.raises(ValueError, match="own_feature:Own.*stride"):
        create_extractor("own_feature:Own", stride=3)
