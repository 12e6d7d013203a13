"""The surface that a moving scene carries along: its own vertices, materials and texture coordinates, untouched."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.assets.animating import animated_asset, primitives_by_material
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.assembly import static_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import PosedMesh, deform
from a4d.geometry.mesh import Mesh, first_in_place
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.scenes.protocols import AssetOptions


class CarriedSurface:
    """A surface at rest, and what it becomes when its vertices move.

    Args:
        asset: without skins and clips, as `still` makes it.
    """

    def __init__(self, asset: Asset) -> None:
        self.asset = asset
        self.posed: PosedMesh = deform(asset)

    @classmethod
    def still(cls, asset: Asset, clip: Clip | None = None, seconds: float = 0.0) -> CarriedSurface:
        """An asset as it stands at a moment of a clip, or at rest, in the world."""
        posed = deform(asset, clip, seconds)
        primitives, _ = primitives_by_material(posed)
        return cls(static_asset(asset.name, primitives, asset.materials))

    @classmethod
    def load(cls, path: Path) -> CarriedSurface:
        """Read what `save` wrote."""
        return cls(read_gltf(path))

    def save(self, path: Path) -> None:
        """Write the surface with its materials as binary glTF."""
        write_asset(path, self.asset)

    @property
    def vertices(self) -> Tensor:
        """(V, 3) at rest, world, metres."""
        return self.posed.vertices

    @cached_property
    def mesh(self) -> Mesh:
        """Vertices, faces and vertex colours at rest."""
        return self.posed.mesh

    @cached_property
    def place_of_vertex(self) -> Tensor:
        """(V,) int64 the first vertex at the place of each."""
        return first_in_place(self.vertices)

    @cached_property
    def whole_faces(self) -> Tensor:
        """(F, 3) int64 faces over the first vertices of each place, so that seams do not cut."""
        return self.place_of_vertex[self.posed.faces]

    def moving(
        self,
        trajectories: Tensor,  # (T, V, 3) world, metres
        options: AssetOptions,
    ) -> Asset:
        """The surface with the motion as morph targets or bones."""
        primitives = self.asset.meshes[0].primitives
        return animated_asset(
            options.name,
            primitives,
            trajectories,
            options.seconds_per_frame,
            options.animation,
            self.asset.materials,
            self.turned_normals(trajectories),
        )

    def turned_normals(self, trajectories: Tensor) -> Tensor:
        """(T, V, 3) the normals of the file, turned as the surface around each vertex turns.

        They keep what the file says about which edges are sharp.
        """
        before = self._smooth_normals(self.vertices)
        turned = []
        for vertices in trajectories.detach().float().cpu():
            after = self._smooth_normals(vertices)
            axis = torch.linalg.cross(before, after, dim=-1)
            cosine = (before * after).sum(-1, keepdim=True)
            once = torch.linalg.cross(axis, self.posed.normals, dim=-1)
            twice = torch.linalg.cross(axis, once, dim=-1)
            turned.append(normalize(self.posed.normals + once + twice / (1 + cosine).clamp_min(1e-3), dim=-1))
        return torch.stack(turned)

    def _smooth_normals(self, vertices: Tensor) -> Tensor:
        return Mesh(vertices, self.whole_faces).vertex_normals[self.place_of_vertex]
