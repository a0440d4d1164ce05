# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images related by known homographies, from files: HPatches, and single pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..camera import check_camera_matrix
from ..sources.text_files import parse_lines, parse_numbers

HPATCHES_KINDS = {"i": "illumination", "v": "viewpoint"}

# More than 1600 x 1200 pixels: left out by Dusmanu et al. (D2-Net, CVPR 2019) and those who compare
# with it, FeatureBooster among them.
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
        name: to tell the user about.
        subset: what differs between the images, as "viewpoint"; None where that is not said.
        reference: path of the image.
        targets: path of each other image, and the (3, 3) homography from the pixels of the
            reference to its own.
    """

    name: str
    subset: str | None
    reference: Path
    targets: tuple[tuple[Path, np.ndarray], ...]


def read_hpatches(
    folder: str | Path, every_sequence: bool = False
) -> tuple[list[HomographySet], list[str]]:
    """The sequences of HPatches (Balntas et al., CVPR 2017): folders i_NAME and v_NAME with the
    images 1.ppm to 6.ppm and the homographies H_1_2 to H_1_6.

    Args:
        folder: hpatches-sequences-release, or one of its layout; images may be PNG or JPEG.
        every_sequence: also the eight of large images that D2-Net's protocol leaves out.

    Returns:
        The sequences by name, and the names of those left out.

    Raises:
        FileNotFoundError: there is no such folder, or a sequence lacks a file.
        ValueError: the folder is not HPatches, or a homography is not nine numbers.
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
    """A single pair: two images, and the file of the homography from the first to the second.

    Raises:
        FileNotFoundError: one of them does not exist.
        ValueError: the homography cannot be read.
    """
    first, second = Path(first), Path(second)
    for path in (first, second):
        if not path.is_file():
            raise FileNotFoundError(f"image {path} does not exist")
    name = f"{first.stem}-{second.stem}"
    return HomographySet(name, None, first, ((second, read_homography(homography)),))


def read_homography(path: str | Path) -> np.ndarray:
    """A homography (3, 3) from three lines of three numbers, or from a matrix that OpenCV's
    FileStorage has written as .xml, .yml or .yaml.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else, or a singular matrix.
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
    """Two images of calibrated cameras.

    Attributes:
        images: paths of the two.
        turns: quarter turns against the clock that set each image upright, 0 to 3.
        camera_matrices: (3, 3) intrinsics of each image as it is stored.
        motion: (4, 4) that takes points of the first camera to the second, both as stored.
    """

    images: tuple[Path, Path]
    turns: tuple[int, int]
    camera_matrices: tuple[np.ndarray, np.ndarray]
    motion: np.ndarray


def read_pose_pairs(path: str | Path, images: str | Path) -> list[PosePair]:
    """The pairs of a file in the format of SuperGlue's evaluation (Sarlin et al., CVPR 2020), which
    its successors share. A line is a pair::

        name0 name1 turns0 turns1 K0 (9 numbers) K1 (9) T_0to1 (16)

    with matrices row by row. ``scannet_test_pairs_with_gt.txt`` is one.

    Args:
        path: of the file.
        images: the folder that its names are relative to.

    Raises:
        FileNotFoundError: the file, the folder or an image does not exist.
        ValueError: a line is not of that format, or there is none.
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
