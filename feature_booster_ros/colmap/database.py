# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features and matches in COLMAP's database, for its verification and its mapper.

pycolmap imports the images, since it reads the focal lengths of their EXIF and since the tables of
an image have changed over its versions. Keypoints and matches are written with SQL: their tables
have stayed the same, and pycolmap has functions for them only from 3.10 on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from ..camera import Camera
from .conventions import COLMAP_CENTER

_MOST_IMAGES = 2**31 - 1
# COLMAP's models with OpenCV's distortion, by the number of coefficients they take.
_MODELS = {0: "PINHOLE", 4: "OPENCV", 8: "FULL_OPENCV"}


def import_images(
    database: Path, folder: Path, names: Sequence[str], camera: Camera | None, is_shared: bool
) -> dict[str, int]:
    """Create the database with the images of a folder and their cameras, without features.

    Args:
        database: File to create.
        folder: Folder of the images.
        names: Paths of the images, relative to the folder.
        camera: The camera of all images; None for COLMAP's SIMPLE_RADIAL with the focal length of
            the EXIF, or a guess.
        is_shared: Whether all images have the same unknown camera, instead of one each.

    Returns:
        The id of every image in the database.

    Raises:
        ValueError: The camera's distortion has no model in COLMAP, or COLMAP read fewer images.
    """
    import pycolmap

    options = pycolmap.ImageReaderOptions()
    if camera is not None:
        options.camera_model, parameters = colmap_camera(camera)
        options.camera_params = ",".join(repr(float(value)) for value in parameters)
    mode = "SINGLE" if is_shared or camera is not None else "PER_IMAGE"
    database.touch()  # COLMAP takes an empty file as an empty database, but not a missing one.
    # Positional arguments, as the name of the fourth has changed.
    pycolmap.import_images(
        str(database), str(folder), getattr(pycolmap.CameraMode, mode), list(names), options
    )
    ids = image_ids(database)
    if missing := [name for name in names if name not in ids]:
        raise ValueError(
            f"COLMAP could not import {missing[0]} and {len(missing) - 1} more of the images in "
            f"{folder}: images that share a camera must be of one size; else see its messages above"
        )
    return ids


def image_ids(database: Path) -> dict[str, int]:
    """Return the id of every image in the database by its name."""
    with _connect(database) as connection:
        return dict(connection.execute("SELECT name, image_id FROM images"))


def images_with_keypoints(database: Path) -> set[int]:
    """Return the ids of the images whose keypoints are in the database."""
    with _connect(database) as connection:
        return {image_id for (image_id,) in connection.execute("SELECT image_id FROM keypoints")}


def matched_pairs(database: Path) -> set[tuple[int, int]]:
    """Return the pairs of image ids, the smaller first, whose matches are in the database."""
    with _connect(database) as connection:
        pair_ids = connection.execute("SELECT pair_id FROM matches").fetchall()
    return {divmod(pair_id, _MOST_IMAGES) for (pair_id,) in pair_ids}


def add_frames(database: Path, names: Sequence[str], camera: Camera) -> dict[str, int]:
    """Create the database with frames of one camera that need not be files.

    This needs pycolmap 4.2 or later.

    Args:
        database: File to create.
        names: Names of the frames.
        camera: The camera of all frames.

    Returns:
        The id of every frame in the database.
    """
    import pycolmap

    model, parameters = colmap_camera(camera)
    with pycolmap.Database.open(str(database)) as connection:
        colmap = pycolmap.Camera(
            model=model, width=camera.width, height=camera.height, params=parameters,
            has_prior_focal_length=True,
        )  # fmt: skip
        colmap.camera_id = connection.write_camera(colmap)
        rig = pycolmap.Rig()
        rig.add_ref_sensor(colmap.sensor_id)
        rig_id, ids = connection.write_rig(rig), {}
        for name in names:
            image = pycolmap.Image(name=name, camera_id=colmap.camera_id)
            image.image_id = ids[name] = connection.write_image(image)
            frame = pycolmap.Frame()
            frame.rig_id = rig_id
            frame.add_data_id(image.data_id)
            connection.write_frame(frame)
    return ids


def write_keypoints(database: Path, keypoints: Mapping[int, np.ndarray]) -> None:
    """Add the keypoints of images.

    Args:
        database: File of the database.
        keypoints: (N, 2) pixels by image id, for the size of the file, with the center of the
            top-left pixel at 0.
    """
    rows = []
    for image_id, points in keypoints.items():
        colmap = np.ascontiguousarray(points + COLMAP_CENTER, np.float32)
        rows.append((image_id, *colmap.shape, colmap.tobytes()))
    with _connect(database) as connection:
        connection.executemany(
            'INSERT INTO keypoints (image_id, "rows", cols, data) VALUES (?, ?, ?, ?)', rows
        )


def write_matches(database: Path, matches: Mapping[tuple[int, int], np.ndarray]) -> None:
    """Add matches: indices (M, 2) of features by pair of image ids."""
    rows = []
    for (first, second), indices in matches.items():
        if first > second:
            first, second, indices = second, first, indices[:, ::-1]
        pair_id = first * _MOST_IMAGES + second
        blob = np.ascontiguousarray(indices, np.uint32)
        rows.append((pair_id, *blob.shape, blob.tobytes()))
    with _connect(database) as connection:
        connection.executemany(
            'INSERT INTO matches (pair_id, "rows", cols, data) VALUES (?, ?, ?, ?)', rows
        )


def verify_matches(database: Path, pairs: Sequence[tuple[int, int]]) -> int:
    """Estimate the two-view geometry of pairs of images by COLMAP.

    Args:
        database: File of the database, with keypoints and matches.
        pairs: Pairs of image ids.

    Returns:
        The number of pairs with a geometry.
    """
    import pycolmap

    options = pycolmap.TwoViewGeometryOptions()
    if hasattr(options.ransac, "random_seed"):
        # The threads share the pairs out by chance, so a seed of the process is not enough.
        options.ransac.random_seed = 0
    pair_list = database.with_name(database.name + ".pairs.txt")
    pair_list.write_text("".join(f"{first} {second}\n" for first, second in pairs))
    # COLMAP reads a pair as two names with a space between, so ids replace the names meanwhile.
    with _connect(database) as connection:
        names = connection.execute("SELECT name, image_id FROM images").fetchall()
        connection.execute("UPDATE images SET name = CAST(image_id AS TEXT)")
    try:
        pycolmap.verify_matches(str(database), str(pair_list), options=options)
    finally:
        with _connect(database) as connection:
            connection.executemany("UPDATE images SET name = ? WHERE image_id = ?", names)
        pair_list.unlink()
    with _connect(database) as connection:
        query = 'SELECT COUNT(*) FROM two_view_geometries WHERE "rows" > 0'
        return connection.execute(query).fetchone()[0]


def colmap_camera(camera: Camera) -> tuple[str, np.ndarray]:
    """Return COLMAP's model and its parameters for a calibrated camera.

    Raises:
        ValueError: COLMAP has no model of the camera's distortion.
    """
    coefficients = np.asarray(np.trim_zeros(np.asarray(camera.distortion), "b"))
    if camera.model == "equidistant":
        model, count = "OPENCV_FISHEYE", 4
    elif len(coefficients) > max(_MODELS):
        raise ValueError(
            f"COLMAP has no camera model for {camera.model} distortion with {len(coefficients)} "
            "coefficients; give images that are rectified, or leave the camera out"
        )
    else:
        count = min(count for count in _MODELS if count >= len(coefficients))
        model = _MODELS[count]
    matrix = camera.matrix
    focal, center = matrix[[0, 1], [0, 1]], matrix[:2, 2] + COLMAP_CENTER
    distortion = np.pad(coefficients, (0, count - len(coefficients)))
    return model, np.concatenate([focal, center, distortion])


@contextmanager
def _connect(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection that commits and closes at the end; sqlite3's own does not close."""
    with closing(sqlite3.connect(database)) as connection, connection:
        yield connection
