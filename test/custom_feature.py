# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The example of docs/custom_feature.md as files of a user, for the tests of several folders."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_booster_ros.booster.model_config import MODELS_VARIABLE

DOCS = Path(__file__).resolve().parents[1] / "docs" / "custom_feature.md"
DETECTOR, MODEL = "colmap_sift:ColmapSift", "ColmapSIFT+Boost-F"


def block(language: str, start: str) -> str:
    """The documentation's code in a language whose first line starts so."""
    found = re.findall(rf"```{language}\n({re.escape(start)}.*?)```", DOCS.read_text(), re.S)
    assert len(found) == 1
    return found[0]


def example_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder with the documentation's two files, found as it says; for a fixture."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "colmap_sift.py").write_text(block("python", "import numpy as np\nimport pycolmap"))
    (folder / "models.yaml").write_text(block("yaml", MODEL))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv(MODELS_VARIABLE, str(folder / "models.yaml"))
    yield folder
    sys.modules.pop("colmap_sift", None)
