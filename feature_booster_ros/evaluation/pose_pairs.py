# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image pairs with known relative pose, as a text file lists them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..camera import check_camera_matrix
from ..sources.text_files import parse_lines, parse_numbers

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
