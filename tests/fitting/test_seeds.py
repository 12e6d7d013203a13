"""First guesses of a shape: a maker for every kind that can be asked for, and bodies of the size that is said."""

from dataclasses import replace
from types import SimpleNamespace
from typing import get_args

import pytest
import torch

from a4d.errors import MissingInputError
from a4d.fitting import seeds
from a4d.fitting.seed_settings import SeedConfig, ShapeConfig
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, icosphere
from a4d.geometry.reconstruction.visual_hull import Occupancy
from a4d.io.assets.ply import write_ply_mesh
from a4d.render.mesh import render_mesh
from a4d.views import Frames


def test_every_kind_that_can_be_asked_for_is_made():
    assert set(get_args(SeedConfig.model_fields["kind"].annotation)) == seeds.KINDS.keys()


def film(shape: Mesh, azimuths: torch.Tensor) -> Frames:
    """Its outlines from some sides."""
    count = len(azimuths)
    cameras = orbit(azimuths, torch.zeros(count), 3.0, 40.0, 48, 48)
    alpha = render_mesh(shape, cameras).alpha
    pictures = list(torch.cat([0.5 * alpha.expand(-1, -1, -1, 3), alpha], dim=-1))
    names = [f"{index}" for index in range(count)]
    return Frames(pictures, [cameras[index] for index in range(count)], None, names, ["train"] * count)


@pytest.mark.parametrize(
    ("azimuths", "is_solid"),
    [
        (torch.linspace(0, 300, 7), True),
        (torch.linspace(-45, 45, 7), False),
        (torch.linspace(45, 135, 7), True),
        (torch.linspace(0, 90, 7), True),
        (torch.linspace(-5, 5, 7), False),
    ],
    ids=["around", "along its side", "past its end", "side then end", "one side"],
)
def test_a_film_that_does_not_bound_its_depth_is_inflated_and_others_are_carved(
    tmp_path, azimuths: torch.Tensor, is_solid: bool
):
    log = Mesh(icosphere(0.5).vertices * torch.tensor([1.4, 0.5, 0.5]), icosphere(0.5).faces)
    frames = film(log, azimuths)
    config = SeedConfig(kind="film", resolution=32, thickness=0)
    assert seeds.degrees_seen(frames) == pytest.approx(min(float(azimuths[-1] - azimuths[0]), 160), abs=1)
    seed = seeds.KINDS["film"](seeds.Known(SimpleNamespace(path=tmp_path), frames, config, None))
    assert (seed.solid is not None, seed.mesh is not None) == (is_solid, not is_solid)
    depth = (seed.points if is_solid else seed.mesh.vertices)[:, 2]
    assert float(depth.max() - depth.min()) == pytest.approx(0.5, abs=0.2)


def test_a_leg_that_swings_is_no_part_of_the_hull_but_of_a_trunk_with_limbs(tmp_path):
    ball, leg, azimuths = icosphere(0.4, 2), box((0.12, 0.5, 0.12)), torch.linspace(0, 315, 8)
    frames = []
    for azimuth, along in zip(azimuths, torch.linspace(-0.35, 0.35, 8), strict=True):
        swung = leg.vertices + torch.stack([along, torch.tensor(-0.5), torch.tensor(0.0)])
        shape = Mesh(torch.cat([ball.vertices, swung]), torch.cat([ball.faces, leg.faces + len(ball.vertices)]))
        frames.append(film(shape, azimuth[None]))
    names, splits = [f"{index}" for index in range(8)], ["train"] * 8
    whole = Frames([each.rgba[0] for each in frames], [each.cameras[0] for each in frames], None, names, splits)
    lowest = {}
    for limbs in (None, 0.0):
        config = SeedConfig(kind="film", resolution=48, thickness=0, limbs=limbs)
        known = seeds.Known(SimpleNamespace(path=tmp_path), whole, config, None)
        lowest[limbs] = float(seeds.KINDS["film"](known).points[:, 1].min())
    assert lowest[None] > -0.5
    assert lowest[0.0] == pytest.approx(-0.75, abs=0.08)


@pytest.mark.parametrize("part", ["elsewhere", "an edge"])
def test_one_wrong_mask_does_not_carve_a_trunk_with_limbs_away(tmp_path, part: str):
    whole = film(icosphere(0.5), torch.linspace(0, 330, 12))
    wrong = torch.zeros(48, 48, 4)
    if part == "elsewhere":
        wrong[:4, :4] = 1
    else:
        wrong[:, 30:] = whole.rgba[0][:, 30:]
        assert 0.02 < float(wrong[..., 3].sum() / whole.rgba[0][..., 3].sum()) < 0.2
    frames = replace(whole, rgba=[wrong, *whole.rgba[1:]])
    config = SeedConfig(kind="film", resolution=32, thickness=0, tolerated=0.2, limbs=0)
    seed = seeds.KINDS["film"](seeds.Known(SimpleNamespace(path=tmp_path), frames, config, None))
    assert seed.solid.volume == pytest.approx(4 / 3 * torch.pi * 0.5**3, rel=0.25)


def test_frames_that_show_nothing_carve_nothing_and_some_have_to_show_it(tmp_path):
    whole = film(icosphere(0.5), torch.linspace(0, 300, 7))
    config = SeedConfig(kind="film", resolution=32, thickness=0)

    def seed(empty: list[int]) -> seeds.Seed:
        pictures = [rgba * (index not in empty) for index, rgba in enumerate(whole.rgba)]
        known = seeds.Known(SimpleNamespace(path=tmp_path), replace(whole, rgba=pictures), config, None)
        return seeds.KINDS["film"](known)

    assert seed([1, 3, 5]).solid.volume == pytest.approx(seed([]).solid.volume, rel=0.15)
    with pytest.raises(MissingInputError, match="no frame shows"):
        seed(list(range(7)))


def test_a_film_from_one_side_begins_as_what_looks_widest(tmp_path):
    slab = Mesh(icosphere(0.5).vertices * torch.tensor([0.3, 0.4, 1.0]), icosphere(0.5).faces)
    config = SeedConfig(kind="film", thickness=0)
    frames = film(slab, torch.tensor([30.0, 60.0, 90.0]))
    mesh = seeds.KINDS["film"](seeds.Known(SimpleNamespace(path=tmp_path), frames, config, None)).mesh
    extents = mesh.vertices.amax(0) - mesh.vertices.amin(0)
    # Seen from its end it would be as long as it is wide; a long strip is blown up to more than its width.
    assert extents.tolist() == pytest.approx([0.5, 0.4, 1.0], abs=0.1)


def test_a_film_without_outlines_is_refused(tmp_path):
    cameras = orbit(torch.tensor([0.0, 180.0]), torch.zeros(2), 3.0, 40.0, 8, 8)
    frames = Frames([torch.ones(8, 8, 4)] * 2, [cameras[0], cameras[1]], None, ["0", "1"], ["train"] * 2)
    known = seeds.Known(SimpleNamespace(path=tmp_path), frames, SeedConfig(kind="film"), None)
    with pytest.raises(MissingInputError, match="what of the film is its subject"):
        seeds.KINDS["film"](known)


def test_an_ellipsoid_is_as_long_as_its_axes_say():
    mesh = seeds.shape_seed(ShapeConfig(kind="ellipsoid", radius=0.5, axes=(1, 2, 0.5))).mesh
    assert mesh.vertices.abs().amax(0).tolist() == pytest.approx([0.5, 1.0, 0.25], rel=0.02)


def test_a_cylinder_stands_upright_and_is_closed():
    mesh = seeds.shape_seed(ShapeConfig(kind="cylinder", radius=0.75, axes=(1, 0.8, 1))).mesh
    assert mesh.vertices.abs().amax(0).tolist() == pytest.approx([0.75, 0.6, 0.75], rel=0.01)
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(torch.pi * 0.75**2 * 1.2, rel=0.01)


def test_a_coarse_mesh_is_turned_centred_and_scaled(tmp_path):
    lying = box((0.4, 2.0, 0.2)).vertices[:, [0, 2, 1]] * torch.tensor([1.0, 1.0, -1.0])
    path = tmp_path / "coarse.ply"
    write_ply_mesh(path, Mesh(30 * lying + 7, box().faces))
    config = ShapeConfig(kind="mesh", file=path, radius=0.9, up="+z", front="-y")
    mesh = seeds.shape_seed(config).mesh
    assert config.files == [path]
    extents = torch.tensor([0.4, 2.0, 0.2])
    torch.testing.assert_close(mesh.vertices.amax(0), 0.9 * extents / extents.norm(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mesh.vertices.amin(0), -0.9 * extents / extents.norm(), rtol=1e-4, atol=1e-4)
    assert mesh.volume > 0
    with pytest.raises(MissingInputError, match=r"nowhere.obj does not exist"):
        _ = ShapeConfig(kind="mesh", file=tmp_path / "nowhere.obj").files
    with pytest.raises(ValueError, match="belongs to the kind `mesh`"):
        ShapeConfig(kind="ellipsoid", file=path)


def test_a_ball_has_a_radius_and_no_surface():
    seed = seeds.shape_seed(ShapeConfig(radius=0.3))
    assert (seed.radius, seed.mesh) == (0.3, None)


def test_what_lies_beside_the_subject_is_no_part_of_it():
    values = torch.zeros(12, 12, 12, dtype=torch.bool)
    values[1:7, 1:7, 1:7] = values[7, 7, 7] = values[9:11, 9:11, 9:11] = True
    part = Occupancy(values, torch.zeros(3), 0.1).largest_part()
    assert int(part.values.sum()) == 6**3 + 1
    assert not part.values[9:, 9:, 9:].any()
