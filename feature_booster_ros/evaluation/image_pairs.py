# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image pairs with ground truth, from files: HPatches, a homography, a list of poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..camera import check_camera_matrix
from ..sources.text_files import parse_lines, parse_numbers

HPATCHES_KINDS = {"i": "illumination", "v": "viewpoint"}

# Sequences of more than 1600 x 1200 pixels, left out by Dusmanu et al. (D2-Net, CVPR 2019) and by
# later papers, such as FeatureBooster, to compare with it.
_TOO_LARGE = frozenset(
    "i_contruction i_crownnight i_dc i_pencils i_whitebuilding v_artisans v_astronautis "
    "v_talent".split()
)
_IMAGES = 6
_SUFFIXES = (".ppm", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True, eq=False)
class HomographySet:
    """A reference image and others of the same plane.

    Attributes:
        name: Name for titles and messages.
        subset: What differs between the images, such as "viewpoint"; None if unknown.
        reference: Path of the image.
        targets: Path of each other image, and the homography (3, 3) from pixels of the reference
            to its own.
    """

    name: str
    subset: str | None
    reference: Path
    targets: tuple[tuple[Path, np.ndarray], ...]


def read_hpatches(
    folder: str | Path, every_sequence: bool = False
) -> tuple[list[HomographySet], list[str]]:
    """Read the sequences of HPatches (Balntas et al., CVPR 2017).

    A sequence is a folder i_NAME or v_NAME with images 1.ppm to 6.ppm and homographies H_1_2 to
    H_1_6.

    Args:
        folder: hpatches-sequences-release, or a folder of its layout; images may be PNG or JPEG.
        every_sequence: Whether to include the eight sequences of large images that D2-Net's
            protocol leaves out.

    Returns:
        The sequences, sorted by name, and the names of those left out.

    Raises:
        FileNotFoundError: The folder does not exist, or a sequence lacks a file.
        ValueError: The folder is not HPatches, or a homography is not nine numbers.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder at {folder}: expected HPatches, unpacked")
    sequences = sorted(
        path for path in folder.iterdir() if path.is_dir() and path.name[:2] in ("i_", "v_")
    )
    if not sequences:
        raise ValueError(
            f"{folder} is not HPatches: it has no folder i_NAME or v_NAME. Give the folder that "
            "hpatches-sequences-release unpacks to (https://github.com/hpatches/hpatches-dataset)"
        )
    kept = [path for path in sequences if every_sequence or path.name not in _TOO_LARGE]
    left_out = [path.name for path in sequences if path not in kept]
    return [_read_sequence(path) for path in kept], left_out


def _read_sequence(folder: Path) -> HomographySet:
    reference, *others = (_image(folder, number) for number in range(1, _IMAGES + 1))
    homographies = [read_homography(folder / f"H_1_{number}") for number in range(2, _IMAGES + 1)]
    kind = HPATCHES_KINDS[folder.name[0]]
    return HomographySet(
        folder.name, kind, reference, tuple(zip(others, homographies, strict=True))
    )


def _image(folder: Path, number: int) -> Path:
    for suffix in _SUFFIXES:
        if (folder / f"{number}{suffix}").is_file():
            return folder / f"{number}{suffix}"
    hint = ""
    if (folder / "ref.png").is_file():
        hint = "; this is HPatches' release of patches, and what is needed is that of full images"
    raise FileNotFoundError(f"HPatches sequence {folder} has no image {number}.ppm{hint}")


def read_pair(first: str | Path, second: str | Path, homography: str | Path) -> HomographySet:
    """Read a single pair: two images, and the homography from the first to the second.

    Args:
        first: Path of the first image.
        second: Path of the second image.
        homography: File of the homography, as for :func:`read_homography`.

    Raises:
        FileNotFoundError: One of the files does not exist.
        ValueError: The homography cannot be read.
    """
    first, second = Path(first), Path(second)
    for path in (first, second):
        if not path.is_file():
            raise FileNotFoundError(f"image {path} does not exist")
    name = f"{first.stem}-{second.stem}"
    return HomographySet(name, None, first, ((second, read_homography(homography)),))


def read_homography(path: str | Path) -> np.ndarray:
    """Read a homography (3, 3) from a file.

    The file has three lines of three numbers, or a matrix written by OpenCV's FileStorage as .xml,
    .yml or .yaml.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It holds something else, or a singular matrix.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"homography {path} does not exist")
    if path.suffix.lower() in (".xml", ".yml", ".yaml"):
        matrix = _read_file_storage(path)
    else:
        matrix = np.array(parse_lines(path, lambda line: parse_numbers(line, 3)))
    if matrix is None or matrix.shape != (3, 3) or abs(np.linalg.det(matrix)) < 1e-12:
        raise ValueError(f"{path} is not a homography: expected 3 lines of 3 numbers, invertible")
    return matrix.astype(np.float64)


def _read_file_storage(path: Path) -> np.ndarray | None:
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        return storage.getFirstTopLevelNode().mat()
    except (cv2.error, SystemError):
        return None


_NUMBERS = 2 + 9 + 9 + 16


@dataclass(frozen=True, eq=False)
class PosePair:
    """Two images of calibrated cameras with known relative pose.

    Attributes:
        images: Paths of the two images.
        turns: Counterclockwise quarter turns that set each image upright, 0 to 3.
        camera_matrices: Intrinsics (3, 3) of each image as it is stored.
        motion: (4, 4) from points of the first camera to the second, for the images as stored.
    """

    images: tuple[Path, Path]
    turns: tuple[int, int]
    camera_matrices: tuple[np.ndarray, np.ndarray]
    motion: np.ndarray


def read_pose_pairs(path: str | Path, images: str | Path) -> list[PosePair]:
    """Read image pairs with known relative poses.

    The format is that of SuperGlue's evaluation (Sarlin et al., CVPR 2020) and its successors, such
    as ``scannet_test_pairs_with_gt.txt``. A line is a pair, with matrices row by row::

        name0 name1 turns0 turns1 K0 (9 numbers) K1 (9) T_0to1 (16)

    Args:
        path: Path of the file.
        images: Folder that the names are relative to.

    Raises:
        FileNotFoundError: The file, the folder or an image does not exist.
        ValueError: A line is not of that format, or the file has no line.
    """
    path, images = Path(path).expanduser(), Path(images).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"pairs file {path} does not exist")
    if not images.is_dir():
        raise FileNotFoundError(f"no folder of images at {images}")
    pairs = parse_lines(path, lambda line: _parse(line, images))
    if not pairs:
        raise ValueError(f"{path} lists no pairs")
    missing = sorted({str(p) for pair in pairs for p in pair.images if not p.is_file()})
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} images of {path} do not exist below {images}; the first is "
            f"{missing[0]}"
        )
    return pairs


def _parse(line: str, images: Path) -> PosePair:
    words = line.split()
    if len(words) != 2 + _NUMBERS:
        raise ValueError(
            f"{len(words)} values, expected {2 + _NUMBERS}: name0 name1 turns0 turns1 K0 (9) "
            "K1 (9) T_0to1 (16). A list without ground truth has no pose to compare with"
        )
    numbers = parse_numbers(" ".join(words[2:]), _NUMBERS)
    turns = numbers[:2]
    if not np.isin(turns, (0, 1, 2, 3)).all():
        raise ValueError(f"turns {words[2]} and {words[3]} must be 0, 1, 2 or 3 quarter turns")
    matrices = numbers[2:11].reshape(3, 3), numbers[11:20].reshape(3, 3)
    for matrix in matrices:
        check_camera_matrix(matrix)
    motion = numbers[20:].reshape(4, 4)
    if not np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-3):
        raise ValueError("T_0to1 is not a rigid motion: its rotation is not orthonormal")
    return PosePair(
        (images / words[0], images / words[1]), (int(turns[0]), int(turns[1])), matrices, motion
    )
