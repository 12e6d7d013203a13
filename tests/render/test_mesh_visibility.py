"""The choice of who finds visible faces, and the conventions of nvdiffrast, played by a stand-in."""

import importlib.util
import sys
import types

import pytest
import torch

from a4d.errors import BackendUnavailableError, UsageError
from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.primitives import icosphere
from a4d.render.backends import availability
from a4d.render.mesh import rasterise
from a4d.render.mesh_gradients import VISIBILITY, view_mesh


def rasterize(context, clip, faces, resolution, grad_db):
    """The published output: u and v weigh corners 0 and 1, then depth z / w and face + 1; the first row at y = -1."""
    height, width = resolution
    images = []
    for points in clip.double():
        image = torch.zeros(height, width, 4, dtype=torch.float64)
        image[..., 2] = 1
        row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        x, y = (column + 0.5) / width * 2 - 1, (row + 0.5) / height * 2 - 1
        for index, face in enumerate(faces.tolist()):
            px, py, pz, pw = points[face].T
            ex, ey = px - x[..., None] * pw, py - y[..., None] * pw
            areas = ex.roll(-1, -1) * ey.roll(-2, -1) - ey.roll(-1, -1) * ex.roll(-2, -1)
            weights = areas / areas.sum(-1, keepdim=True)
            depth = (weights @ pz) / (weights @ pw)
            nearer = (weights >= 0).all(-1) & (depth < image[..., 2]) & (depth > -1)
            values = torch.stack([weights[..., 0], weights[..., 1], depth, torch.full_like(depth, index + 1)], dim=-1)
            image[nearer] = values[nearer]
        images.append(image)
    return torch.stack(images).float(), None


@pytest.fixture
def stand_in(monkeypatch):
    module = types.ModuleType("nvdiffrast.torch")
    module.RasterizeCudaContext = lambda device: None
    module.rasterize = rasterize
    package = types.ModuleType("nvdiffrast")
    package.torch = module
    monkeypatch.setitem(sys.modules, "nvdiffrast", package)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", module)
    yield
    sys.modules.pop("a4d.render.mesh_nvdiffrast", None)


def test_both_find_the_same_faces(stand_in):
    from a4d.render.mesh_nvdiffrast import rasterise_in_camera

    mesh = icosphere(0.6, 2)
    centred = orbit(torch.tensor([20.0, 130.0]), torch.tensor([25.0, -15.0]), 2.5, 35.0, 40, 30)
    cameras = Cameras(centred.world_from_camera, centred.intrinsics + torch.tensor([0, 4.0, 3, -2]), 40, 30)
    view = view_mesh(mesh.vertices, mesh.faces, cameras)
    found, expected = rasterise_in_camera(view.in_camera, mesh.faces, cameras, 0.01), rasterise(mesh, cameras)
    same = found.face == expected.face
    assert same.float().mean() > 0.998
    torch.testing.assert_close(found.barycentric[same], expected.barycentric[same], rtol=0, atol=1e-4)
    torch.testing.assert_close(found.depth[same], expected.depth[same], rtol=0, atol=1e-5)


@pytest.mark.parametrize("pairs", [2**23, 500])
def test_plain_torch_sees_what_the_kernels_see(monkeypatch, pairs):
    monkeypatch.setattr("a4d.render.mesh_torch.PAIRS", pairs)
    ball, inner = icosphere(0.6, 2), icosphere(0.3, 2)
    # Two balls that cut each other, one of them around the camera of the second view, and a large triangle behind.
    vertices = torch.cat([ball.vertices, inner.vertices + torch.tensor([0.5, 0.2, 0.3])])
    vertices = torch.cat([vertices, torch.tensor([[-4.0, -3, -1], [4.0, -3, -1], [0, 4, -1]])])
    faces = torch.cat([ball.faces, inner.faces + len(ball.vertices), torch.tensor([[0, 1, 2]]) + len(vertices) - 3])
    cameras = orbit(
        torch.tensor([20.0, 60.0, 0.0]), torch.tensor([25.0, 20.0, 0.0]), torch.tensor([2.5, 0.7, 0.2]), 50, 48, 36
    )
    expected = view_mesh(vertices, faces, cameras)
    found = view_mesh(vertices, faces, cameras, backend="torch")
    same = found.fragments.face == expected.fragments.face
    assert same.float().mean() > 0.999
    assert len(expected.fragments.face.unique()) > 100
    for name in ("barycentric", "depth"):
        ours, theirs = (getattr(view.fragments, name)[same] for view in (found, expected))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.skipif(importlib.util.find_spec("nvdiffrast") is not None, reason="nvdiffrast is installed")
def test_a_backend_that_is_absent_or_unknown_is_refused():
    mesh, camera = icosphere(0.6, 1), orbit(torch.zeros(1), torch.zeros(1), 2.5, 35.0, 8, 8)
    with pytest.raises(BackendUnavailableError, match="nvdiffrast"):
        view_mesh(mesh.vertices, mesh.faces, camera, backend="nvdiffrast")
    with pytest.raises(UsageError, match="opengl"):
        view_mesh(mesh.vertices, mesh.faces, camera, backend="opengl")


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["numba", "torch", "nvdiffrast"])
def test_a_card_agrees_with_the_cpu(card, within, backend):
    if reason := availability(VISIBILITY)[backend]:
        pytest.skip(reason)
    mesh = icosphere(0.6, 3 if card == "cuda" else 1)
    cameras = orbit(torch.tensor([20.0, 130.0]), torch.tensor([25.0, -15.0]), 2.5, 35.0, 64, 64)
    outcomes = []
    for device, name in (("cpu", "numba"), (card, backend)):
        vertices = mesh.vertices.clone().to(device).requires_grad_()
        view = view_mesh(vertices, mesh.faces.to(device), cameras.to(device), backend=name)
        image = view.antialias(view.interpolate(mesh.colours.to(device)))
        image.square().sum().backward()
        outcomes.append((image.detach().cpu(), vertices.grad.cpu()))
    (image, gradient), (mine, mine_by) = outcomes
    # nvdiffrast snaps vertices to a sixteenth of a pixel or so: pixels along outlines may show another face.
    snapped = backend == "nvdiffrast"
    differs = (mine - image).abs().amax(dim=-1) > 1e-5
    within("pixels that differ", differs.float().mean(), 0.01 if snapped else 0)
    within("gradient by vertices", (mine_by - gradient).norm() / gradient.norm(), 0.1 if snapped else 1e-3)
