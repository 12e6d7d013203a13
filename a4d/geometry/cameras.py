"""Pinhole cameras, orbits, and the conversions from and to foreign camera conventions.

Convention: world right-handed, +Y up, object front +Z, metres. Camera axes as in OpenCV: x right, y down, z forward.
`world_from_camera` maps camera points to world points. Pixel centres lie at +0.5. Azimuth 0 looks at the front and
grows toward +X; positive elevation is a camera above the object.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.geometry.transforms import invert_rigid, rigid_from_parts, rotation_from_quaternion, transform_points

OPENCV_FROM_OPENGL = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
"""Camera axes x right, y up, looking along -z (NeRF, Blender, nerfstudio, glTF) to OpenCV's; its own inverse."""

Y_UP_FROM_Z_UP = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""World axes of Blender and nerfstudio (+Z up, front -Y) to ours (+Y up, front +Z)."""


@dataclass(frozen=True)
class Cameras:
    """A batch of B pinhole cameras that share an image size.

    Args:
        world_from_camera: (B, 4, 4) rigid, OpenCV camera axes, metres.
        intrinsics: (B, 4) fx, fy, cx, cy in pixels.
        width: pixels.
        height: pixels.
    """

    world_from_camera: Tensor
    intrinsics: Tensor
    width: int
    height: int

    def __post_init__(self) -> None:
        """Check the shapes once, here, so that no renderer has to.

        Raises:
            ValueError: a shape is not the documented one.
        """
        batch = self.world_from_camera.shape[0]
        if self.world_from_camera.shape != (batch, 4, 4) or self.intrinsics.shape != (batch, 4):
            raise ValueError(
                f"expected world_from_camera (B, 4, 4) and intrinsics (B, 4), got "
                f"{tuple(self.world_from_camera.shape)} and {tuple(self.intrinsics.shape)}"
            )

    def __len__(self) -> int:
        return self.world_from_camera.shape[0]

    def __getitem__(self, index: int | slice | Tensor) -> Cameras:
        if isinstance(index, int):
            index = slice(index, index + 1) if index != -1 else slice(-1, None)
        return Cameras(self.world_from_camera[index], self.intrinsics[index], self.width, self.height)

    @property
    def camera_from_world(self) -> Tensor:
        """(B, 4, 4) view matrices."""
        return invert_rigid(self.world_from_camera)

    @property
    def positions(self) -> Tensor:
        """(B, 3) camera centres in world coordinates."""
        return self.world_from_camera[:, :3, 3]

    def to(self, device: torch.device | str) -> Cameras:
        """The same cameras on another device."""
        return Cameras(self.world_from_camera.to(device), self.intrinsics.to(device), self.width, self.height)

    def resized(self, width: int, height: int) -> Cameras:
        """The same views sampled with another number of pixels."""
        scale = self.intrinsics.new_tensor([width / self.width, height / self.height] * 2)
        return Cameras(self.world_from_camera, self.intrinsics * scale, width, height)

    def moved(self, target_from_source: Tensor) -> Cameras:
        """The same cameras in another frame, by a (4, 4) similarity without mirroring."""
        matrix = target_from_source.double()
        poses = self.world_from_camera.double()
        scale = torch.linalg.det(matrix[:3, :3]) ** (1 / 3)
        moved = rigid_from_parts(matrix[:3, :3] / scale @ poses[:, :3, :3], transform_points(matrix, poses[:, :3, 3]))
        return Cameras(moved.to(self.world_from_camera), self.intrinsics, self.width, self.height)

    def cropped(self, left: int, top: int, width: int, height: int) -> Cameras:
        """The same cameras seeing only a rectangle of their pixels."""
        shift = self.intrinsics.new_tensor([0.0, 0.0, left, top])
        return Cameras(self.world_from_camera, self.intrinsics - shift, width, height)

    def deflected(
        self,
        shift: Tensor,  # (B, 3) world, metres
        tilt: Tensor,  # (B, 3) world
    ) -> Cameras:
        """The same cameras with a vector added to the origins of an image's rays, and one to their directions.

        Directions are those of `rays`, of unit depth; with the same vector added to all they still meet a flat image.
        """
        x, y, z = torch.einsum("bji,bj->bi", self.world_from_camera[:, :3, :3], tilt).unbind(-1)
        fx, fy, cx, cy = self.intrinsics.unbind(-1)
        pose = rigid_from_parts(self.world_from_camera[:, :3, :3], self.positions + shift)
        lens = torch.stack([fx * (1 + z), fy * (1 + z), cx - x * fx, cy - y * fy], dim=-1)
        return Cameras(pose, lens, self.width, self.height)

    def dollied(
        self,
        factor: Tensor,  # ()
    ) -> Cameras:
        """The same cameras with lenses so many times as long, as much farther from the origin.

        What is near the origin keeps its size in their images, and changes in perspective alone.
        """
        intrinsics = torch.cat([self.intrinsics[:, :2] * factor, self.intrinsics[:, 2:]], dim=1)
        pose = rigid_from_parts(self.world_from_camera[:, :3, :3], self.positions * factor)
        return Cameras(pose, intrinsics, self.width, self.height)

    def through(self, pixels: Tensor) -> Cameras:
        """A camera of its own for each of some pixels (B, K, 2), columns and rows: B K of a single pixel."""
        each = torch.arange(len(self), device=self.intrinsics.device).repeat_interleave(pixels.shape[1])
        corners = torch.cat([torch.zeros_like(pixels), pixels], dim=-1).flatten(0, 1).to(self.intrinsics)
        return Cameras(self.world_from_camera[each], self.intrinsics[each] - corners, 1, 1)

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pixel coordinates and depths of world points.

        Args:
            points: (N, 3) or (B, N, 3) world, metres.

        Returns:
            (B, N, 2) pixels, x right and y down with the first pixel's centre at (0.5, 0.5); (B, N) depth along the
            viewing axis in metres, negative behind the camera.
        """
        in_camera = transform_points(self.camera_from_world, points.expand(len(self), *points.shape[-2:]))
        depth = in_camera[..., 2]
        pixels = in_camera[..., :2] / depth[..., None] * self.intrinsics[:, None, :2] + self.intrinsics[:, None, 2:]
        return pixels, depth

    def rays(self) -> tuple[Tensor, Tensor]:
        """World rays through all pixel centres.

        Returns:
            (B, H, W, 3) origins and (B, H, W, 3) directions scaled to unit depth: a point at depth z is
            `origin + z * direction`.
        """
        x = torch.arange(self.width, device=self.intrinsics.device, dtype=self.intrinsics.dtype) + 0.5
        y = torch.arange(self.height, device=self.intrinsics.device, dtype=self.intrinsics.dtype) + 0.5
        fx, fy, cx, cy = (part[:, None, None] for part in self.intrinsics.unbind(-1))
        right, down, forward = self.world_from_camera[:, None, None, :3, :3].unbind(-1)
        # Not a product of matrices, which rounds a pixel by how many there are: a patch has the rays of the whole.
        across = ((x[None, None, :] - cx) / fx)[..., None] * right
        directions = across + ((y[None, :, None] - cy) / fy)[..., None] * down + forward
        return self.positions[:, None, None].expand_as(directions), directions


def concatenate(cameras: list[Cameras]) -> Cameras:
    """Several batches of equal image size as one.

    Raises:
        ValueError: the image sizes differ.
    """
    if len({(c.width, c.height) for c in cameras}) != 1:
        raise ValueError("cameras of different image sizes cannot form one batch")
    return Cameras(
        torch.cat([c.world_from_camera for c in cameras]),
        torch.cat([c.intrinsics for c in cameras]),
        cameras[0].width,
        cameras[0].height,
    )


def intrinsics_from_fov(vertical_fov_degrees: float, width: int, height: int) -> Tensor:
    """(1, 4) intrinsics of a centred camera with square pixels and the given vertical field of view."""
    focal = 0.5 * height / torch.tan(torch.deg2rad(torch.tensor(vertical_fov_degrees, dtype=torch.float64)) / 2)
    return torch.stack([focal, focal, focal.new_tensor(width / 2), focal.new_tensor(height / 2)])[None].float()


def look_at(positions: Tensor, target: Tensor | None = None) -> Tensor:
    """Camera poses that look at a target with world +Y up in the image.

    Args:
        positions: (B, 3) camera centres, world, metres.
        target: (3,) or (B, 3) world; the origin if absent.

    Returns:
        (B, 4, 4) world_from_camera, OpenCV axes. Straight above or below the target, image up is -Z or +Z.
    """
    target = torch.zeros(3, dtype=positions.dtype, device=positions.device) if target is None else target
    forward = torch.nn.functional.normalize(target - positions, dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=positions.dtype, device=positions.device).expand_as(forward)
    right = torch.linalg.cross(forward, up, dim=-1)
    is_vertical = right.norm(dim=-1, keepdim=True) < 1e-6
    right = torch.where(is_vertical, right.new_tensor([1.0, 0.0, 0.0]), right)
    right = torch.nn.functional.normalize(right, dim=-1)
    down = torch.linalg.cross(forward, right, dim=-1)
    return rigid_from_parts(torch.stack([right, down, forward], dim=-1), positions)


def orbit(
    azimuth_degrees: Tensor,  # (B,) 0 is the front (+Z), positive toward +X
    elevation_degrees: Tensor,  # (B,) positive is above
    radius: Tensor | float,  # (B,) or scalar, metres
    vertical_fov_degrees: float,
    width: int,
    height: int,
    target: Tensor | None = None,  # (3,) world
) -> Cameras:
    """Cameras on a sphere around a target, looking at it.

    Returns:
        B cameras.
    """
    azimuth, elevation = torch.deg2rad(azimuth_degrees), torch.deg2rad(elevation_degrees)
    direction = torch.stack([elevation.cos() * azimuth.sin(), elevation.sin(), elevation.cos() * azimuth.cos()], dim=-1)
    radius = torch.as_tensor(radius, dtype=direction.dtype, device=direction.device)
    offset = direction * radius[..., None]
    positions = offset if target is None else target + offset
    intrinsics = intrinsics_from_fov(vertical_fov_degrees, width, height).to(positions)
    return Cameras(look_at(positions, target), intrinsics.expand(len(positions), -1), width, height)


def turntable(count: int, elevation_degrees: float, radius: float, vertical_fov_degrees: float, size: int) -> Cameras:
    """One full turn of `count` square views, starting at the front."""
    azimuth = torch.arange(count, dtype=torch.float32) * (360.0 / count)
    elevation = torch.full((count,), elevation_degrees)
    return orbit(azimuth, elevation, radius, vertical_fov_degrees, size, size)


def opencv_from_opengl(world_from_camera: Tensor) -> Tensor:
    """Poses with camera axes x right, y up, z backward to OpenCV axes, and back: the change is its own inverse.

    Args:
        world_from_camera: (..., 4, 4).

    Returns:
        (..., 4, 4) of the same camera.
    """
    return world_from_camera @ OPENCV_FROM_OPENGL.to(world_from_camera)


def opencv_from_colmap(quaternion: Tensor, translation: Tensor) -> Tensor:
    """COLMAP's camera_from_world quaternion and translation to world_from_camera; its camera axes are OpenCV's.

    Args:
        quaternion: (..., 4) wxyz.
        translation: (..., 3).

    Returns:
        (..., 4, 4).
    """
    return invert_rigid(rigid_from_parts(rotation_from_quaternion(quaternion), translation))
