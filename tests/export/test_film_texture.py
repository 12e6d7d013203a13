"""A film's texture on a model that moves: where frames see it, sharper and nearer to the truth than vertex colours."""

from dataclasses import replace

import pytest
import torch
from articulated_ball import articulated
from torch import Tensor

from a4d.export.film_texture import ROUNDS, film_texture
from a4d.geometry.assets.unwrapping import UnwrappedMesh, unwrap
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.render.baking import bake_texture
from a4d.render.mesh import rasterise
from a4d.scenes.articulated.gaussians import ArticulatedGaussians
from a4d.views import Frames

COUNT, PIXELS, TEXELS = 24, 128, 256
OFF = 2.0
"""Pixels by which the cameras that are known of the frames are off, about."""


def pattern(points: Tensor) -> Tensor:
    """(..., 3) sRGB of places at rest: blots of several colours, some pixels wide."""
    turned = points @ torch.tensor([[0.8, 0.3, -0.5], [-0.4, 0.9, 0.2], [0.5, 0.1, 0.85]])
    waves = torch.sin(22 * turned) + torch.sin(31 * turned.roll(1, -1) + 1) + torch.sin(13 * turned.roll(2, -1))
    return 0.5 + 0.35 * torch.tanh(2 * waves)


def smeared(points: Tensor) -> Tensor:
    """(V, 3) the pattern's means around places, as a model has them whose frames did not agree."""
    draws = torch.Generator().manual_seed(1)
    return torch.stack([pattern(points + 0.05 * torch.randn(points.shape, generator=draws)) for _ in range(64)]).mean(0)


@pytest.fixture(scope="module")
def model() -> ArticulatedGaussians:
    return articulated(moving=True)


@pytest.fixture(scope="module")
def surface(model: ArticulatedGaussians) -> UnwrappedMesh:
    rest = model.rest_mesh()
    return unwrap(Mesh(rest.vertices, rest.faces, smeared(rest.vertices)), TEXELS)


@pytest.fixture(scope="module")
def film(model: ArticulatedGaussians, surface: UnwrappedMesh) -> Frames:
    """Frames from the front, and cameras that are not quite where they were taken from."""
    times = torch.arange(COUNT) / COUNT
    azimuths = 40 * torch.sin(2 * torch.pi * times)
    cameras = orbit(azimuths, torch.full((COUNT,), 10.0), 2.8, 40.0, PIXELS, PIXELS)
    shift = torch.randn(COUNT, 2, generator=torch.Generator().manual_seed(0)) * OFF / 2**0.5
    known = [
        replace(cameras[index], intrinsics=cameras[index].intrinsics + torch.cat([torch.zeros(2), shift[index]]))
        for index in range(COUNT)
    ]
    with torch.no_grad():
        posed = model.warped(surface.mesh.vertices, times.tolist())
    pictures = []
    for index, vertices in enumerate(posed):
        seen = rasterise(Mesh(vertices, surface.mesh.faces), cameras[index])
        rgb = pattern(seen.interpolate(surface.mesh.vertices, surface.mesh.faces)[0])
        pictures.append(torch.cat([rgb, seen.is_covered[0, ..., None]], dim=-1))
    return Frames(pictures, known, times, [str(index) for index in range(COUNT)], ["train"] * COUNT)


@pytest.fixture(scope="module")
def found(model: ArticulatedGaussians, surface: UnwrappedMesh, film: Frames) -> Tensor:
    return film_texture(model, surface, film, TEXELS)


@pytest.fixture(scope="module")
def truth(surface: UnwrappedMesh) -> Tensor:
    return bake_texture(surface, lambda points: pattern(points.positions), TEXELS, samples=1)


@pytest.fixture(scope="module")
def own(surface: UnwrappedMesh) -> Tensor:
    return bake_texture(surface, lambda points: points.interpolate(surface.mesh.colours), TEXELS, samples=1)


@pytest.fixture(scope="module")
def toward_film(surface: UnwrappedMesh) -> Tensor:
    """(TEXELS, TEXELS) cosine between the surface at rest and the front, where the film looks from."""
    return bake_texture(surface, lambda points: points.normals[:, 2:], TEXELS, samples=1)[..., 0]


def detail(texture: Tensor, where: Tensor) -> float:
    """Mean square of differences between neighbouring texels."""
    across, down = texture.diff(dim=0)[:, :-1], texture.diff(dim=1)[:-1]
    return float((across.square() + down.square()).sum(-1)[where[:-1, :-1]].mean())


def test_it_is_sharper_and_nearer_to_the_truth_than_the_models_own_colours(
    found: Tensor, own: Tensor, truth: Tensor, toward_film: Tensor
) -> None:
    seen = toward_film > 0.8
    errors = [float((texture - truth).square().mean(-1)[seen].mean()) for texture in (found, own)]
    assert errors[0] < 0.5 * errors[1]
    share, before = detail(found, seen) / detail(truth, seen), detail(own, seen) / detail(truth, seen)
    assert before < 0.5 * share
    assert share < 1.1


def test_alignment_is_what_makes_it_sharp(
    model: ArticulatedGaussians,
    surface: UnwrappedMesh,
    film: Frames,
    found: Tensor,
    truth: Tensor,
    toward_film: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("a4d.export.film_texture.REACH", 0.0)
    monkeypatch.setattr("a4d.export.film_texture.ROUNDS", ROUNDS - 1)
    projected = film_texture(model, surface, film, TEXELS)
    seen = toward_film > 0.8
    errors = [float((texture - truth).square().mean(-1)[seen].mean()) for texture in (found, projected)]
    assert errors[0] < 0.7 * errors[1]


def test_what_no_frame_sees_keeps_the_models_own_colours(found: Tensor, own: Tensor, toward_film: Tensor) -> None:
    assert float((found - own)[toward_film < -0.9].abs().max()) < 1e-3
    assert float((found - own)[toward_film > 0.8].abs().mean()) > 0.03


def test_what_passes_before_the_subject_in_a_few_frames_is_outvoted(
    model: ArticulatedGaussians, surface: UnwrappedMesh, film: Frames, found: Tensor, toward_film: Tensor
) -> None:
    hidden = []
    for index, picture in enumerate(film.rgba):
        before = picture.clone()
        if index % 8 == 3:
            before[PIXELS // 3 : PIXELS // 2] = torch.tensor([1.0, 0.0, 1.0, 1.0])
        hidden.append(before)
    again = film_texture(model, surface, replace(film, rgba=hidden), TEXELS)
    assert float((again - found).abs().mean(-1)[toward_film > 0.8].mean()) < 0.02


def test_it_is_the_same_every_time(
    model: ArticulatedGaussians, surface: UnwrappedMesh, film: Frames, found: Tensor
) -> None:
    assert torch.equal(film_texture(model, surface, film, TEXELS), found)
