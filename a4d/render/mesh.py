"""Rendering of triangle meshes: visibility by a z-buffer, vertex colours, a head-light where there are none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.cameras import Cameras, turntable
from a4d.geometry.mesh import Mesh
from a4d.geometry.transforms import transform_points
from a4d.render.kernels import mesh_raster
from a4d.render.render import Render

UNPAINTED = 0.8
"""sRGB grey of a mesh without colours where its surface faces the camera."""

AMBIENT = 0.25
"""Share of the light at the camera that also reaches what faces away from it."""

NEAR = 0.01
"""Metres; what is nearer to the camera is cut away."""


@dataclass(frozen=True)
class Fragments:
    """What B cameras see of a mesh at their pixel centres.

    Args:
        face: (B, H, W) int64 index of the nearest face, -1 where nothing is seen.
        barycentric: (B, H, W, 3) perspective-correct weights of its corners, 0 where nothing is seen.
        depth: (B, H, W) along the viewing axis in metres, 0 where nothing is seen.
    """

    face: Tensor
    barycentric: Tensor
    depth: Tensor

    @property
    def is_covered(self) -> Tensor:
        """(B, H, W) whether a face is seen."""
        return self.face >= 0

    def interpolate(self, attributes: Tensor, faces: Tensor) -> Tensor:
        """Vertex attributes at the pixels.

        Args:
            attributes: (V, C) one row per vertex.
            faces: (F, 3) the faces that were rasterised.

        Returns:
            (B, H, W, C), 0 where nothing is seen.
        """
        image = attributes.new_zeros(*self.face.shape, attributes.shape[-1])
        seen = self.is_covered
        image[seen] = torch.einsum("pi,pic->pc", self.barycentric[seen], attributes[faces[self.face[seen]]])
        return image


def rasterise(mesh: Mesh, cameras: Cameras, near: float = NEAR) -> Fragments:
    """Find the nearest face at each pixel centre; both sides of a face are visible.

    Args:
        mesh: vertices in the world, metres.
        cameras: B views.
        near: metres; surfaces nearer than this depth are cut away, exactly along the plane.
    """
    vertices, poses = mesh.vertices.detach().double(), cameras.camera_from_world.to(mesh.vertices.device).double()
    in_camera = transform_points(poses, vertices.expand(len(cameras), -1, -1))
    return rasterise_in_camera(in_camera, mesh.faces, cameras, near)


def rasterise_in_camera(
    vertices: Tensor, faces: Tensor, cameras: Cameras, near: float, beyond: Tensor | None = None
) -> Fragments:
    """Find the nearest face at each pixel centre, from vertices that have been transformed already.

    Args:
        vertices: (B, V, 3) float64 in the axes of each camera, metres.
        faces: (F, 3).
        cameras: B views; of these only the intrinsics and the image size matter.
        near: metres.
        beyond: (B, H, W) depth at each pixel, metres; what is there or nearer is peeled away.
    """
    size = (len(cameras), cameras.height, cameras.width)
    indices = np.ascontiguousarray(faces.cpu().numpy())
    points, lenses = vertices.detach().cpu().numpy(), cameras.intrinsics.double().cpu().numpy()
    face, barycentric, depth = np.empty(size, np.int64), np.empty((*size, 3), np.float32), np.empty(size)
    peeled = np.zeros(size) if beyond is None else beyond.double().cpu().numpy()
    for view in range(len(cameras)):
        buffers = face[view], barycentric[view], depth[view]
        mesh_raster.rasterise(points[view], indices, lenses[view], near, peeled[view], *buffers)
    parts = torch.from_numpy(face), torch.from_numpy(barycentric), torch.from_numpy(depth).float()
    return Fragments(*(part.to(vertices.device) for part in parts))


def render_mesh(
    mesh: Mesh,
    cameras: Cameras,
    background: Tensor | None = None,  # (3,) or (B, 3) sRGB; None is black
    supersampling: int = 2,  # samples per pixel and axis
    shaded: bool | None = None,  # None: where the mesh has no colours
) -> Render:
    """Images of a mesh; the result carries no gradient.

    Args:
        mesh: vertex colours are shown as they are; a mesh without is grey.
        cameras: B views.
        background: what shows where coverage is not full.
        supersampling: 1 samples pixel centres; 2 takes the mean of 2 x 2 samples.
        shaded: whether vertices are dimmed by the cosine to a light at the camera.
    """
    vertices = mesh.vertices.detach().float()
    normals = mesh.with_vertices(vertices).vertex_normals
    colours = torch.full_like(vertices, UNPAINTED) if mesh.colours is None else mesh.colours.detach().float()
    faces = np.ascontiguousarray(mesh.faces.cpu().numpy())
    image = np.empty((len(cameras), cameras.height, cameras.width, 8), np.float32)
    for index in range(len(cameras)):
        camera = cameras[index]
        lit = colours
        if shaded if shaded is not None else mesh.colours is None:
            toward_camera = normalize(camera.positions.to(vertices) - vertices, dim=-1)
            lit = colours * (AMBIENT + (1 - AMBIENT) * (normals * toward_camera).sum(-1, keepdim=True).abs())
        fine = camera.resized(camera.width * supersampling, camera.height * supersampling)
        seen = rasterise(mesh, fine)
        face, barycentric, depth = (part[0].cpu().numpy() for part in (seen.face, seen.barycentric, seen.depth))
        attributes = torch.cat([lit, normals], dim=-1).cpu().numpy()
        mesh_raster.resolve(face, barycentric, depth, faces, attributes, supersampling, image[index])
    rgb, normal, depths, alpha = torch.from_numpy(image).to(vertices.device).split([3, 3, 1, 1], dim=-1)
    return Render(rgb, alpha, depths / alpha.clamp(min=1e-6), {"normal": normal}).over(background)


def warm_up() -> None:
    """Compile the kernels, or load them from the cache."""
    corners = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    render_mesh(Mesh(corners, torch.tensor([[0, 1, 2]])), turntable(1, 0.0, 3.0, 40.0, 16))
