# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fetch public photographs for the tests of real data: python3 test/fetch_data.py FOLDER.

It downloads 11 photographs of Sceaux castle (13 MB, openMVG's sample set by Pierre Moulon; its
license holds) and scales them down. Set FEATURE_BOOSTER_DATA=FOLDER to run the tests that use them.
Only this command downloads anything; the tests never do.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

_URL = (
    "https://raw.githubusercontent.com/openMVG/ImageDataset_SceauxCastle/"
    "fde7f5faba555e3c54700477c304488613346a19/images/"
)
# SHA-256 of the files as published.
_FILES = {
    "100_7100.JPG": "b475a1f74cd54536b6fe186fb165431ef0ee502f56b0d9895d6da576e364ee1e",
    "100_7101.JPG": "05de696ef02054a3d22af94f48fa3cb88df801cfe48561ad82010a130f408723",
    "100_7102.JPG": "9c25103cf8411909773a189d524eb959a0f8a9ac74a1632b3ca343b605b7e034",
    "100_7103.JPG": "eebf00b09b773aff229e53c4d8c744c5f64f3c004fa8edece0f3d8c917a19411",
    "100_7104.JPG": "3b18d6112bb68aa15e1e20d3be234ea4fa88ecf349f42d89bd7830d75ebe4fc6",
    "100_7105.JPG": "e67d29ccf210fab3227fec99e5a32862d3266f81bf4694eeb30cbe984a0b309f",
    "100_7106.JPG": "83a977d2a1b5eb733c88bde10646e649ff87f75a94faa240354907920c070cda",
    "100_7107.JPG": "7719235b80e88646ae8dfd8fddfcfcb4a03d4ef9133a62a551004cd5ccfd86c5",
    "100_7108.JPG": "f1e6fd28a291337d578488a70c713f580d53f4d5073a66659a0d2401ff7071b2",
    "100_7109.JPG": "64ae29fe51d7f45f81edec73d9004d6c99e1c198192487aa9e3d00ff4cd3d433",
    "100_7110.JPG": "cdc7bd37efaf04e6c84f7cc3cafdf5e6890b01756c936d60faae53dab95bf8e9",
}
# Longest side of the scaled photographs [px].
_SIZE = 1024


def fetch_castle(folder: Path, url: str = _URL) -> list[Path]:
    """Download the photographs and write them to scenes/sceaux_castle in a folder.

    Args:
        folder: Folder for data, created if missing.
        url: Address of the files.

    Raises:
        ValueError: A file differs from the one that was published.
        OSError: The address cannot be reached, or the folder cannot be written.
    """
    import pooch

    castle = folder / "scenes" / "sceaux_castle"
    castle.mkdir(parents=True, exist_ok=True)
    fetcher = pooch.create(pooch.os_cache("feature_booster_ros"), url, registry=_FILES)
    written = []
    for name in _FILES:
        photo = cv2.imread(fetcher.fetch(name, progressbar=sys.stderr.isatty()))
        scale = _SIZE / max(photo.shape)
        path = castle / name.replace(".JPG", ".jpg")
        cv2.imwrite(
            str(path), cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        )
        written.append(path)
    return written


def main() -> int:
    """Fetch into the folder that the command line names; return the exit status."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 2
    try:
        written = fetch_castle(Path(sys.argv[1]).expanduser())
    except ImportError:
        print("fetch_data: pooch is not installed: pip install pooch", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"fetch_data: {error}", file=sys.stderr)
        return 1
    print(f"{len(written)} photographs in {written[0].parent}; now set FEATURE_BOOSTER_DATA")
    return 0


if __name__ == "__main__":
    sys.exit(main())
