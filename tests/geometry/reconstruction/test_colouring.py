import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature, icosphere
from a4d.geometry.reconstruction.colouring import colour_from_view
from a4d.geometry.reconstruction.inflation import InflationSettings, inflate
from a4d.metrics import psnr
from a4d.render.mesh import rasterise, render_mesh

SIZE = 256
CAMERA = orbit(torch.zeros(1), torch.zeros(1), 2.4, 35.0, SIZE, SIZE)


def photograph(mesh, background=(0.0, 0.0, 1.0)) -> torch.Tensor:
    """Straight colours whose edge pixels hold some of a garish background, as careless cut-outs do."""
    render = render_mesh(mesh, CAMERA, torch.tensor(background))
    return torch.cat([render.rgb[0], render.alpha[0]], dim=-1)


def test_the_reference_view_looks_like_the_picture():
    picture = photograph(creature(), background=(0.0, 0.0, 0.0))
    mesh = colour_from_view(inflate(picture[..., 3], CAMERA), picture, CAMERA)
    assert psnr(render_mesh(mesh, CAMERA).rgb[0], picture[..., :3]) > 28


def test_no_background_bleeds_into_the_surface():
    subject = icosphere(0.5, 5)
    red = Mesh(subject.vertices, subject.faces, torch.tensor([0.9, 0.1, 0.0]).expand_as(subject.vertices))
    picture = photograph(red)
    mesh = colour_from_view(inflate(picture[..., 3], CAMERA), picture, CAMERA)
    assert mesh.colours is not None
    torch.testing.assert_close(mesh.colours, torch.tensor([0.9, 0.1, 0.0]).expand_as(mesh.colours), atol=0.01, rtol=0)


def test_the_back_is_softer_and_meets_the_front_without_a_step():
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    stripes = (torch.sin(x / 3.0) * 0.5 + 0.5)[..., None].expand(-1, -1, 3)
    alpha = (70 - torch.hypot(x - 127.5, y - 127.5) + 0.5).clamp(0, 1)
    picture = torch.cat([stripes, alpha[..., None]], dim=-1)
    mesh = colour_from_view(inflate(alpha, CAMERA), picture, CAMERA)
    assert mesh.colours is not None
    depth = mesh.vertices[:, 2]
    front, back = mesh.colours[depth > 0.2], mesh.colours[depth < -0.33]
    assert float(back.std()) < 0.15 * float(front.std())
    assert float(back.mean()) == pytest.approx(float(front.mean()), abs=0.05)
    a, b = mesh.faces[:, 0], mesh.faces[:, 1]
    across = (depth[a] > 0) != (depth[b] > 0)
    along = depth[a].abs() + depth[b].abs() > 0.3
    steps = (mesh.colours[a] - mesh.colours[b]).abs().amax(1)
    assert steps[across].mean() < 2 * steps[along & (depth[a] > 0)].mean()


def test_sides_fade_instead_of_streaking():
    """A pixel beside the outline would be a stripe as long as the side is deep."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    stripes = (torch.sin(y / 3.0) * 0.5 + 0.5)[..., None].expand(-1, -1, 3)
    alpha = (70 - torch.hypot(x - 127.5, y - 127.5) + 0.5).clamp(0, 1)
    picture = torch.cat([stripes, alpha[..., None]], dim=-1)
    mesh = colour_from_view(inflate(alpha, CAMERA, settings=InflationSettings(thickness=1.5)), picture, CAMERA)
    side = orbit(torch.tensor([90.0]), torch.zeros(1), 2.4, 35.0, SIZE, SIZE)
    seen = render_mesh(mesh, side, shaded=False)
    middle = seen.rgb[0, SIZE // 2 - 40 : SIZE // 2 + 40, SIZE // 2]
    assert float(middle.std(dim=0).max()) < 0.03
    assert float(middle.mean()) == pytest.approx(0.5, abs=0.05)
    front = render_mesh(mesh, CAMERA, shaded=False).rgb[0, SIZE // 2 - 40 : SIZE // 2 + 40, SIZE // 2]
    assert float(front.std(dim=0).max()) > 0.25


def test_hidden_parts_do_not_take_what_is_in_front_of_them():
    near, far = icosphere(0.15, 4), icosphere(0.4, 4)
    shift = torch.tensor([0.0, 0.0, 0.8])
    both = Mesh(
        torch.cat([near.vertices + shift, far.vertices]),
        torch.cat([near.faces, far.faces + len(near.vertices)]),
        torch.eye(3)[torch.tensor([0] * len(near.vertices) + [1] * len(far.vertices))],
    )
    picture = photograph(both, background=(0.0, 0.0, 0.0))
    plain = colour_from_view(both, picture, CAMERA)
    aware = colour_from_view(both, picture, CAMERA, rasterise(both, CAMERA).depth[0])
    assert plain.colours is not None
    assert aware.colours is not None
    centre = len(near.vertices) + (far.vertices - torch.tensor([0.0, 0, 0.4])).norm(dim=-1).argmin()
    assert plain.colours[centre, 0] > 0.95
    torch.testing.assert_close(aware.colours[centre], torch.tensor([0.0, 1, 0]), atol=0.06, rtol=0)


def test_unusable_pictures_are_refused():
    with pytest.raises(InvalidInputError, match="no opaque pixel"):
        colour_from_view(icosphere(), torch.zeros(SIZE, SIZE, 4), CAMERA)
    with pytest.raises(InvalidInputError, match="does not fit"):
        colour_from_view(icosphere(), torch.zeros(SIZE, SIZE, 3), CAMERA)
