"""The open body: what its phenotypes do, and how large its file is."""

import pytest
import torch

from a4d.geometry.mesh import Mesh, enclosed_volumes
from a4d.io.bodies.open_body import FILE, open_body

BODY = open_body()


def body_with(**phenotypes):
    shape = BODY.default_shape.clone()
    for name, value in phenotypes.items():
        shape[BODY.shape_names.index(name)] = value
    return BODY.rest(shape)


def height(vertices):
    return float(vertices[:, 1].max() - vertices[:, 1].min())


def test_the_file_is_small_and_comes_with_its_licence():
    assert FILE.stat().st_size < 5e6
    assert "CC0 1.0 Universal" in FILE.with_name("LICENSE.CC0.md").read_text()
    assert "MPFB2" in FILE.with_name("NOTICE.md").read_text()


def test_it_stands_upright_and_looks_ahead():
    vertices, joints = BODY.rest()
    places = dict(zip(BODY.names, joints, strict=True))
    assert float(places["head"][1]) > float(places["pelvis"][1]) > float(places["foot.L"][1])
    assert float(places["wrist.L"][0]) > 0.3
    # Toes and nose are in front.
    assert float(places["toe1-1.L"][2]) > float(places["foot.L"][2]) + 0.05
    assert float(vertices[vertices[:, 1] < joints[:, 1].min() + 0.02][:, 2].max()) > 0.1
    assert 1.7 < height(vertices) < 1.9
    assert Mesh(vertices, BODY.faces).volume == pytest.approx(0.07, abs=0.02)


def test_phenotypes_do_what_their_names_say():
    assert height(body_with(age=0.0)[0]) < 1.0
    assert height(body_with(height=1.0)[0]) > height(body_with(height=0.0)[0]) + 0.3
    surfaces = torch.stack([body_with(weight=0.0)[0], body_with(weight=1.0)[0]])
    thin, heavy = enclosed_volumes(surfaces, BODY.faces).tolist()
    assert heavy > 1.2 * thin


def test_between_known_bodies_it_is_their_mean_and_beyond_the_last_it_stays():
    young, old = body_with(age=2 / 3)[0], body_with(age=1.0)[0]
    assert torch.allclose(body_with(age=5 / 6)[0], (young + old) / 2, atol=1e-5)
    slack, usual = body_with(muscle=0.0)[0], body_with(muscle=0.5)[0]
    assert torch.allclose(body_with(muscle=0.25)[0], (slack + usual) / 2, atol=1e-5)
    assert torch.equal(body_with(height=1.7)[0], body_with(height=1.0)[0])
    assert float((old - young).norm(dim=1).max()) > 0.01


def test_texture_coordinates_do_not_overlap():
    """Their triangles cover what a picture of them covers: 62.6 % of the atlas."""
    corners = BODY.uvs.double()
    edges = corners[:, 1:] - corners[:, :1]
    area = 0.5 * (edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
    assert float(area.abs().sum()) == pytest.approx(0.626, abs=0.01)
    assert (area < 0).all() or (area > 0).float().mean() < 0.01 or (area > 0).float().mean() > 0.99


@pytest.mark.parametrize("joint", ["lowerarm01.L", "lowerleg01.R", "head", "foot.R"])
def test_a_joint_carries_the_part_of_its_name(joint):
    vertices, joints = BODY.rest()
    place = joints[BODY.names.index(joint)]
    strongest = vertices[BODY.weights[:, BODY.names.index(joint)] > 0.5]
    assert len(strongest) > 10
    assert float((strongest.mean(0) - place).norm()) < 0.2
