# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package as others get it: built by colcon, and as a wheel without ROS."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

import feature_booster_ros

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "feature_booster_ros"
NODES = ["booster_node", "image_player_node", "matcher_node", "odometry_node", "rgbd_image_node"]
MODELS = ["SIFT+Boost-F", "SIFT+Boost-B", "ORB+Boost-B"]


def share() -> Path:
    """Return the share folder of the built package; skip where there is none."""
    try:
        from ament_index_python.packages import get_package_share_directory

        return Path(get_package_share_directory(PACKAGE))
    except (ImportError, KeyError, OSError):  # OSError: no environment is sourced
        pytest.skip("needs `make build` and `source env.sh`")


# The sources


def test_versions_agree():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    assert manifest.findtext("version") == feature_booster_ros.__version__


def test_changelog_tells_of_this_version():
    changelog = (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
    newest = re.search(r"^(\d+\.\d+\.\d+)\b.*\n-+$", changelog, re.MULTILINE)
    assert newest is not None, "CHANGELOG.rst has no heading such as '0.1.0 (2026-11-22)'"
    assert newest.group(1) == feature_booster_ros.__version__


def test_license_is_stated_alike():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    license = manifest.find("license")
    assert license.text == "Apache-2.0"
    assert "Apache License" in (ROOT / license.get("file")).read_text(encoding="utf-8")
    unmarked = [
        str(path.relative_to(ROOT))
        for folder in (PACKAGE, "launch", "scripts", "test")
        for path in (ROOT / folder).rglob("*.py")
        if "SPDX-License-Identifier: Apache-2.0" not in path.read_text(encoding="utf-8")[:400]
    ]
    assert not unmarked


# From the lowest room to the highest: each imports only those before it.
ROOMS = """__init__ errors progress memory colors lens camera pixels stamps features depth booster
methods matching odometry sources rendering colmap photos retrieval evaluation integrations training
benchmark msg nodes live cli""".split()
# The source of kind "rendered" is made by the renderer, imported when it is asked for.
EXCEPTIONS = {("sources", "rendering")}


def imported_rooms(path: Path) -> set[str]:
    """Return the modules and folders directly below the package that a file imports from."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = node.module.split(".") if node.module else []
        target = [*parts[: len(parts) - node.level], *module] if node.level else module
        if target[:1] == [PACKAGE]:
            rooms.update(target[1:2] or (alias.name for alias in node.names))
    return rooms & set(ROOMS)


def test_imports_point_one_way():
    files = list((ROOT / PACKAGE).rglob("*.py"))
    assert {path.relative_to(ROOT / PACKAGE).with_suffix("").parts[0] for path in files} <= set(
        ROOMS
    )
    edges = {
        (path.relative_to(ROOT / PACKAGE).with_suffix("").parts[0], room)
        for path in files
        for room in imported_rooms(path)
    }
    offenders = {edge for edge in edges if ROOMS.index(edge[0]) < ROOMS.index(edge[1])}
    assert offenders == EXCEPTIONS


def test_only_nodes_and_what_starts_them_know_ros():
    ros = re.compile(r"^\s*(?:from|import) (?:rclpy|cv_bridge|\w+_msgs)\b")
    offenders = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / PACKAGE).rglob("*.py")
        if path.relative_to(ROOT / PACKAGE).parts[0] not in ("nodes", "live")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ros.match(line)
    ]
    assert not offenders


def test_every_ros_package_imported_is_declared():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    declared = {
        element.text for kind in ("depend", "exec_depend") for element in manifest.findall(kind)
    }
    ros = re.compile(
        r"^\s*(?:from|import) (rclpy|cv_bridge|message_filters|ament_index_python|launch(?:_ros)?"
        r"|rcl_interfaces|\w+_msgs|\w+_srvs)\b",
        re.MULTILINE,
    )
    imported = {
        name
        for folder in (f"{PACKAGE}/nodes", "launch")
        for path in (ROOT / folder).rglob("*.py")
        for name in ros.findall(path.read_text(encoding="utf-8"))
    }
    assert imported <= declared


# Built by colcon


def test_installed_beside_the_messages():
    share()
    importlib.import_module(f"{PACKAGE}.msg")
    assert feature_booster_ros.__version__  # ours and not rosidl's empty __init__.py


def test_installed_package_is_typed():
    share()
    assert Path(feature_booster_ros.__file__).with_name("py.typed").is_file()


def test_message_fields():
    share()
    messages = importlib.import_module(f"{PACKAGE}.msg")
    assert messages.FeatureArray.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "camera_info": "sensor_msgs/CameraInfo",
        "detector": "string",
        "model": "string",
        "x": "sequence<float>",
        "y": "sequence<float>",
        "scale": "sequence<float>",
        "angle": "sequence<float>",
        "score": "sequence<float>",
        "depth": "sequence<float>",
        "depth_sigma": "sequence<float>",
        "descriptor_type": "uint8",
        "descriptor_length": "uint32",
        "descriptors": "sequence<uint8>",
    }
    assert (
        messages.FeatureArray.FLOAT32,
        messages.FeatureArray.FLOAT16,
        messages.FeatureArray.BINARY,
        messages.FeatureArray.UINT8,
        messages.FeatureArray.INT8,
    ) == (0, 1, 2, 3, 4)
    assert messages.MatchArray.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "reference_stamp": "builtin_interfaces/Time",
        "query_indices": "sequence<uint32>",
        "reference_indices": "sequence<uint32>",
        "distances": "sequence<float>",
        "inliers": "sequence<uint8>",
        "query_x": "sequence<float>",
        "query_y": "sequence<float>",
        "reference_x": "sequence<float>",
        "reference_y": "sequence<float>",
    }


def test_share_folder():
    folder = share()
    for name in (
        "package.xml",
        "config/booster.yaml",
        "config/fastdds.xml",
        "config/foxglove_layout.json",
        "config/security/policy.xml",
        "config/matches.rviz",
        "config/models.yaml",
        "config/odometry.rviz",
        "launch/booster.launch.py",
        "msg/FeatureArray.msg",
        "msg/MatchArray.msg",
    ):
        assert (folder / name).is_file(), name


@pytest.mark.parametrize("module", [*(f"nodes.{name}" for name in NODES), "live.demo"])
def test_executable_starts_its_node(module):
    script = share().parents[1] / "lib" / PACKAGE / module.rpartition(".")[2]
    assert os.access(script, os.X_OK)
    assert f"from {PACKAGE}.{module} import main" in script.read_text(encoding="utf-8")
    assert callable(importlib.import_module(f"{PACKAGE}.{module}").main)


@pytest.mark.parametrize("arguments", [["lib/feature_booster_ros/demo"], ["bin/feature-booster"]])
def test_command_explains_itself(arguments):
    script = share().parents[1] / arguments[0]
    result = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout.lower()


@pytest.mark.parametrize(
    ("name", "shown", "panels"),
    [
        ("matches", ["image", "match_image"], ["Displays", "Camera", "Matches"]),
        ("odometry", ["match_image", "path", "odometry", "landmarks"], ["Displays", "Matches"]),
    ],
)
def test_rviz_shows_the_topics(name, shown, panels):
    configuration = yaml.safe_load((share() / "config" / f"{name}.rviz").read_text("utf-8"))
    displays = configuration["Visualization Manager"]["Displays"]
    topics = {
        display["Topic"]["Value"]: display["Topic"] for display in displays if "Topic" in display
    }
    # Relative, so that they follow the namespace.
    assert list(topics) == shown
    # Large pictures that go best effort are lost in Fast DDS's shared memory.
    assert topics["match_image"]["Reliability Policy"] == "Reliable"
    # Each panel has its place.
    state = bytes.fromhex(configuration["Window Geometry"]["QMainWindow State"])
    for panel in panels:
        assert panel.encode("utf-16-be") in state


# As a wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns(
        ".*", "build", "install", "log", "demo_output", "__pycache__", "*.egg-info"
    )
    shutil.copytree(ROOT, folder / "source", ignore=skipped)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "-q", "--no-deps", "--no-build-isolation"]
        + ["--no-index", "--wheel-dir", folder, folder / "source"],
        check=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_is_complete(wheel):
    assert wheel.name.startswith(f"{PACKAGE}-{feature_booster_ros.__version__}-py3-none-")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert f"feature-booster = {PACKAGE}.cli:main" in archive.read(entry_points).decode()
    modules = {
        str(path.relative_to(ROOT))
        for path in (ROOT / PACKAGE).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert modules <= names
    assert {f"{PACKAGE}/config/models.yaml", f"{PACKAGE}/py.typed"} <= names
    assert f"{PACKAGE}/features/libsift.so" in names
    for model in MODELS:
        assert f"{PACKAGE}/weights/{model}.safetensors" in names
    assert f"{PACKAGE}/weights/ORB+Boost-B.vocabulary.txt.gz" in names


def test_wheel_works_without_ros(wheel, tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "-q", "--no-deps", "--no-index"]
        + ["--target", tmp_path, wheel],
        check=True,
    )
    program = f"""
import sys
for name in ("rclpy", "sensor_msgs", "cv_bridge"):
    sys.modules[name] = None  # importing it is an ImportError
from feature_booster_ros.booster import Booster
import feature_booster_ros.cli, feature_booster_ros.matching, feature_booster_ros.sources
assert feature_booster_ros.__file__.startswith({str(tmp_path)!r}), feature_booster_ros.__file__
for model in {MODELS!r}:
    print(Booster.from_pretrained(model, device="cpu").name)
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == MODELS
