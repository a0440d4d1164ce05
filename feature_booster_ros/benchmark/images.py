# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The images that are worked on."""

from __future__ import annotations

import importlib.util
from itertools import islice

from ..errors import install_extra
from ..sources import open_source
from ..sources.frame import Frame


def default_source() -> str:
    """The source where none is named.

    Raises:
        ValueError: scikit-image, whose pictures the rendered sequence shows, is not installed.
    """
    if importlib.util.find_spec("skimage") is None:
        raise ValueError(
            "the rendered sequence needs scikit-image, which is not installed: give --source, "
            f"such as a folder of images, or {install_extra('demo')}"
        )
    return "rendered"


def read_frames(source: str, count: int) -> list[Frame]:
    """The first frames of a source, as :func:`open_source` takes it, ``count`` at most.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it cannot be read, or has fewer than two frames.
    """
    try:
        with open_source(source) as opened:
            frames = list(islice(opened.frames(), count))
    except FileNotFoundError:
        raise
    except (ImportError, OSError) as error:  # a package that the kind needs, a camera
        raise ValueError(f"source {source}: {error}") from error
    if len(frames) < 2:
        raise ValueError(f"source {source} has {len(frames)} frame: a benchmark takes two at least")
    return frames
