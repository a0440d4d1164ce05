# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Show the matches of a sequence, each method's beside the others': pictures, a video, Rerun."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import cv2
import numpy as np

from ..features import FeatureFrame
from ..matching import FrameMatch, FrameMatcher, FrameMatcherSettings
from ..matching.drawing import choose_columns, draw_matches, tile
from ..methods import Method, describe_all
from ..pixels import to_drawable, to_gray
from ..progress import Progress
from ..sources import Frame, Source
from ..stamps import rising
from .match_picture import MatchCount
from .rerun_log import RerunLog
from .video_file import VideoFile

logger = logging.getLogger(__name__)

MAX_WIDTH = 1920
"""Largest width of a picture [px], that of a screen."""
MAX_LINES = 200
"""Most matches that are drawn for a method."""
_USUAL_RATE = 10.0
"""Pictures a second where the source has no rate."""


def view_matches(
    source: Source,
    output: Path,
    methods: Sequence[Method],
    every: int = 1,
    start: int = 0,
    count: int | None = None,
    layout: str = "overlay",
    device: str = "auto",
    recording: Path | None = None,
) -> list[MatchCount]:
    """Match each frame with the one before by every method, and show all in one picture.

    Two frames are held in memory, and with a recording the odometry's map. However the work ends,
    by Ctrl-C or an error, what was written until then is complete. Frames whose stamps do not rise
    are left out, with a warning.

    Args:
        source: Frames.
        output: Video to write (.mp4), or a folder for matches.mp4 and its pictures.
        methods: Methods to compare.
        every: Take each N-th frame only.
        start: Number of the first frame to take.
        count: Most frames to take; None for all.
        layout: As :func:`..matching.drawing.draw_matches` takes it.
        device: Device of the matching: auto, cpu, cuda or cuda:N.
        recording: File (.rrd) for Rerun to write as well; an empty path opens Rerun's viewer.

    Returns:
        Matches and inliers of each method, means over the pairs of frames.

    Raises:
        ValueError: The folder exists and is not empty, the frames cannot be chosen, or there are
            fewer than two.
        ImportError: A package for the video or for Rerun is not installed.
        OSError: A file cannot be written.
    """
    is_video = output.suffix.lower() == ".mp4"
    if not is_video and output.exists() and (output.is_file() or any(output.iterdir())):
        raise ValueError(f"{output} exists: give a new folder, or a video such as matches.mp4")
    settings = FrameMatcherSettings(device=device)
    matchers = [FrameMatcher(settings) for _ in methods]
    counts: list[list[tuple[int, int]]] = []
    before: Frame | None = None
    frames = rising(
        source.frames(start, every, count),
        lambda text: logger.warning("%s: %s", source.name, text),
    )
    (output.parent if is_video else output).mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        rate = (source.rate or _USUAL_RATE) / every
        video = opened.enter_context(
            closing(VideoFile(output if is_video else output / "matches.mp4", rate))
        )
        log = None
        if recording is not None:
            names = [method.name for method in methods]
            log = opened.enter_context(closing(RerunLog(names, recording)))
        for frame in Progress(frames, "frames", _total(source, every, start, count)):
            described = _describe(methods, frame)
            results = [
                matcher.match(each) for matcher, each in zip(matchers, described, strict=True)
            ]
            matched = [result for result in results if result is not None]
            if before is not None:
                counts.append([(len(each.matches), int(each.inliers.sum())) for each in matched])
                picture = _draw(methods, matched, frame, before, layout)
                video.write(picture)
                if not is_video:
                    _write_picture(output / f"{len(counts):06}.jpg", picture)
            if log is not None:
                log.add(frame, described, matched)
            before = frame
    if not counts:
        raise ValueError(f"{source.name} has only one of the frames: matching takes two")
    means = np.round(np.mean(counts, axis=0)).astype(int).tolist()
    return [MatchCount(method.name, *mean) for method, mean in zip(methods, means, strict=True)]


def _total(source: Source, every: int, start: int, count: int | None) -> int | None:
    """Return how many frames of the source are taken; None if it does not know its length."""
    if source.length is None:
        return count
    total = len(range(start, source.length, every))
    return total if count is None else min(total, count)


def _describe(methods: Sequence[Method], frame: Frame) -> list[FeatureFrame]:
    """Return every method's features of a frame."""
    height, width = frame.image.shape[:2]
    return [
        FeatureFrame(
            features,
            frame.camera,
            width,
            height,
            frame.stamp_ns,
            frame.frame_id,
            method.extractor.name,
            method.name,
        )
        for method, features in zip(
            methods, describe_all(methods, to_gray(frame.image)), strict=True
        )
    ]


def _draw(
    methods: Sequence[Method],
    results: Sequence[FrameMatch],
    frame: Frame,
    before: Frame,
    layout: str,
) -> np.ndarray:
    """Return the pictures of all methods' matches as one."""
    query, reference = to_drawable(frame.image), to_drawable(before.image)
    height, width = query.shape[:2]
    shown = {"side_by_side": (2 * width, height), "stacked": (width, 2 * height)}
    columns = choose_columns(len(methods), *shown.get(layout, (width, height)))
    pictures = [
        draw_matches(
            query,
            reference,
            result.query_points,
            result.reference_points,
            result.inliers,
            layout,
            method.name,
            MAX_LINES,
            max_width=MAX_WIDTH // columns,
        )
        for method, result in zip(methods, results, strict=True)
    ]
    return tile(pictures, columns)


def _write_picture(path: Path, picture: np.ndarray) -> None:
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"{path} cannot be written: check the permissions, and that there is space")
