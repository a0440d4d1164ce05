# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Open a source of frames by its path or name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ..camera import Camera
from .calibration import resolve_camera
from .euroc import EurocSource
from .folder import FolderSource
from .image_sequence import IMAGE_SUFFIXES
from .kitti import KittiSource
from .rosbag import RosbagSource
from .source import Source
from .tum import TumSource
from .video import VideoSource
from .webcam import WebcamSource

# Sources that are recognized by their path; a layout comes before the plain folder it could be
# mistaken for.
_RECOGNIZED = (
    WebcamSource,
    RosbagSource,
    EurocSource,
    KittiSource,
    TumSource,
    VideoSource,
    FolderSource,
)

KINDS = (*(source.kind for source in _RECOGNIZED), "rendered")

_ARCHIVE_SUFFIXES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"))

# How an option's text in a URI is read, by the type that the option has; the first that fits.
_READERS: dict[type, Callable[[str], Any]] = {
    bool: {"true": True, "false": False}.__getitem__,
    int: int,
    float: float,
    str: str,
}

# The comma before an option. One within a value, as in camera=fx,fy,cx,cy, has no = behind it.
_OPTION = re.compile(r",(?=[a-z_]+=)")


def open_source(
    uri: str | PathLike,
    *,
    kind: str | None = None,
    camera: Camera | str | PathLike | None = None,
    rectified: bool | None = None,
    **options: Any,
) -> Source:
    """Open images to play or to evaluate on.

    `uri` is ``[KIND:]TARGET[,OPTION=VALUE]...``; without KIND, it is recognized by the layout of
    the target. A path that exists is taken as it is, whatever colons and commas it has.

    ========= ====================================== ==========================================
    kind      target                                 options
    ========= ====================================== ==========================================
    folder    a folder of images                     rate
    video     a video file, or rtsp:// or http://    (none)
    kitti     a sequence of KITTI odometry or raw,   camera_index
              or one of its image_N folders
    tum       a sequence of TUM RGB-D                depth_scale
    euroc     a sequence of EuRoC MAV, its mav0,     camera_index
              or one of its camN folders
    rosbag    a rosbag2 folder, .mcap or .db3, or    topic, camera_info_topic, depth_topic,
              a ROS 1 .bag                           right_topic
    webcam    a number, or /dev/videoN               width, height, rate
    rendered  nothing                                those of RenderedSequence
    ========= ====================================== ==========================================

    Examples: ``/data/kitti/00``, ``/data/kitti/00,camera_index=2``, ``webcam:0,width=1280``,
    ``rendered:seed=3,frames=60``, ``folder:/data/tum/rgb``, ``drive.mcap,topic=/front/image_raw``,
    ``frames,camera=left.yaml,rectified=true``; every kind has camera and rectified.

    Args:
        uri: What to open.
        kind: One of `KINDS`; None to recognize it by the layout. Wins over the one in `uri`.
        camera: Calibration to use instead of the source's own: a Camera, a calibration file
            (`read_camera` says of which formats), or "fx,fy,cx,cy" in pixels.
        rectified: Whether the images have been rectified, so that P of the calibration holds for
            them, without distortion. None: by the topic name of a bag (image_rect), else False.
        options: Options of the source's class; they win over those in `uri`.

    Raises:
        FileNotFoundError: The path does not exist.
        ValueError: The kind is unknown or cannot be recognized, an option is unknown, or what is
            there cannot be read.
        ImportError: The kind needs a package that is not installed.
        OSError: A camera cannot be opened.
    """
    uri_kind, target, texts = _parse(str(uri))
    uri_camera = texts.pop("camera", None)
    camera = resolve_camera(uri_camera if camera in (None, "") else camera)
    kind = kind or uri_kind or _recognize(target)
    if rectified is None and "rectified" in texts:
        rectified = _read_text(kind, "rectified", texts.pop("rectified"), (bool,))
    if rectified and camera is not None:
        camera = camera.as_rectified()
    if kind == "rosbag":
        options["rectified"] = rectified
    elif rectified and camera is None:
        raise ValueError(
            f"source kind {kind} knows no P for rectified images: give camera=FILE with rectified"
        )
    opener = _opener(kind)
    _check_names(kind, opener, {**texts, **options})
    options = {**_read_texts(kind, opener, texts), **options}
    if kind == "rendered":
        if target:
            raise ValueError(
                f"source {uri}: the kind rendered takes options only, such as rendered:seed=3"
            )
        if camera is not None:
            raise ValueError("the kind rendered has exact intrinsics: leave camera out")
        return opener(**options)
    return opener(target, camera=camera, **options)


def _parse(uri: str) -> tuple[str | None, str, dict[str, str]]:
    """Split a URI into kind, target and options."""
    if Path(uri).expanduser().exists():
        return None, uri, {}
    prefix, colon, rest = uri.partition(":")
    kind: str | None = prefix
    if not (colon and prefix in KINDS):
        kind, rest = (uri, "") if uri in ("webcam", "rendered") else (None, uri)
    # The comma put before it lets an option stand alone, as in rendered:seed=3.
    pieces = _OPTION.split("," + rest)
    # What looks like an option belongs to the path where a path of that name exists.
    for end in range(len(pieces), 0, -1):
        target = ",".join(pieces[:end]).removeprefix(",")
        if Path(target).expanduser().exists():
            break
    return kind, target, dict(piece.split("=", 1) for piece in pieces[end:])


def _recognize(target: str) -> str:
    path = Path(target).expanduser()
    try:
        for source in _RECOGNIZED:
            if source.recognizes(target):
                return source.kind
        reason = _why_unreadable(path)
    except PermissionError as error:
        raise PermissionError(
            f"source {target!r} cannot be read: no permission for {error.filename}"
        ) from None
    if not path.exists():
        raise FileNotFoundError(
            f"source {target!r} does not exist: expected a path, or KIND:TARGET "
            f"with KIND one of {', '.join(KINDS)}"
        )
    if reason:
        raise ValueError(f"source {target!r} {reason}")
    what = ", but an empty folder" if path.is_dir() and not any(path.iterdir()) else ""
    looked_for = "; ".join(f"{source.kind}: {source.layout}" for source in _RECOGNIZED)
    raise ValueError(
        f"source {target!r} is none of the known kinds{what}. Looked for {looked_for}. "
        "Say which it is with kind, or KIND:PATH"
    )


def _why_unreadable(path: Path) -> str | None:
    """Return what is wrong with a path that is often given instead of a source."""
    suffix = path.suffix.lower()
    if path.is_file() and suffix in IMAGE_SUFFIXES:
        return f"is one image: give the folder it is in, {path.parent}"
    if path.is_file() and suffix in _ARCHIVE_SUFFIXES:
        return "is an archive: unpack it and give the folder that comes out"
    if not path.is_dir():
        return None
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    for entry in sorted(entries):
        if any(source.recognizes(str(entry)) for source in _RECOGNIZED):
            return f"is no source itself, but holds some: give one of them, such as {entry}"
    return None


def _opener(kind: str) -> Callable[..., Source]:
    for source in _RECOGNIZED:
        if source.kind == kind:
            return source
    if kind == "rendered":
        # Imported when asked for: it needs scikit-image, which no other source does.
        from ..rendering.sequence import RenderedSequence

        return RenderedSequence
    raise ValueError(f"source kind {kind!r} is not one of {', '.join(KINDS)}")


def _check_names(kind: str, opener: Callable[..., Source], options: dict[str, Any]) -> None:
    known = [
        name for name in inspect.signature(opener).parameters if name not in ("target", "camera")
    ]
    for name in options:
        if name not in known:
            raise ValueError(
                f"source kind {kind} has no option {name!r}; it has "
                f"{', '.join(known) if known else 'none'}"
            )


def _read_texts(kind: str, opener: Callable[..., Source], texts: dict[str, str]) -> dict[str, Any]:
    """Option values out of a URI, each as the type that the source's class declares."""
    hints = get_type_hints(opener.__init__)
    return {
        name: _read_text(kind, name, text, get_args(hints[name]) or (hints[name],))
        for name, text in texts.items()
    }


def _read_text(kind: str, name: str, text: str, types: Sequence[type]) -> Any:
    """Return the value of one option, of the first of `types` that a text can be."""
    wanted = next((plain for plain in _READERS if plain in types), None)
    if wanted is None:
        raise ValueError(f"source kind {kind}: option {name} cannot be given as text")
    try:
        return _READERS[wanted](text)
    except (ValueError, KeyError):
        raise ValueError(
            f"source kind {kind}: option {name} takes {wanted.__name__}, not {text!r}"
        ) from None
