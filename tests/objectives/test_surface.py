"""Regularisers of surfaces against closed forms and other libraries."""

import numpy as np
import pytest
import torch
import trimesh
from learning import adam_of

from a4d.errors import ConfigError
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, creature
from a4d.geometry.surfaces.isosurface.extraction import ExtractedSurface
from a4d.objectives import build_objectives
from a4d.objectives.objective import Step
from a4d.objectives.surface import neighbouring_faces
from a4d.randomness import generator
from a4d.scenes.field.scene import FieldScene
from a4d.scenes.meshes.tetmesh import TetmeshScene
from a4d.scenes.seed import Seed
from a4d.trainable import learning_parameters

SPEC = {
    "kind": "tetmesh",
    "surface": {"resolution": 12},
    "material": {"encoding": {"levels": 2, "table": 2**10, "finest_resolution": 32}},
}


def value(objective, scene):
    return build_objectives([objective])[0](Step(0, 0, scene, {}))


def showing(mesh: Mesh, **surface) -> TetmeshScene:
    """A scene whose surface is a given mesh."""
    scene = TetmeshScene.begin({**SPEC, "surface": {"resolution": 12, **surface}}, Seed(), generator(0, "begin"))
    scene._extracted = ExtractedSurface(mesh, torch.ones(1, requires_grad=True), torch.zeros(1, 2, dtype=torch.int64))
    scene._learning = learning_parameters(scene.surface)
    return scene


def test_neighbours_are_those_that_trimesh_finds():
    mesh = creature(resolution=24)
    edges, faces = neighbouring_faces(mesh)
    other = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    ours = {tuple(sorted(pair)) for pair in faces.tolist()}
    assert ours == {tuple(sorted(pair)) for pair in other.face_adjacency.tolist()}
    lengths = np.linalg.norm(np.diff(mesh.vertices.numpy()[edges.numpy()], axis=1)[:, 0], axis=-1)
    theirs = np.linalg.norm(np.diff(other.vertices[other.face_adjacency_edges], axis=1)[:, 0], axis=-1)
    assert lengths.sum() == pytest.approx(theirs.sum(), rel=1e-5)


def test_only_the_edges_of_a_box_are_bent():
    extents = (0.8, 0.6, 0.5)
    mesh = box(extents)
    bent = 4 * sum(extents)
    edges, _ = neighbouring_faces(mesh)
    whole = float((mesh.vertices[edges[:, 0]] - mesh.vertices[edges[:, 1]]).norm(dim=-1).sum())
    assert float(value({"kind": "normal-smoothness"}, showing(mesh))) == pytest.approx(bent / whole, rel=1e-5)


def test_vertices_between_their_neighbours_are_smooth():
    side = torch.arange(5) / 5.0
    corners = torch.tensor([[0, 1, 6], [0, 6, 5]])
    cells = (torch.arange(4)[:, None] * 5 + torch.arange(4)).flatten()
    flat = Mesh(torch.cartesian_prod(side, side, torch.zeros(1)), (cells[:, None, None] + corners).view(-1, 3))
    inner = torch.tensor([6, 7, 8, 11, 12, 13, 16, 17, 18])
    raised = flat.vertices.clone()
    raised[12, 2] = 0.3
    scene = showing(flat)
    smooth, rough = (
        float(value({"kind": "laplacian-smoothness"}, showing(flat.with_vertices(part))))
        for part in (flat.vertices, raised)
    )
    # The raised vertex is 0.3 off its six neighbours' mean; each of them is off by a sixth of that.
    expected = (0.3**2 + 6 * 0.05**2) / 25 / scene.surface.cell**2
    assert rough - smooth == pytest.approx(expected, rel=1e-4)
    assert len(inner) == 9


@pytest.mark.parametrize("kind", ["sign-change", "normal-smoothness", "laplacian-smoothness", "material-smoothness"])
def test_following_the_gradient_makes_it_smaller(kind):
    scene = TetmeshScene.begin(SPEC, Seed(mesh=creature(resolution=24)), generator(0, "begin"))
    group = "material_encoding" if kind.startswith("material") else "sdf"
    if group == "material_encoding":
        torch.nn.init.uniform_(scene.material.encoding.table, -1, 1, generator=torch.Generator().manual_seed(0))
    optimiser = adam_of(scene, {group: 2e-2 if group == "material_encoding" else 2e-3})
    values = []
    for _ in range(6):
        scene._forget()
        loss = value({"kind": kind}, scene)
        optimiser.zero()
        loss.backward()
        optimiser.step()
        values.append(float(loss.detach()))
    assert values[-1] < 0.97 * values[0]


def test_unequal_dual_vertices_are_told_apart_by_flexicubes_alone():
    spec = {**SPEC, "surface": {"resolution": 12, "extraction": "flexicubes"}}
    scene = TetmeshScene.begin(spec, Seed(), generator(0, "begin"))
    loss = value({"kind": "dual-deviation"}, scene)
    loss.backward()
    assert 0 < float(loss.detach()) < 1
    assert float(scene.surface.weights.grad.abs().max()) > 0
    with pytest.raises(ConfigError, match="flexicubes"):
        value({"kind": "dual-deviation"}, showing(box()))


def test_a_field_has_no_surface_to_be_smoothed():
    spec = {"encoding": {"levels": 2, "finest_resolution": 32}, "occupancy": {"resolution": 8}}
    scene = FieldScene.begin(spec, Seed(), generator(0, "begin"))
    with pytest.raises(ConfigError, match="normal-smoothness does not apply to a scene of kind 'field'"):
        value({"kind": "normal-smoothness"}, scene)
