import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.assets.assembly import static_asset
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.unwrapping import unwrap
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.primitives import icosphere, torus
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.render.baking import bake_normal_map, bake_texture, bake_vertex_colours, texture_map


def looked_up(image, uvs):
    """(N, C) bilinear texels at texture coordinates, as renderers look them up."""
    grid = (uvs * 2 - 1)[None, None]
    return torch.nn.functional.grid_sample(
        image.permute(2, 0, 1)[None], grid, align_corners=False, padding_mode="border"
    )[0, :, 0].T


def surface_samples(unwrapped, count=4000):
    """Points spread over the charts: (N, 3) positions and (N, 2) texture coordinates."""
    flat = Mesh(unwrapped.vertices, unwrapped.faces)
    points, faces, weights = sample_surface(flat, count, torch.Generator().manual_seed(0))
    return points, (unwrapped.uvs[unwrapped.faces[faces]] * weights[..., None]).sum(1)


def test_charts_cover_the_surface_once_and_keep_its_vertices():
    mesh = torus(sections=32)
    unwrapped = unwrap(mesh, 256)
    assert torch.equal(unwrapped.sources[unwrapped.faces], mesh.faces)
    assert float(unwrapped.uvs.min()) >= 0
    assert float(unwrapped.uvs.max()) <= 1
    assert len(unwrapped.sources) > len(mesh.vertices)
    corners = unwrapped.uvs[unwrapped.faces].double()
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs().sum() / 2)
    covered = bake_texture(unwrapped, lambda points: torch.ones(len(points.faces), 1), 512)
    assert covered.shape == (512, 512, 1)
    # Each sample sees one face; were charts to overlap, their areas would sum to more than what is covered.
    count = 0

    def counted(points):
        nonlocal count
        count += len(points.faces)
        return points.positions

    bake_texture(unwrapped, counted, 512, 1)
    assert count / 512**2 == pytest.approx(area, rel=0.01)
    assert area > 0.3


def test_a_baked_field_is_found_again_everywhere_also_at_the_seams():
    mesh = torus(sections=32)
    unwrapped = unwrap(mesh, 256)
    image = bake_texture(unwrapped, lambda points: 0.5 + 0.4 * torch.sin(5 * points.positions), 256)
    points, uvs = surface_samples(unwrapped)
    error = (looked_up(image, uvs) - (0.5 + 0.4 * torch.sin(5 * points))).abs()
    assert float(error.max()) < 0.03
    assert float(error.mean()) < 0.003


def test_texels_outside_the_charts_continue_the_nearest_one():
    unwrapped = unwrap(icosphere(subdivisions=2), 128)
    image = bake_texture(unwrapped, lambda points: torch.full((len(points.faces), 3), 0.75), 128)
    assert torch.equal(image, torch.full((128, 128, 3), 0.75))


def test_samples_within_a_texel_are_averaged():
    square = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2], [0, 2, 3]]))
    unwrapped = unwrap(square, 64)

    def stripes(points):
        return (points.positions[:, :1] * 40 % 1 < 0.5).float()

    sharp, smooth = (bake_texture(unwrapped, stripes, 64, samples) for samples in (1, 4))
    assert set(sharp.unique().tolist()) == {0.0, 1.0}
    assert float(smooth.std()) < 0.8 * float(sharp.std())


def test_vertex_colours_become_a_texture_in_the_file(tmp_path):
    mesh = torus(sections=32)
    write_asset(tmp_path / "ring.glb", bake_vertex_colours("ring", mesh, 256))
    asset = read_gltf(tmp_path / "ring.glb")
    primitive, material = asset.meshes[0].primitives[0], asset.materials[0]
    assert primitive.colours is None
    assert material.metallic == 0
    colours = looked_up(material.base_colour_map.image, primitive.uvs[0])
    nearest = torch.cdist(primitive.positions, mesh.vertices).argmin(1)
    assert float((colours - mesh.colours[nearest]).abs().max()) < 0.03
    torch.testing.assert_close(primitive.normals, mesh.vertex_normals[nearest], rtol=0, atol=1e-5)
    with pytest.raises(InvalidInputError, match="colours"):
        bake_vertex_colours("ring", Mesh(mesh.vertices, mesh.faces))


def test_a_normal_map_restores_the_directions_of_the_detailed_surface(tmp_path):
    unwrapped = unwrap(icosphere(0.5, 3), 256)

    def wavy(positions):
        return torch.nn.functional.normalize(positions + 0.05 * torch.sin(12 * positions), dim=1)

    image = bake_normal_map(unwrapped, lambda points: wavy(points.positions), 256)
    primitive = unwrapped.primitive(has_tangents=True)
    write_asset(tmp_path / "b.glb", static_asset("b", primitive, Material("b", normal_map=texture_map(image))))
    read = read_gltf(tmp_path / "b.glb")
    back, stored = read.meshes[0].primitives[0], read.materials[0].normal_map.image
    flat = Mesh(back.positions, back.faces)
    points, faces, weights = sample_surface(flat, 3000, torch.Generator().manual_seed(0))

    def interpolated(values):
        return (values[back.faces[faces]] * weights[..., None]).sum(1)

    decoded = looked_up(stored, interpolated(back.uvs[0])) * 2 - 1
    normal, tangent = interpolated(back.normals), interpolated(back.tangents)
    bitangent = torch.linalg.cross(normal, tangent[:, :3]) * tangent[:, 3:].sign()
    shown = decoded[:, :1] * tangent[:, :3] + decoded[:, 1:2] * bitangent + decoded[:, 2:] * normal
    cosine = (torch.nn.functional.normalize(shown, dim=1) * wavy(points)).sum(1).clamp(-1, 1)
    angle = torch.rad2deg(cosine.arccos())
    assert float(angle.quantile(0.98)) < 1.5
    smooth = torch.nn.functional.normalize(normal, dim=1)
    assert float(torch.rad2deg((smooth * wavy(points)).sum(1).clamp(-1, 1).arccos()).mean()) > 3 * float(angle.mean())


def test_faces_without_area_and_edges_of_many_faces_do_no_harm():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    faces = torch.tensor([[0, 1, 2], [1, 1, 1], [0, 1, 3], [0, 2, 0], [0, 1, 4]])
    unwrapped = unwrap(Mesh(vertices, faces), 64)
    assert torch.equal(unwrapped.sources[unwrapped.faces], faces)
    image = bake_texture(unwrapped, lambda points: points.positions, 64)
    assert bool(image.isfinite().all())
    with pytest.raises(InvalidInputError, match="no area"):
        unwrap(Mesh(vertices, faces[[1, 1]]), 64)


def test_what_cannot_be_baked_is_refused():
    with pytest.raises(InvalidInputError, match="texture coordinates"):
        unwrap(Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64)))
    with pytest.raises(InvalidInputError, match="not finite"):
        unwrap(Mesh(torch.full((3, 3), torch.nan), torch.tensor([[0, 1, 2]])))
