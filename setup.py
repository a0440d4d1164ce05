# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Package the library for pip, without ROS: for training, evaluation and notebooks.

With ROS, colcon reads package.xml and builds with CMakeLists.txt instead, which takes the version
from package.xml; test/test_package.py keeps the two equal.
"""

import re
import shutil
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # before setuptools 70.1
    from wheel.bdist_wheel import bdist_wheel

HERE = Path(__file__).resolve().parent
PACKAGE = "feature_booster_ros"


class BuildWithModelTable(build_py):
    """Put config/models.yaml into the package, where the library looks for it.

    The table stays in config/ with the other configuration, which package_data cannot reach. An
    editable install reads it from there.
    """

    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, PACKAGE, "config", "models.yaml")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(HERE / "config" / "models.yaml", target)


class BuildLibrary(build_ext):
    """Build libsift.so, which is a plain library and no module of Python."""

    def get_ext_filename(self, fullname):
        return str(Path(*fullname.split(".")).with_suffix(".so"))


class WheelForAnyPython(bdist_wheel):
    """Name the wheel after the platform only, as its library does not depend on Python."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


SIFT = Extension(
    f"{PACKAGE}.features.libsift",
    sources=[f"{PACKAGE}/features/sift.cpp"],
    # CMakeLists.txt has the same flags, for colcon.
    extra_compile_args=["-std=c++17", "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math"],
    extra_link_args=["-pthread"],
    language="c++",
    optional=True,  # without a compiler, OpenCV's SIFT is used
)


def version() -> str:
    """Return the version of the package, which package.xml must repeat."""
    text = (HERE / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE).group(1)


def requirements() -> list[str]:
    """Return what the library needs, which `make build` installs from the same file."""
    lines = (HERE / "requirements" / "package.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


setup(
    name=PACKAGE,
    version=version(),
    description="Local features that match better: FeatureBooster for ROS 2 and for plain Python",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The feature_booster_ros authors",
    license="Apache-2.0",
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed", "weights/*.safetensors", "weights/*.vocabulary.txt.gz"]},
    ext_modules=[SIFT],
    cmdclass={
        "build_py": BuildWithModelTable,
        "build_ext": BuildLibrary,
        "bdist_wheel": WheelForAnyPython,
    },
    install_requires=requirements(),
    extras_require={
        "bags": ["rosbags>=0.10.10"],
        "colmap": ["h5py>=3.6", "pycolmap>=0.6.1"],
        "demo": ["scikit-image>=0.19"],
        "train": ["h5py>=3.6", "pycolmap>=0.6.1", "tensorboard>=2.9"],
        "odometry": ["evo>=1.26", "poselib>=2.0.5", "pycolmap>=4.2"],
        "onnx": ["onnx>=1.16", "onnxscript>=0.1"],
        "openvino": ["openvino>=2024.0"],
        "plots": ["matplotlib>=3.5"],
        "rerun": ["rerun-sdk>=0.24"],
        "view": ["av>=12"],
    },
    entry_points={"console_scripts": ["feature-booster = feature_booster_ros.cli:main"]},
    zip_safe=False,
)
