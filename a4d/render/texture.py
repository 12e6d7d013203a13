"""Pictures on surfaces: mip levels, trilinear sampling with gradients, and the level that fits a pixel's footprint."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from a4d.geometry.assets.material import Wrap
from a4d.render.mesh_gradients import MeshView, corner_areas


@dataclass(frozen=True)
class MipMap:
    """A picture at full, half, quarter ... size, down to one texel.

    Args:
        texels: (T, C) rows of all levels one after the other, the largest first.
        sizes: height and width of each level.
    """

    texels: Tensor
    sizes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, image: Tensor) -> MipMap:
        """Build all levels by area means, differentiable by the (H, W, C) picture."""
        levels = [image]
        while max(levels[-1].shape[:2]) > 1:
            half = (max(1, levels[-1].shape[0] // 2), max(1, levels[-1].shape[1] // 2))
            levels.append(adaptive_avg_pool2d(levels[-1].permute(2, 0, 1), half).permute(1, 2, 0))
        sizes = tuple((level.shape[0], level.shape[1]) for level in levels)
        return cls(torch.cat([level.flatten(0, 1) for level in levels]), sizes)

    def sample(self, uv: Tensor, level: Tensor, wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")) -> Tensor:
        """Trilinear samples, differentiable by the picture, the coordinates and the level.

        Args:
            uv: (P, 2) in [0, 1] over the picture, u right and v down from its upper left corner.
            level: (P,) 0 for the full size, 1 for half; clamped to what there is.
            wrap: outside [0, 1], along u and v.

        Returns:
            (P, C).
        """
        level = level.clamp(0, len(self.sizes) - 1)
        finer = level.detach().floor().long()
        coarser = (finer + 1).clamp(max=len(self.sizes) - 1)
        fraction = (level - finer)[:, None]
        return self._bilinear(uv, finer, wrap) * (1 - fraction) + self._bilinear(uv, coarser, wrap) * fraction

    def _bilinear(self, uv: Tensor, level: Tensor, wrap: tuple[Wrap, Wrap]) -> Tensor:
        sizes = torch.tensor(self.sizes, device=uv.device)
        starts = sizes.prod(1).cumsum(0) - sizes.prod(1)
        size = sizes[level].flip(1)
        position = uv * size - 0.5
        low = position.detach().floor()
        fraction = position - low
        total = self.texels.new_zeros(())
        for dx in (0, 1):
            for dy in (0, 1):
                x = _wrapped(low[:, 0].long() + dx, size[:, 0], wrap[0])
                y = _wrapped(low[:, 1].long() + dy, size[:, 1], wrap[1])
                share = (fraction[:, 0] if dx else 1 - fraction[:, 0]) * (fraction[:, 1] if dy else 1 - fraction[:, 1])
                total = total + self.texels.index_select(0, starts[level] + y * size[:, 0] + x) * share[:, None]
        return total


def _wrapped(index: Tensor, size: Tensor, wrap: Wrap) -> Tensor:
    if wrap == "repeat":
        return index.remainder(size)
    if wrap == "mirror":
        folded = index.remainder(2 * size)
        return torch.minimum(folded, 2 * size - 1 - folded)
    return torch.minimum(index.clamp(min=0), size - 1)


def mip_level(view: MeshView, uvs: Tensor, uv_faces: Tensor, size: tuple[int, int]) -> Tensor:
    """The level at which a step to the next pixel is one texel, along the longer side of the footprint.

    Args:
        view: what is seen.
        uvs: (U, 2) texture coordinates.
        uv_faces: (F, 3) rows of uvs at the corners of each face.
        size: height and width of the picture.

    Returns:
        (P,) levels at the covered pixels, in the order of `view.fragments.is_covered`; without gradient.
    """
    return footprint_level(footprints(view, uvs, uv_faces), size).to(uvs)


def footprints(view: MeshView, uvs: Tensor, uv_faces: Tensor) -> Tensor:
    """How far a step to the next pixel goes over the pictures.

    Args:
        view: what is seen.
        uvs: (U, 2) texture coordinates.
        uv_faces: (F, 3) rows of uvs at the corners of each face.

    Returns:
        (P, 2, 2) float64 change of u, v by a step along the image's x and y, at the covered pixels in the order of
        `view.fragments.is_covered`; without gradient.
    """
    with torch.no_grad():
        seen = view.fragments.is_covered
        areas, slopes = corner_areas(view)
        total = areas.sum(1)
        # The quotient rule on areas / total, whose derivatives along the image's axes are the slopes.
        change = (slopes - (areas / total[:, None])[..., None] * slopes.sum(1, keepdim=True)) / total[:, None, None]
        lens = view.cameras.intrinsics.to(change)[seen.nonzero()[:, 0]]
        corners = uvs[uv_faces[view.fragments.face[seen]]].to(change)
        return torch.einsum("pia,pic->pac", change / lens[:, None, :2], corners)


def footprint_level(
    footprint: Tensor,  # (P, 2, 2) of `footprints`
    size: tuple[int, int],  # height and width of the picture
) -> Tensor:
    """(P,) the level at which the longer side of a pixel's footprint is one texel."""
    texels = footprint * footprint.new_tensor([size[1], size[0]])
    return texels.norm(dim=-1).amax(-1).clamp(min=1e-8).log2()
