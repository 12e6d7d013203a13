"""Surfaces with values that are no numbers, or normals without a direction, made fit to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.assets.asset import Primitive
from a4d.geometry.mesh import Mesh

SHORTEST = 1e-12
"""A shorter normal has no direction that anybody meant."""


@dataclass(frozen=True)
class Damage:
    """What was wrong with surfaces.

    Args:
        faces: that were dropped, as a corner of theirs is at no finite place.
        normals: of vertices, zero or not finite, in whose place the mean normal of the vertex's own faces stands.
        uvs: texture coordinates that are not finite, now (0, 0).
        colours: of vertices, not finite, now opaque white.
    """

    faces: int = 0
    normals: int = 0
    uvs: int = 0
    colours: int = 0

    @classmethod
    def total(cls, parts: Sequence[Damage]) -> Damage:
        """The sum over several surfaces."""
        return cls(*(sum(counts) for counts in zip(*map(astuple, parts), strict=True)))


def mended(primitive: Primitive) -> tuple[Primitive, Damage]:
    """A primitive all of whose values are finite and whose normals, where it has any, are of unit length.

    Vertices keep their numbers; one that stands nowhere is put where another one is. Morph targets and influences are
    taken as they are.
    """
    is_placed = primitive.positions.isfinite().all(1)
    is_sound = is_placed[primitive.faces].all(1)
    faces = primitive.faces[is_sound]
    positions = primitive.positions
    if not bool(is_placed.all()):
        anywhere = positions[faces[0, 0]] if len(faces) else torch.zeros(3)
        positions = torch.where(is_placed[:, None], positions, anywhere)
    is_used = torch.zeros(len(positions), dtype=torch.bool)
    is_used[faces] = True
    normals, bad_normals = _normals(primitive.normals, positions, faces, is_used)
    uvs, bad_uvs = _replaced(primitive.uvs, 0.0)
    colours, bad_colours = (None, 0) if primitive.colours is None else _replaced(primitive.colours, 1.0)
    tangents = primitive.tangents
    if tangents is not None:
        is_finite = tangents.isfinite().all(1, keepdim=True)
        tangents = torch.where(is_finite, tangents, tangents.new_tensor([0.0, 0.0, 0.0, 1.0]))
    whole = replace(
        primitive, positions=positions, faces=faces, normals=normals, tangents=tangents, uvs=uvs, colours=colours
    )
    return whole, Damage(int((~is_sound).sum()), bad_normals, bad_uvs, bad_colours)


def _replaced(values: Tensor, substitute: float) -> tuple[Tensor, int]:
    """Rows of which something is not finite, replaced and counted."""
    is_finite = values.isfinite().all(-1, keepdim=True)
    return torch.where(is_finite, values, substitute), int((~is_finite).sum())


def _normals(normals: Tensor | None, positions: Tensor, faces: Tensor, is_used: Tensor) -> tuple[Tensor | None, int]:
    """Unit normals, and how many of the vertices that are used had none."""
    if normals is None:
        return None, 0
    lengths = normals.double().norm(dim=1)
    is_good = lengths.isfinite() & (lengths > SHORTEST)
    unit = normals.double() / lengths[:, None]
    if not bool(is_good.all()):
        unit = torch.where(is_good[:, None], unit, own_normals(positions, faces))
    return unit.float(), int((~is_good & is_used).sum())


def own_normals(
    positions: Tensor,  # (V, 3) finite
    faces: Tensor,  # (F, 3)
) -> Tensor:
    """(V, 3) float64 unit: the area-weighted mean over the faces at each vertex.

    Where these cancel out, as those of two sheets back to back, that of one of them; +Y where no face has an area.
    """
    centred = positions.double() - positions.double().mean(0)
    # The areas of a shape that is very small or large would not be numbers.
    shape = Mesh(centred / centred.abs().max().clamp_min(1e-300), faces)
    mean, own = shape.vertex_normals, normalize(shape.face_normals, dim=1, eps=1e-300)
    one = torch.zeros_like(mean)
    has_area = own.norm(dim=1) > 0.5
    one[faces[has_area].flatten()] = own[has_area].repeat_interleave(3, dim=0)
    is_clear = mean.norm(dim=1, keepdim=True) > 0.5
    found = torch.where(is_clear, mean, one)
    return torch.where(found.norm(dim=1, keepdim=True) > 0.5, found, found.new_tensor([0.0, 1.0, 0.0]))
