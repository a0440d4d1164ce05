# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera flown through a rendered scene: images whose intrinsics, depth and poses are exact."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import cv2
import numpy as np

from ..camera import Camera
from ..depth import RightImage, to_meters
from ..sources.source import Frame, Source
from .camera_paths import CameraPath, random_path, walk_through
from .renderer import Scene, cast, draw, draw_depth
from .scenes import gallery

# Share of the depth by which something has to be nearer to hide a point.
_OCCLUSION_SLACK = 0.01


class RenderedSequence(Source):
    """A flight through a gallery of photographs, as a source like a record of a real camera.

    Everything is decided by the arguments: the same ones give the same pixels on any machine with
    the same OpenCV. Frame i is taken at time i / rate of the path; a path that ends is flown back.

    Args:
        seed: Seed of the gallery and of the noise.
        frames: Number of images.
        width, height: Image size in pixels.
        horizontal_fov: Horizontal field of view in degrees.
        rate: Frames per second of flight in Hz; the higher, the less moves between frames.
        noise: Standard deviation of the sensor noise in gray levels.
        blur: Sigma of the lens blur in pixels.
        light: Variation of the exposure between frames, as a share (0.1: by about 10 %).
        color: Whether images are BGR instead of gray.
        depth: Whether frames have their exact depth.
        baseline: Distance in meters of a right camera, which frames have the image of; 0 for none.
        scene: Scene to render; None for the gallery of `seed`.
        path: how the camera moves: "walk" for the demo's walk through the gallery, "random" for a
            flight drawn from `seed`, or a path of your own.

    Attributes:
        camera: exact intrinsics, no distortion.
        poses: (frames, 4, 4) float64 camera to world.

    Raises:
        ValueError: an argument is out of range.
        FileNotFoundError: the gallery's photographs are not installed.
    """

    kind: ClassVar[str] = "rendered"

    def __init__(
        self,
        seed: int = 0,
        frames: int = 60,
        width: int = 640,
        height: int = 480,
        horizontal_fov: float = 70.0,
        rate: float = 5.0,
        noise: float = 2.0,
        blur: float = 0.5,
        light: float = 0.1,
        color: bool = False,
        depth: bool = False,
        baseline: float = 0.0,
        scene: Scene | None = None,
        path: CameraPath | str = "walk",
    ) -> None:
        for name, value, low, high in (
            ("seed", seed, 0, 2**63),
            ("frames", frames, 1, 1_000_000),
            ("width", width, 16, 8192),
            ("height", height, 16, 8192),
            ("horizontal_fov", horizontal_fov, 10, 150),
            ("rate", rate, 0.01, 10_000),
            ("noise", noise, 0, 100),
            ("blur", blur, 0, 20),
            ("light", light, 0, 0.5),
            ("baseline", baseline, 0, 10),
        ):
            if isinstance(value, str) or not low <= value <= high:
                raise ValueError(f"rendered sequence: {name} {value} is not in [{low}, {high}]")
        focal = width / 2 / np.tan(np.deg2rad(horizontal_fov) / 2)
        center = (width - 1) / 2, (height - 1) / 2
        self._pinhole = Camera.pinhole(focal, focal, *center, width, height)
        super().__init__(f"gallery of seed {seed}" if scene is None else "scene", self._pinhole)
        self.scene = scene or gallery(seed, color)
        if isinstance(path, str):
            if path not in ("walk", "random"):
                raise ValueError(f"rendered sequence: path {path!r} is neither walk nor random")
            path = walk_through() if path == "walk" else random_path(seed)
        self.poses = np.stack([path.pose(i / rate) for i in range(frames)])
        self._seed, self._rate = seed, rate
        self._noise, self._blur, self._light = noise, blur, light
        self._has_depth, self._baseline = depth, baseline
        shift = np.array([[-focal * baseline], [0.0], [0.0]])
        projection = np.hstack([self._pinhole.matrix, shift])
        self._right_camera = self._pinhole.with_rectification(np.eye(3), projection)

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self.poses)

    @property
    def rate(self) -> float:
        """Frames per second of flight, Hz."""
        return self._rate

    @property
    def has_depth(self) -> bool:
        """Whether frames have their exact depth."""
        return self._has_depth

    @property
    def has_right(self) -> bool:
        """Whether frames have the image of a right camera."""
        return self._baseline > 0

    def index_at(self, stamp_ns: int) -> int:
        """Give the number of the frame with this stamp, in nanoseconds.

        Raises:
            KeyError: no frame has it.
        """
        index = round(stamp_ns * 1e-9 * self._rate)
        if not 0 <= index < len(self) or self._stamp(index) != stamp_ns:
            raise KeyError(f"no frame of {self.name} has the stamp {stamp_ns} ns")
        return index

    def image(self, index: int) -> np.ndarray:
        """Render frame `index`: (H, W) uint8, or (H, W, 3) BGR."""
        return self._expose(self._draw(self.poses[index]), index)

    def right_image(self, index: int) -> np.ndarray:
        """Render what the right camera sees at the time of frame `index`."""
        in_left = np.eye(4)
        in_left[0, 3] = self._baseline
        return self._expose(self._draw(self.poses[index] @ in_left), index, eye=1)

    def depth(self, index: int) -> np.ndarray:
        """Return the depth at the center of every pixel: (H, W) float32, meters."""
        camera = self._pinhole
        return draw_depth(self.scene, camera.matrix, self.poses[index], camera.width, camera.height)

    def render(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Give `image(index)` and `depth(index)`."""
        return self.image(index), self.depth(index)

    def transfer(
        self, from_index: int, to_index: int, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find where one frame's pixels are in another, exactly.

        Args:
            from_index: Frame of the pixels.
            to_index: Frame in which they are looked for.
            points: (M, 2) pixels of the first frame, at any sub-pixel position.

        Returns:
            (M, 2) float64 pixels of the second frame, NaN behind its camera, and (M,) bool: whether
            they are visible there, inside the image and not hidden.
        """
        matrix, points = self._pinhole.matrix, np.asarray(points, np.float64).reshape(-1, 2)
        depth, surface = cast(self.scene, matrix, self.poses[from_index], points)
        depth = np.where(surface >= 0, depth, np.nan)
        rays = np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(matrix).T
        motion = np.linalg.inv(self.poses[to_index]) @ self.poses[from_index]
        there = (rays * depth[:, None]) @ motion[:3, :3].T + motion[:3, 3]
        ahead = there[:, 2] > 0
        projected = np.where(ahead[:, None], there, np.nan) @ matrix.T
        pixels = projected[:, :2] / projected[:, 2:]
        limits = (self._pinhole.width - 0.5, self._pinhole.height - 0.5)
        visible = ((pixels >= -0.5) & (pixels <= limits)).all(axis=1)
        nearest, _ = cast(self.scene, matrix, self.poses[to_index], pixels[visible])
        visible[visible] = there[visible, 2] <= nearest * (1 + _OCCLUSION_SLACK)
        return pixels, visible

    def confirm(
        self,
        query_index: int,
        reference_index: int,
        query_points: np.ndarray,
        reference_points: np.ndarray,
        threshold_px: float = 3.0,
    ) -> np.ndarray:
        """Return which matches are right by depth and poses.

        Each point is moved to the other frame, both ways, so that a point beside the edge of a
        nearer object, whose depth may be of either, counts only if both frames agree on it.

        Args:
            query_index: Query frame.
            reference_index: Reference frame.
            query_points: (M, 2) matched pixels of the query frame.
            reference_points: (M, 2) matched pixels of the reference frame.
            threshold_px: Largest distance in either frame, in pixels.

        Returns:
            (M,) bool, False also for points that are not visible in the other frame.
        """
        query_points = np.asarray(query_points, np.float64).reshape(-1, 2)
        reference_points = np.asarray(reference_points, np.float64).reshape(-1, 2)
        if query_points.shape != reference_points.shape:
            raise ValueError(
                f"{len(query_points)} query points and {len(reference_points)} "
                "reference points: matches come in pairs"
            )
        there, seen_there = self.transfer(query_index, reference_index, query_points)
        back, seen_back = self.transfer(reference_index, query_index, reference_points)
        return (
            seen_there
            & seen_back
            & (np.linalg.norm(there - reference_points, axis=1) <= threshold_px)
            & (np.linalg.norm(back - query_points, axis=1) <= threshold_px)
        )

    def _read(self, start: int, step: int) -> Iterator[Frame]:
        for index in range(start, len(self), step):
            yield Frame(
                stamp_ns=self._stamp(index),
                image=self.image(index),
                camera=self.camera,
                name=f"frame {index}",
                pose=self.poses[index],
                read_depth=partial(self._read_depth, index),
                read_right=partial(self._read_right, index),
            )

    def _read_depth(self, index: int) -> np.ndarray | None:
        return to_meters(self.depth(index)) if self._has_depth else None

    def _read_right(self, index: int) -> RightImage | None:
        if not self._baseline:
            return None
        return RightImage(self.right_image(index), self._right_camera, f"right frame {index}")

    def _draw(self, pose: np.ndarray) -> np.ndarray:
        camera = self._pinhole
        return draw(self.scene, camera.matrix, pose, camera.width, camera.height)

    def _stamp(self, index: int) -> int:
        return round(index / self._rate * 1e9)

    def _expose(self, image: np.ndarray, index: int, eye: int = 0) -> np.ndarray:
        """Apply the lens and the sensor: blur, a varying exposure, noise."""
        rng = np.random.default_rng([self._seed, 3, index, *([eye] if eye else [])])
        gain = 1.0 + self._light * np.clip(rng.standard_normal(), -2, 2)
        exposed: np.ndarray = image.astype(np.float32) * np.float32(gain)
        if self._blur > 0:
            exposed = cv2.GaussianBlur(exposed, (0, 0), self._blur)
        if self._noise > 0:
            exposed += np.float32(self._noise) * rng.standard_normal(image.shape, dtype=np.float32)
        return np.clip(np.rint(exposed), 0, 255).astype(np.uint8)
