"""Attention held to the silhouette: what it compares, where its gradient reaches, what the next run goes on from."""

import dataclasses

import pytest
import torch
from guided import SIZES, attached, awakened, cameras, model, noisy, query
from painting import Painting, gallery
from rich.console import Console
from test_predictions import StopAt

from a4d.config import parse
from a4d.errors import ConfigError, Interrupted
from a4d.objectives import build_objectives
from a4d.objectives.attention_mask import AttentionMask, alignment_errors, layer_size
from a4d.objectives.objective import Step
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.adapters import apply_adapter
from a4d.priors.attention_maps import ATTENTION, ATTENTION_LOGITS, MAPS
from a4d.priors.prediction import Wants, predict
from a4d.runtime import Runtime, StopRequest
from a4d.views import build_views

VIEWS = {"novel": {"kind": "orbit", "batch": 2, "size": 16}}
ASK = {"views": "novel", "prior": "sd", "prompt": "a cat", "t": [0.3, 0.3], "view_prompts": "sectors"}
ALIGN = {"kind": "attention-mask", **ASK}
DISTIL = {"kind": "score-distillation", "guidance_scale": 5.0, **ASK}
TEACH = {"kind": "denoising", **ASK}
T = torch.tensor([100, 300])


def painted():
    """A disc in the middle, whose silhouette is soft enough to move."""
    scene = Painting()
    rows = torch.linspace(-1, 1, 16)
    with torch.no_grad():
        scene.pixels[..., 3] = torch.sigmoid(8 * (0.6 - (rows[:, None] ** 2 + rows**2).sqrt()))
    return scene


def step_of(prior, objectives, scene=None):
    step = Step(0, 7, scene or painted(), build_views(VIEWS), gallery(), "cpu", {"sd": prior})
    for objective in objectives:
        objective.announce(step)
    return step


def by_hand(prior, asked, adapter, layer):
    """Scaled scores (B, H, L, T) of a layer, of its weights and the adapter's factors."""
    module, seen = prior.unet.get_submodule(layer), {}
    hook = module.register_forward_pre_hook(
        lambda _, given, told: seen.update(to_q=given[0], to_k=told["encoder_hidden_states"]), with_kwargs=True
    )
    prior.denoise(noisy(), T, asked.conditional, asked.seen)
    hook.remove()
    guidance = adapter.told(asked.conditional, asked.cameras, 2)["cross_attention_kwargs"]["row_guidance"]
    projected = []
    for name, tokens in seen.items():
        update = adapter.layers[layer.replace(".", "/")][name]
        factors = [
            torch.einsum("rik,kd,bd->bri", made.up, made.down, getattr(guidance, feature))
            for feature, made in update.generators.items()
        ]
        weights = module.get_submodule(name).weight + update.up @ torch.cat(factors, dim=1)
        projected.append((tokens @ weights.mT).unflatten(-1, (module.heads, -1)))
    return torch.einsum("blhd,bthd->bhlt", *projected) / projected[0].shape[-1] ** 0.5


@torch.no_grad()
def test_maps_are_the_attention_computed_by_hand():
    prior = model(**SIZES)
    adapter = awakened(attached(prior))
    asked = query(prior, cameras(0.0, 90.0), ["a cat", "a dog"])
    _, maps = prior.denoise_with(noisy(), T, asked.conditional, asked.seen, sorted(MAPS))
    for place in ("down_blocks.0", "mid_block"):
        layer = f"{place}.attentions.0.transformer_blocks.0.attn2"
        scores = by_hand(prior, asked, adapter, layer)
        assert float(scores.std()) > 0.1
        torch.testing.assert_close(maps[f"{ATTENTION_LOGITS}/{layer}"], scores.mean(1), atol=1e-5, rtol=1e-4)
        shares = scores.exp() / scores.exp().sum(-1, keepdim=True)
        torch.testing.assert_close(maps[f"{ATTENTION}/{layer}"], shares.mean(1), atol=1e-5, rtol=1e-4)


def test_each_image_and_layer_is_compared_with_the_mask_at_its_own_size():
    mask = torch.zeros(2, 16, 16, 1)
    mask[0, :8], mask[1, :, 4:8] = 1, 1
    covered = torch.zeros(8, 8)
    covered[:4] = 1
    small = torch.zeros(4, 4)
    small[:2] = 1
    exact = {"fine": torch.stack([3 * covered.flatten() + 5, torch.rand(64)]), "coarse": small.flatten().expand(2, -1)}
    errors = alignment_errors(exact, mask, (2, 4, 8, 8))
    assert float(errors[0]) < 1e-5
    # Half of the other image's coarse map is right by chance, and what differs is a mean over both layers.
    assert float(errors[1]) > 0.2
    scaled = {name: torch.stack([maps[0], 7 * maps[1] - 2]) for name, maps in exact.items()}
    torch.testing.assert_close(alignment_errors(scaled, mask, (2, 4, 8, 8)), errors, atol=1e-5, rtol=1e-5)
    thirds = alignment_errors({"one": torch.tensor([[0.0, 1, 1, 1]])}, mask[1:], (1, 4, 2, 2))
    torch.testing.assert_close(thirds, torch.tensor([(0.5 + 1 + 0.5 + 1) / 4]))


def test_the_mask_is_shrunk_by_area_so_that_every_pixel_has_a_gradient():
    mask = torch.full((1, 64, 64, 1), 0.5, requires_grad=True)
    maps = {"one": torch.rand(1, 16, generator=torch.Generator().manual_seed(0))}
    alignment_errors(maps, mask, (1, 4, 8, 8)).sum().backward()
    torch.testing.assert_close(mask.grad.abs(), torch.full_like(mask, 1 / 64**2))


def test_the_size_of_a_layer_follows_from_its_tokens():
    assert layer_size(96 * 64, 96, 64) == (96, 64)
    assert layer_size(3 * 2, 9, 5) == (3, 2)
    with pytest.raises(ConfigError, match="no picture"):
        layer_size(17, 8, 8)


@pytest.mark.parametrize("scores", ["probabilities", "logits"])
def test_its_gradient_reaches_mask_colours_camera_network_and_every_layer(scores):
    prior = model(**SIZES)
    adapter = attached(prior)
    (objective,) = build_objectives([{**ALIGN, "scores": scores}])
    optimiser = torch.optim.Adam(adapter.parameters(), 1e-3)
    for _ in range(2):
        step = step_of(prior, [objective])
        value = objective(step)
        assert 0 < float(value.detach()) < 1
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    gradient = step.scene.pixels.grad
    assert float(gradient[..., :3].abs().max()) > 0
    assert float((gradient[..., 3] != 0).float().mean()) > 0.5
    assert all(float(each.grad.abs().max()) > 0 for each in adapter.camera_network.parameters())
    # No attention looks at what the last layer passes on.
    last = adapter.layers["up_blocks/1/attentions/1/transformer_blocks/0/attn2"]
    silent = {id(each) for name in ("to_v", "to_out") for each in last[name].parameters()}
    for layer in adapter.layers.values():
        for each in layer.parameters():
            assert (each.grad is not None and float(each.grad.abs().max()) > 0) == (id(each) not in silent)


def test_a_detached_mask_leaves_the_silhouette_alone():
    prior = model()
    attached(prior)
    values, gradients = [], []
    for detached in (False, True):
        (objective,) = build_objectives([{**ALIGN, "detach_mask": detached}])
        step = step_of(prior, [objective])
        alpha = step.render("novel").alpha
        value = objective(step)
        values.append(float(value.detach()))
        gradients.append(torch.autograd.grad(value, alpha, allow_unused=True)[0])
    assert values[0] == values[1]
    assert float((gradients[0] != 0).float().mean()) > 0.5
    assert gradients[1] is None


def test_images_of_a_batch_do_not_see_each_other():
    prior = model()
    awakened(attached(prior))
    mask, wants = torch.rand(2, 16, 16, 1, generator=torch.Generator().manual_seed(4)), Wants(extras=MAPS)
    found = []
    for seen, scale in ((cameras(0.0, 90.0), 1.0), (cameras(0.0, 200.0), 3.0)):
        latents = noisy() * torch.tensor([1.0, scale]).view(2, 1, 1, 1)
        made = predict(prior, latents, T, query(prior, seen), wants, torch.Generator().manual_seed(2))
        maps = {name: values[..., 2] for name, values in made.extras.items()}
        found.append(alignment_errors(maps, mask, latents.shape))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-6, rtol=1e-6)
    assert abs(float(found[0][1] - found[1][1])) > 1e-4


def test_it_shares_the_pass_of_score_distillation_and_looks_at_the_half_with_the_prompt():
    prior = model()
    attached(prior)
    asked = []
    denoise = prior.denoise
    prior.denoise = lambda latents, t, conditioning, seen: (
        asked.append((len(latents), torch.is_grad_enabled())) or denoise(latents, t, conditioning, seen)
    )
    both = build_objectives([DISTIL, {**ALIGN, "weight": 0.1}])
    step = step_of(prior, both)
    shared = [objective(step) for objective in both]
    assert asked == [(2, True), (2, False)]
    prediction = both[1].ask(step).prediction
    assert prediction is both[0].ask(step).prediction
    assert not prediction.unconditional.requires_grad
    alone = [objective(step_of(prior, [objective])) for objective in both]
    for mine, theirs in zip(shared, alone, strict=True):
        torch.testing.assert_close(mine, theirs)
    prior.samples_at_once = 1
    torch.testing.assert_close(both[1](step_of(prior, both)), shared[1], atol=1e-5, rtol=1e-4)


def test_the_subject_is_the_first_noun_phrase_or_named():
    prior = model()
    found = {}
    for prompt, subject in (("a cat on a mat", None), ("a cat on a mat", "cat"), ("a cat on a mat", "mat")):
        (objective,) = build_objectives([{**ALIGN, "prompt": prompt, "subject": subject}])
        found[subject] = float(objective(step_of(prior, [objective])).detach())
    assert found[None] == found["cat"] != found["mat"]
    assert prior.text.places("a cat on a mat", "mat") == [8, 9, 10]
    with pytest.raises(ConfigError, match="does not hold 'dog'"):
        parse(AttentionMask, {**ALIGN, "subject": "dog"})
    (late,) = build_objectives([{**ALIGN, "prompt": "b" * 90 + " in a mat", "subject": "mat"}])
    with pytest.raises(ConfigError, match="does not read 'mat'"):
        late(step_of(prior, [late]))


def test_several_subjects_are_warned_of():
    (one, two, chosen) = build_objectives(
        [ALIGN, {**ALIGN, "prompt": "a dog and a cat"}, {**ALIGN, "prompt": "a dog and a cat", "subject": "cat"}]
    )
    assert one.warnings == chosen.warnings == ()
    assert len(two.warnings) == 1
    assert "'dog' is aligned with it, not cat" in two.warnings[0]


def problem():
    prior = model()
    adapter = attached(prior)
    objectives = build_objectives([DISTIL, {**ALIGN, "weight": 0.1}, TEACH])
    return Problem(painted(), build_views(VIEWS), objectives, None, {"sd": prior}, trainables={"sd": adapter})


def test_a_run_is_resumed_with_the_same_bits_and_the_next_goes_on_from_it(tmp_path):
    rates = {"pixels": 0.05, "sd/lora": 1e-2, "sd/camera": 1e-3}
    loop = LoopConfig.model_validate({"iterations": 4, "optimiser": {"rates": rates}})
    quiet = Runtime(console=Console(quiet=True), stop=StopRequest(), seed=3)
    whole, parts = problem(), problem()
    begun = {name: value.clone() for name, value in whole.trainables["sd"].state_dict().items()}
    optimise(whole, loop, tmp_path / "whole", quiet)
    StopAt.looks = 0
    with pytest.raises(Interrupted):
        optimise(problem(), loop, tmp_path / "parts", dataclasses.replace(quiet, stop=StopAt()))
    optimise(parts, loop, tmp_path / "parts", quiet)
    learnt, resumed = (each.trainables["sd"].state_dict() for each in (whole, parts))
    for name, value in learnt.items():
        assert torch.equal(resumed[name], value), name
        assert not torch.equal(begun[name], value), name
    assert torch.equal(parts.scene.pixels, whole.scene.pixels)
    whole.trainables["sd"].save(tmp_path)
    following = problem()
    following.priors["sd"] = model()
    apply_adapter(following.priors["sd"], tmp_path)
    following.trainables["sd"] = attached(following.priors["sd"])
    asked, t = query(whole.priors["sd"], cameras(0.0, 90.0)), torch.tensor([100, 300])
    with torch.no_grad():
        last, first = (
            each.priors["sd"].denoise(noisy(), t, asked.conditional, asked.seen) for each in (whole, following)
        )
    assert torch.equal(first, last)
    optimise(following, loop, tmp_path / "following", quiet)
    assert all(not torch.equal(value, learnt[name]) for name, value in following.trainables["sd"].state_dict().items())
