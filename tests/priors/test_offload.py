"""Models that visit the device while they are used: when their copies come and go, and that nothing else changes."""

import weakref

import pytest
import tiny_models as tiny
import torch
from tiny_mv_vdm import mv_vdm
from tiny_priors import BUILDERS, SCHEDULE, VIEWS, pictures, samples_of

from a4d.objectives.distillation import Distillation, Request, score_distillation
from a4d.priors import offloading
from a4d.priors.offloading import OffloadedModel
from a4d.priors.placement import Placement
from a4d.priors.released.controlnet_tile import ControlNetTile
from a4d.priors.released.stable_diffusion import StableDiffusion


@pytest.fixture
def journeys(monkeypatch):
    """Weak references to the weights that have been copied to the device, which is the CPU under another name."""
    copies = []

    def copied(tensor, device):
        copy = tensor.clone()
        copies.append(weakref.ref(copy))
        return copy

    monkeypatch.setattr(offloading, "copied", copied)
    return copies


def on_the_device(journeys):
    return sum(copy() is not None for copy in journeys)


def distilled(prior, chunk=4, at_once=None):
    """The value and the images' gradient of one guided step."""
    if hasattr(prior.encoder, "chunk"):
        prior.encoder.chunk = chunk
    prior.samples_at_once = at_once
    clips = prior.modality == "multi-view-video"
    rgb = pictures(8 if clips else 4).requires_grad_()
    samples = 1 if clips else samples_of(prior)
    images = rgb.detach()[::2] if clips else rgb.detach()[:1].expand(samples, -1, -1, -1)
    cameras = VIEWS[torch.arange(8) // 2] if clips else VIEWS
    request = Request(
        prior.condition(["a cat"] * samples, images, VIEWS[:1]),
        prior.unconditional([""] * samples, images, VIEWS[:1]),
        cameras,
    )
    draws = torch.Generator().manual_seed(0)
    value = score_distillation(prior, rgb, torch.full((samples,), 300), request, Distillation(guidance_scale=5), draws)
    value.backward()
    return value.detach(), rgb.grad


def offload(prior, placement):
    """The same prior with its models placed anew, as the folder of its weights would place them."""
    models = {name: getattr(prior, name) for name in ("unet", "controlnet", "image_encoder") if hasattr(prior, name)}
    for name, model in models.items():
        place = placement.of_encoders() if name == "image_encoder" else placement
        setattr(prior, name, place.placed(model))
    if hasattr(prior, "text"):
        prior.text.model = placement.of_text(torch.float32).placed(prior.text.model)
    if hasattr(prior.encoder, "vae"):
        prior.encoder.vae = placement.placed(prior.encoder.vae)
    return prior


@pytest.mark.parametrize("name", [*BUILDERS, "mv_vdm"])
def test_a_step_is_the_same_wherever_models_lie(name, journeys):
    build = {**BUILDERS, "mv_vdm": mv_vdm}[name]
    expected = distilled(build())
    for where in ("encoders", "all"):
        found = distilled(offload(build(), Placement(offload=where)))
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, atol=0, rtol=0)
        assert journeys
        assert on_the_device(journeys) == 0


def test_models_are_on_the_device_while_they_are_used_and_no_longer(journeys, monkeypatch):
    prior = offload(StableDiffusion(tiny.unet(), tiny.vae(), tiny.text_encoder(), SCHEDULE), Placement(offload="all"))
    sizes = {name: len(list(model.state_dict())) for name, model in (("vae", prior.encoder.vae), ("unet", prior.unet))}
    during = []
    forward = prior.unet.forward
    monkeypatch.setattr(
        prior.unet._at_home.model,
        "forward",
        lambda *a, **k: during.append(on_the_device(journeys)) or forward(*a, **k),
    )
    asked = prior.condition(["a cat"])
    assert len(journeys) > 0
    assert on_the_device(journeys) == 0
    again = len(journeys)
    prior.condition(["a cat"])
    assert len(journeys) == again
    rgb = pictures(1).requires_grad_()
    latents = prior.encode(rgb)
    assert on_the_device(journeys) == 0
    encoded = len(journeys)
    with torch.no_grad():
        prior.denoise(latents.detach(), torch.tensor([300]), asked)
    assert during == [sizes["unet"]]
    assert on_the_device(journeys) == 0
    # The way back encodes again.
    latents.sum().backward()
    assert len(journeys) == encoded + sizes["unet"] + sizes["vae"]
    del latents
    assert on_the_device(journeys) == 0
    assert rgb.grad.abs().max() > 0
    prior.decode(torch.zeros(1, 4, 8, 8))
    assert on_the_device(journeys) == 0


def test_encoders_alone_leave_the_device():
    prior = offload(BUILDERS["zero123"](), Placement(offload="encoders"))
    assert isinstance(prior.image_encoder, OffloadedModel)
    assert not isinstance(prior.unet, OffloadedModel)
    prior = offload(BUILDERS["controlnet_tile"](), Placement(offload="all"))
    assert isinstance(prior, ControlNetTile)
    assert all(
        isinstance(model, OffloadedModel)
        for model in (prior.unet, prior.controlnet, prior.encoder.vae, prior.text.model)
    )


def test_a_learnt_token_reaches_an_encoder_that_is_away():
    prior = offload(BUILDERS["stable_diffusion"](), Placement(offload="encoders"))
    before = prior.text(["a <fox>"], "cpu")
    prior.text.learn("<fox>", torch.full((tiny.WIDTH,), 2.0))
    assert (prior.text(["a <fox>"], "cpu") - before).abs().max() > 1e-2


@pytest.mark.parametrize("name", [*BUILDERS, "mv_vdm"])
def test_fewer_at_once_changes_nothing(name):
    build = {**BUILDERS, "mv_vdm": mv_vdm}[name]
    prior = build()
    sizes = []
    denoise = prior.denoise
    prior.denoise = lambda latents, t, *others: sizes.append(len(t)) or denoise(latents, t, *others)
    found, expected = distilled(prior, chunk=1, at_once=1), distilled(build())
    assert set(sizes) == {1}
    assert len(sizes) == 2 * (1 if name == "mv_vdm" else samples_of(prior))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-3)


@pytest.mark.gpu
def test_a_step_leaves_nothing_on_a_card(request, within):
    # Graphs that are computed again ask a device what precisions it has, which a pretended one cannot say.
    place = "cpu" if request.config.getoption("--rehearse") else "cuda"
    held = torch.cuda.memory_allocated if place == "cuda" else lambda: 0
    if place == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    prior = offload(BUILDERS["stable_diffusion"](), Placement(place, torch.float32, offload="all"))
    assert next(prior.unet.parameters()).is_pinned() == (place == "cuda")
    before = held()
    rgb = pictures(1).to(place).requires_grad_()
    asked = prior.condition(["a cat"])
    latents = prior.encode(rgb)
    with torch.no_grad():
        noise = prior.denoise(latents.detach(), torch.tensor([300], device=place), asked)
    latents.backward(noise)
    assert rgb.grad.abs().max() > 0
    del rgb, latents, noise, asked
    prior.text._known.clear()
    within("bytes that stay", held() - before, 0)


def test_without_recomputing_the_graph_keeps_what_its_way_back_needs(journeys):
    autoencoder = OffloadedModel(tiny.vae().vae, "cpu")
    images = pictures(1, 64).permute(0, 3, 1, 2).requires_grad_()
    moments = autoencoder.encode(images).latent_dist.parameters
    kept = on_the_device(journeys)
    assert 0 < kept < len(autoencoder.state_dict())
    (found,) = torch.autograd.grad(moments.sum(), images)
    (expected,) = torch.autograd.grad(tiny.vae().vae.encode(images).latent_dist.parameters.sum(), images)
    torch.testing.assert_close(found, expected, atol=0, rtol=0)
    del moments
    assert on_the_device(journeys) == 0
