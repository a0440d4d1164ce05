# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Open the files of a bag: rosbag2 folders, single .mcap and .db3 files, ROS 1 .bag files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .source import logger

_STORAGE_SUFFIXES = (".mcap", ".db3")
_FILE_SUFFIXES = (*_STORAGE_SUFFIXES, ".bag")
_COMPRESSED_SUFFIXES = (".mcap.zstd", ".db3.zstd")
_MCAP_MAGIC = b"\x89MCAP0\r\n"
# First bytes of files, and the command that repairs those that were cut off.
_RECORDERS = {
    ".mcap": (_MCAP_MAGIC, "mcap recover"),
    ".db3": (b"SQLite format 3\0", "sqlite3 CUT.db3 .recover | sqlite3 WHOLE.db3"),
    ".bag": (b"#ROSBAG V2.0\n", "rosbag reindex"),
}
_PROFILES = {"ros1": "ROS 1", "": "no ROS profile"}


def open_bag(path: Path) -> Any:
    """Return an open rosbags AnyReader, by the bag's metadata.yaml or by its files alone.

    Raises:
        ImportError: The package rosbags is not installed.
        ValueError: It is no bag or a damaged one; the message has the remedy.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        raise ImportError(
            "reading bags needs the package rosbags, which is not installed: pip install rosbags"
        ) from None
    # Bags of before Iron carry no message definitions; those of images have not changed since.
    typestore = get_typestore(Stores.LATEST)
    faults: list[tuple[Path, Exception]] = []
    for paths in _ways_to_read(path):
        try:
            _check_content(paths)
            reader = AnyReader(paths, default_typestore=typestore)
            with _foreign_channels_ignored():
                reader.open()
        except Exception as error:
            faults.append((paths[0], error))
            continue
        if faults:
            logger.warning("bag %s is read without its metadata.yaml: %s", path, faults[0][1])
        return reader
    fault_path, fault = faults[-1]
    reason = str(fault).rstrip(".") or type(fault).__name__
    raise ValueError(f"bag {path} cannot be read: {reason}{_remedy(fault_path)}") from fault


def looks_like_bag(path: Path) -> bool:
    """Whether a path has the files or the name of a bag."""
    if path.is_dir():
        return bool(_storage_files(path))
    return path.is_file() and path.name.lower().endswith(
        (*_FILE_SUFFIXES, ".bag.active", *_COMPRESSED_SUFFIXES)
    )


def _ways_to_read(path: Path) -> list[list[Path]]:
    """Return what to open, one after the other: by metadata.yaml, and by the files alone."""
    if not path.is_dir():
        return [[path]]
    metadata = path / "metadata.yaml"
    files = [file for file in _storage_files(path) if not _is_compressed(file)]
    if not metadata.is_file():
        if not files:
            if not _storage_files(path):
                raise ValueError(
                    f"{path} is no bag: it has neither metadata.yaml nor .mcap or .db3 files; name "
                    "the folder that `ros2 bag record` wrote"
                )
            raise ValueError(
                f"bag {path} has no metadata.yaml, and its files are compressed: unpack them with "
                "`unzstd`"
            )
        # ROS numbers the files that it splits a recording into.
        recordings = {re.sub(r"_\d+$", "", file.stem) for file in files}
        if len(recordings) != 1:
            raise ValueError(
                f"bag {path} has no metadata.yaml and {len(files)} .mcap or .db3 files that are "
                "not parts of one recording: run `ros2 bag reindex` on it, or name one file"
            )
        return [files]
    # Only metadata.yaml says that each message is compressed.
    is_plain = not re.search(
        r"compression_mode:\W*(file|message)", metadata.read_text(errors="replace"), re.IGNORECASE
    )
    return [[path], files] if is_plain and files else [[path]]


def _check_content(paths: list[Path]) -> None:
    """Raise ValueError if the content of a file is not what its name says."""
    for path in paths:
        if _is_compressed(path):
            raise ValueError("it is compressed: give the bag's folder, or unpack it with `unzstd`")
        if path.suffix.lower() != ".mcap":
            continue
        with path.open("rb") as file:
            head = file.read(512)
        # A record of one byte 0x01, its length (8), the profile's length (4) and the profile.
        profile = head[21 : 21 + int.from_bytes(head[17:21], "little")].decode(errors="replace")
        if head.startswith(_MCAP_MAGIC) and profile != "ros2":
            raise ValueError(
                f"{path.name} has content of {_PROFILES.get(profile, f'profile {profile!r}')}, and "
                "of MCAP files only those of ROS 2 are read"
            )


def _remedy(path: Path) -> str:
    """Return the advice for a bag that its recorder left unfinished, else what the file is."""
    suffix = ".bag" if path.name.endswith(".bag.active") else path.suffix.lower()
    if suffix not in _RECORDERS:
        return ""
    magic, command = _RECORDERS[suffix]
    with path.open("rb") as file:
        head = file.read(len(magic))
        file.seek(-min(path.stat().st_size, len(magic)), os.SEEK_END)
        tail = file.read()
    if head != magic:
        return f". It is no {suffix} file, or damaged at its start"
    if suffix == ".mcap" and tail == magic:
        return ""
    return f". A recording that was cut off can be mended with `{command}`"


@contextmanager
def _foreign_channels_ignored() -> Iterator[None]:
    """Let rosbags open an MCAP file with channels of JSON, protobuf and so on beside ROS's.

    It looks up each schema's encoding in a table of those it knows, and fails at any other. Here
    the others have no definition, as channels without schema have. Where another version of
    rosbags has no such function, the file is refused with the encoding's name as before.
    """
    from rosbags.rosbag2 import storage_mcap

    get_msgdef = getattr(storage_mcap, "get_msgdef", None)
    if get_msgdef is None:
        yield
        return

    def get_known_msgdef(schema: Any) -> Any:
        try:
            return get_msgdef(schema)
        except KeyError:
            return get_msgdef(None)

    storage_mcap.get_msgdef = get_known_msgdef
    try:
        yield
    finally:
        storage_mcap.get_msgdef = get_msgdef


def _storage_files(folder: Path) -> list[Path]:
    """Return a rosbag2's files, in the order in which they were recorded."""
    return sorted(
        (
            path
            for path in folder.iterdir()
            if path.name.lower().endswith((*_STORAGE_SUFFIXES, *_COMPRESSED_SUFFIXES))
            and not path.name.startswith(".")
        ),
        key=lambda path: (len(path.name), path.name),
    )


def _is_compressed(path: Path) -> bool:
    return path.name.lower().endswith(_COMPRESSED_SUFFIXES)
