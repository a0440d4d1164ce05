# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exceptions that a user can resolve, as one line with the remedy."""

from __future__ import annotations

import dis
import errno
from pathlib import Path
from types import TracebackType

_PACKAGE = __name__.partition(".")[0]
_RAISE = dis.opmap["RAISE_VARARGS"]

_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTDIR: "a part of the path is a file: give a folder",
    errno.EEXIST: "give another path",
    errno.EACCES: "check the permissions, or give another path",
    errno.EPERM: "check the permissions, or give another path",
    errno.EROFS: "give a path that can be written to",
    errno.ENOSPC: "free some space, or give another path",
    errno.EDQUOT: "free some space, or give another path",
}


def install_extra(name: str) -> str:
    """Return the command that installs the packages of an extra of this one."""
    return f"pip install '.[{name}]' in the checkout of {_PACKAGE}"


def read_text(path: Path) -> str:
    """Return the content of a text file of the user.

    Raises:
        ValueError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: give another file") from error


def user_message(error: BaseException) -> str | None:
    """Return one line on an error that the user can resolve, or None for a fault of the program.

    A user can resolve a ValueError, OSError or ImportError of a ``raise`` statement of this
    package, an error of the operating system, and a missing package. All other exceptions, also
    those types raised by NumPy or by Python inside this package, are faults, which need their
    traceback.
    """
    text = _os_message(error) or _missing_package(error)
    if text is None and isinstance(error, (ValueError, OSError, ImportError)):
        text = str(error) if _is_raised_here(error.__traceback__) else None
    return None if text is None else " ".join(text.split())


def _os_message(error: BaseException) -> str | None:
    """Return the message of an error of the operating system, or None for another error."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
    remedy = _REMEDIES.get(error.errno)
    text = ": ".join([" -> ".join(paths), str(error.strerror)] if paths else [str(error.strerror)])
    return f"{text}: {remedy}" if remedy else text


def _missing_package(error: BaseException) -> str | None:
    """Return how to install the package that an import did not find, or None if it is this one."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0]
    if package == _PACKAGE or _is_raised_here(error.__traceback__):
        return None
    return f"the Python package {package} is not installed: pip install {package}"


def _is_raised_here(traceback: TracebackType | None) -> bool:
    """Whether a ``raise`` statement of this package began the traceback."""
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    package = frame.f_globals.get("__package__") or ""
    return package.partition(".")[0] == _PACKAGE and (
        frame.f_code.co_code[traceback.tb_lasti] == _RAISE
    )
