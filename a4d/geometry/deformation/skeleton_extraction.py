"""A skeleton of bones that nobody connected: which hang together, which is the root, and where the joints are.

Bones hang together that share skin and stay together where they do (AnimatableDreamer, section 3.3, whose graph may
have circles; a maximum spanning tree of the same strengths has none).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree, shortest_path
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import InvalidInputError
from a4d.geometry.deformation.arap import best_rotations
from a4d.geometry.deformation.skeleton import Skeleton
from a4d.geometry.mesh import Mesh, first_in_place
from a4d.geometry.transforms import rigid_from_parts

SKINLESS = 2e-3
"""Share of the surface below which a bone that is the strongest nowhere else is taken to have no skin."""

APART = 0.02
"""Of the diagonal: two bones whose common place comes apart by this are half as strongly connected."""

CENTRING = 0.05
"""Mean squared turn, in radians, that says as much about where a joint is as the border between the bones does."""


@dataclass(frozen=True)
class LooseBones:
    """B bones that move a surface, none of them another's parent.

    Args:
        mesh: at rest.
        weights: (V, B) of each bone on each vertex, rows sum to 1.
        transforms: (T, B, 4, 4) posed_from_rest, rigid.
        features: (V, C) what the surface looks like, or is, at each vertex; or None.
    """

    mesh: Mesh
    weights: Tensor
    transforms: Tensor
    features: Tensor | None = None


@dataclass(frozen=True)
class ExtractedSkeleton:
    """A tree over some of the bones.

    Args:
        skeleton: J joints with the world's axes at rest, each named by the number of its bone; the first is the root.
        bones: (J,) int64 the bone that each joint stands for.
        are_near: (J, J) bool, symmetric: whether two joints are one, hang on each other, or share a border of skin.
    """

    skeleton: Skeleton
    bones: Tensor
    are_near: Tensor


def extract_skeleton(loose: LooseBones) -> ExtractedSkeleton:
    """A rooted tree over the bones that have skin.

    Its edges are the maximum spanning tree of `_Pairs.strengths`. The root is the bone that moves most as the whole
    does and is near to most of the skin along the tree. A joint lies where the bone and its parent agree best over all
    frames, and on the border between their skins where they tell nothing.

    Raises:
        InvalidInputError: the surface has no area.
    """
    vertices = loose.mesh.vertices.detach().double().cpu()
    faces = first_in_place(vertices)[loose.mesh.faces.cpu()]
    areas = Mesh(vertices, faces).vertex_areas
    if not float(areas.sum()) > 0:
        raise InvalidInputError("a surface without area has no skeleton")
    bones = _with_skin(loose.weights.detach().double().cpu(), areas)
    weights = normalize(loose.weights.detach().double().cpu()[:, bones], p=1, dim=1)
    transforms = loose.transforms.detach().double().cpu()[:, bones]
    borders = _borders(vertices, faces, weights.argmax(1), len(bones))
    pairs = _Pairs.of(_Skin(vertices, weights, areas), transforms)
    features = None if loose.features is None else loose.features.detach().double().cpu()
    tree = minimum_spanning_tree(1 / pairs.strengths(borders, features).numpy())
    tree = tree + tree.T
    root = _root(pairs.skin, transforms, torch.from_numpy(shortest_path(tree, unweighted=True)))
    order, above = breadth_first_order(tree, root, directed=False)
    parents = torch.from_numpy(above.astype("int64")).clamp(min=-1)
    places = pairs.centres[parents.clamp(min=0), torch.arange(len(bones))]
    places[root] = pairs.skin.centres[root]
    order = torch.from_numpy(order.astype("int64"))
    skeleton = _skeleton(
        bones[order], torch.where(parents[order] < 0, -1, order.argsort()[parents[order]]), places[order]
    )
    is_linked = torch.from_numpy(tree.toarray() > 0) | (borders > 0) | torch.eye(len(bones), dtype=torch.bool)
    return ExtractedSkeleton(skeleton, bones[order], is_linked[order][:, order])


def _skeleton(
    bones: Tensor,  # (J,)
    parents: Tensor,  # (J,) among them
    places: Tensor,  # (J, 3) world
) -> Skeleton:
    offsets = places - torch.where(parents[:, None] < 0, 0.0, places[parents.clamp(min=0)])
    axes = torch.eye(3, dtype=torch.float64).expand(len(bones), 3, 3)
    names = tuple(f"joint_{bone:02d}" for bone in bones.tolist())
    return Skeleton(names, parents, rigid_from_parts(axes, offsets))


def _with_skin(weights: Tensor, areas: Tensor) -> Tensor:
    """(K,) the bones that are the strongest somewhere."""
    skin = areas.new_zeros(weights.shape[1]).index_add(0, weights.argmax(1), areas)
    return (skin > SKINLESS * areas.sum()).nonzero()[:, 0]


def _borders(vertices: Tensor, faces: Tensor, strongest: Tensor, count: int) -> Tensor:
    """(K, K) metres of edges that lead from the skin of one bone into that of another."""
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values.unique(dim=0)
    lengths = (vertices[edges[:, 0]] - vertices[edges[:, 1]]).norm(dim=1)
    one, other = strongest[edges].unbind(1)
    borders = lengths.new_zeros(count * count).index_add(0, one * count + other, lengths).view(count, count)
    return (borders + borders.T).fill_diagonal_(0)


@dataclass(frozen=True)
class _Skin:
    """What K bones hold of a surface.

    Args:
        vertices: (V, 3) at rest.
        weights: (V, K).
        areas: (V,).
    """

    vertices: Tensor
    weights: Tensor
    areas: Tensor

    @property
    def masses(self) -> Tensor:
        """(K,) square metres."""
        return self.areas @ self.weights

    @property
    def centres(self) -> Tensor:
        """(K, 3) the middle of each bone's part."""
        return (self.weights * self.areas[:, None]).T @ self.vertices / self.masses[:, None]

    @property
    def diagonal(self) -> float:
        """Metres."""
        return float((self.vertices.amax(0) - self.vertices.amin(0)).norm())

    def means(
        self,
        values: Tensor,  # (V, C)
    ) -> Tensor:
        """(K, C) of values on each bone's part."""
        return (self.weights * self.areas[:, None]).T @ values / self.masses[:, None]


@dataclass(frozen=True)
class _Pairs:
    """What is known of each two of K bones.

    Args:
        skin: of the bones.
        overlaps: (K, K) in [0, 1] how much of their skin both move.
        centres: (K, K, 3) where both agree best.
        apart: (K, K) square metres by which they do not agree there, and by which that place is off their border.
    """

    skin: _Skin
    overlaps: Tensor
    centres: Tensor
    apart: Tensor

    @classmethod
    def of(
        cls,
        skin: _Skin,
        transforms: Tensor,  # (T, K, 4, 4)
    ) -> _Pairs:
        """The place of each pair is the least-squares centre of their rotation, drawn to where both move the skin."""
        shared = (skin.weights * skin.areas[:, None]).T @ skin.weights
        common = torch.einsum("vj,vk,vc->jkc", skin.weights * skin.areas[:, None], skin.weights, skin.vertices)
        middles = (skin.centres[:, None] + skin.centres) / 2
        common = torch.where(shared[..., None] > 0, common / shared.clamp_min(1e-30)[..., None], middles)
        turned = transforms[:, :, None, :3, :3] - transforms[:, None, :, :3, :3]
        shifted = transforms[:, :, None, :3, 3] - transforms[:, None, :, :3, 3]
        gram = torch.einsum("tjkab,tjkac->jkbc", turned, turned) / len(transforms)
        wanted = torch.einsum("tjkab,tjka->jkb", turned, shifted) / len(transforms)
        pull = CENTRING * torch.eye(3, dtype=gram.dtype)
        centres = torch.linalg.solve(gram + pull, CENTRING * common - wanted)
        left = (torch.einsum("tjkab,jkb->tjka", turned, centres) + shifted).square().sum(-1).mean(0)
        apart = left + CENTRING * (centres - common).square().sum(-1)
        overlaps = shared / (shared.diag()[:, None] * shared.diag()).sqrt()
        return cls(skin, overlaps, centres, apart)

    def strengths(
        self,
        borders: Tensor,  # (K, K) metres
        features: Tensor | None,  # (V, C)
    ) -> Tensor:
        """(K, K) how strongly each two are connected, positive but on the diagonal.

        The border that they share, as a part of the shorter of their two, and their overlap, less where they come
        apart, and less where they look unlike.
        """
        lengths = borders.sum(1).clamp_min(1e-12)
        shares = borders / torch.minimum(lengths[:, None], lengths)
        # Parts that share nothing at all hang on what is nearest.
        distances = torch.cdist(self.skin.centres, self.skin.centres) / self.skin.diagonal
        together = 1 / (1 + self.apart / (APART * self.skin.diagonal) ** 2)
        strengths = (shares + self.overlaps + 1e-9 * (-distances).exp()) * together
        if features is not None:
            means = normalize(self.skin.means(features), dim=1)
            strengths = strengths * (1 + means @ means.T) / 2
        return strengths.clamp_min(1e-15)


def _root(
    skin: _Skin,
    transforms: Tensor,  # (T, K, 4, 4)
    steps: Tensor,  # (K, K) along the tree
) -> int:
    """The bone that differs least from the best rigid motion of the whole, times how far it is from all the skin."""
    corners = torch.nn.functional.pad(skin.vertices - skin.vertices.mean(0), (0, 1), value=1.0)
    parts = torch.einsum("vk,va,vb->kab", skin.weights * skin.areas[:, None], corners, corners)
    whole, total = parts.sum(0), skin.areas.sum()
    local = transforms.clone()
    local[..., :3, 3] += transforms[..., :3, :3] @ skin.vertices.mean(0)
    posed = torch.einsum("tkab,kbc->tac", local[..., :3, :], parts)
    before, after = whole[:3, 3] / total, posed[..., 3] / total
    correlation = posed[..., :3] - after[..., :, None] * whole[3, :3]
    # A frame for each of the three axes spells the correlation out as points.
    rotations = best_rotations(torch.eye(3, dtype=posed.dtype)[None], correlation.transpose(-1, -2)[:, None])[:, 0]
    rigid = rigid_from_parts(rotations, after - rotations @ before)
    differences = (local - rigid[:, None])[..., :3, :]
    deviations = torch.einsum("tkab,bc,tkac->k", differences, whole, differences).clamp_min(0).sqrt()
    far = steps @ skin.masses / skin.masses.sum()
    return int(((deviations + 1e-6 * skin.diagonal) * (far + 1e-6)).argmin())
