"""What objectives ask of a prior in a step: one pass for those who ask alike, into what learns, with what it offers."""

import dataclasses
import signal
from pathlib import Path

import pytest
import tiny_models as tiny
import torch
from painting import Painting, gallery
from rich.console import Console

from a4d.errors import ConfigError, Interrupted
from a4d.geometry.cameras import turntable
from a4d.objectives import build_objectives
from a4d.objectives.objective import Step
from a4d.objectives.priors import adapter_folder
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.adapters import apply_adapter
from a4d.priors.attention_maps import ATTENTION
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.priors.lora import LoraAdapter, attach_lora
from a4d.priors.prediction import Wants, predict
from a4d.priors.protocol import Query
from a4d.priors.released.stable_diffusion import StableDiffusion
from a4d.priors.schedule import noise_schedule
from a4d.runtime import Runtime, StopRequest
from a4d.views import build_views

VIEWS = {"novel": {"kind": "orbit", "batch": 2, "size": 16}}
ASK = {"views": "novel", "prior": "sd", "prompt": "a cat", "t": [0.3, 0.3]}
DISTIL = {"kind": "score-distillation", "guidance_scale": 5.0, **ASK}
TEACH = {"kind": "denoising", **ASK}


class Counted(StableDiffusion):
    """A model that counts its passes and the images in them."""

    def denoise(self, latents, *others):
        self.asked = [*getattr(self, "asked", []), len(latents)]
        return super().denoise(latents, *others)


def model():
    return Counted(tiny.unet(), tiny.vae(), tiny.text_encoder(), noise_schedule("scaled-linear"))


def step_of(prior, objectives, index=0):
    step = Step(index, 7, Painting(), build_views(VIEWS), gallery(), "cpu", {"sd": prior})
    for objective in objectives:
        objective.announce(step)
    return step


def test_objectives_that_ask_alike_share_a_pass_and_its_noise():
    prior = model()
    adapter = LoraAdapter(attach_lora(prior.unet, 2, torch.Generator().manual_seed(0)))
    both = build_objectives([DISTIL, TEACH])
    step = step_of(prior, both)
    shared = [objective(step) for objective in both]
    # With the prompt once, with a graph into the adapter, and once without it.
    assert prior.asked == [2, 2]
    assert both[0].ask(step).prediction is both[1].ask(step).prediction
    alone = [objective(step_of(prior, [objective])) for objective in both]
    for mine, theirs in zip(shared, alone, strict=True):
        torch.testing.assert_close(mine, theirs)
    sum(shared).backward()
    assert all(parameter.grad is not None for parameter in adapter.parameters())
    others = build_objectives([DISTIL, {**TEACH, "prompt": "a dog"}])
    prior.asked = []
    step = step_of(prior, others)
    for objective in others:
        objective(step)
    # Guidance alone takes one pass of twice the size.
    assert prior.asked == [4, 2]


def test_a_distillation_does_not_teach_and_a_lesson_does_not_move_the_scene():
    prior = model()
    adapter = LoraAdapter(attach_lora(prior.unet, 2, torch.Generator().manual_seed(0)))
    for spec, moves in ((DISTIL, True), (TEACH, False)):
        (objective,) = build_objectives([spec])
        step = step_of(prior, [objective])
        objective(step).backward()
        learns = [parameter.grad is not None for parameter in adapter.parameters()]
        assert (step.scene.pixels.grad is not None) == moves
        assert all(learns) != moves
        adapter.zero_grad()


def query(prior, samples):
    return Query(prior.condition(["a cat"] * samples), prior.unconditional([""] * samples))


def test_in_parts_gradients_are_the_same_and_each_part_is_computed_again():
    prior = model()
    adapter = LoraAdapter(attach_lora(prior.unet, 2, torch.Generator().manual_seed(0)))
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    found = []
    for at_once in (None, 1):
        prior.samples_at_once, prior.asked = at_once, []
        wants = Wants(into_model=True, into_latents=True, extras=frozenset({ATTENTION}))
        made = predict(
            prior, latents, torch.tensor([100, 300, 500]), query(prior, 3), wants, torch.Generator().manual_seed(2)
        )
        value = made.conditional.square().sum() + sum(
            (each[..., 2] * 50).square().sum() for each in made.extras.values()
        )
        found.append(torch.autograd.grad(value, [latents, *adapter.parameters()]))
        assert prior.asked == ([3] if at_once is None else [1] * 6)
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, atol=1e-4, rtol=1e-3)
    assert float(found[0][0].abs().max()) > 0


def test_attention_is_a_distribution_over_tokens_and_the_prediction_stays():
    prior = model()
    latents, t = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([100, 300])
    draws = torch.Generator().manual_seed
    plain = predict(prior, latents, t, query(prior, 2), Wants(unconditional=True), draws(2))
    seen = predict(prior, latents, t, query(prior, 2), Wants(True, extras=frozenset({ATTENTION})), draws(2))
    torch.testing.assert_close(seen.conditional, plain.conditional, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen.unconditional, plain.unconditional, atol=1e-5, rtol=1e-4)
    layers = [name for name, _ in prior.unet.named_modules() if name.endswith(".attn2")]
    assert set(seen.extras) == {f"{ATTENTION}/{layer}" for layer in layers}
    for maps in seen.extras.values():
        assert maps.shape[0] == 2
        assert maps.shape[2] == 77
        torch.testing.assert_close(maps.sum(-1), torch.ones(maps.shape[:2]))
    # What a prompt does not hold in common changes where the model looks.
    other = Query(prior.condition(["a dog"] * 2))
    differs = predict(prior, latents, t, other, Wants(extras=frozenset({ATTENTION})), draws(2)).extras
    assert any(float((differs[name] - seen.extras[name]).abs().max()) > 1e-4 for name in differs)


def test_a_prior_that_does_not_offer_it_says_so():
    prior = ExactPrior(ExampleSet(torch.rand(2, 8, 8, 3), cameras=turntable(2, 0.0, 3.0, 40.0, 8)))
    wants = Wants(extras=frozenset({ATTENTION}))
    with pytest.raises(ConfigError, match="offers no attention"):
        predict(prior, torch.rand(2, 3, 8, 8), torch.tensor([3, 3]), Query(prior.condition(["", ""])), wants)


def learning_problem(rate=1e-2):
    prior = StableDiffusion(tiny.unet(), tiny.vae(), tiny.text_encoder(), noise_schedule("scaled-linear"))
    adapter = LoraAdapter(attach_lora(prior.unet, 2, torch.Generator().manual_seed(0)))
    problem = Problem(
        Painting(),
        build_views(VIEWS),
        build_objectives([DISTIL, TEACH]),
        None,
        {"sd": prior},
        trainables={"sd": adapter},
    )
    loop = LoopConfig.model_validate(
        {"iterations": 5, "optimiser": {"rates": {"pixels": 0.05, "sd/lora": rate}, "clip_norm": {"sd/lora": 1.0}}}
    )
    return problem, loop


class StopAt(StopRequest):
    """Asks to stop when it is looked at for the third time."""

    looks = 0

    def __getattribute__(self, name: str) -> object:
        if name == "signal_number":
            StopAt.looks += 1
            return signal.SIGTERM if StopAt.looks >= 3 else None
        return super().__getattribute__(name)


def test_a_prior_that_learns_is_resumed_with_the_same_bits_and_used_again(tmp_path: Path):
    quiet = Runtime(console=Console(quiet=True), stop=StopRequest(), seed=3)
    whole, loop = learning_problem()
    optimise(whole, loop, tmp_path / "whole", quiet)
    with pytest.raises(Interrupted):
        optimise(learning_problem()[0], loop, tmp_path / "parts", dataclasses.replace(quiet, stop=StopAt()))
    parts, _ = learning_problem()
    optimise(parts, loop, tmp_path / "parts", quiet)
    for name, value in whole.trainables["sd"].state_dict().items():
        assert torch.equal(parts.trainables["sd"].state_dict()[name], value), name
    assert torch.equal(parts.scene.pixels, whole.scene.pixels)
    assert all(float(layer.up.detach().abs().max()) > 0 for layer in whole.trainables["sd"].layers.values())
    folder = tmp_path / "adapters" / "distill" / "sd"
    folder.mkdir(parents=True)
    whole.trainables["sd"].save(folder)
    again = model()
    latents, t = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([100, 300])
    before = again.denoise(latents, t, query(again, 2).conditional)
    apply_adapter(again, adapter_folder("distill", tmp_path / "adapters", "sd"))
    after = again.denoise(latents, t, query(again, 2).conditional)
    learnt = whole.priors["sd"].denoise(latents, t, query(again, 2).conditional)
    torch.testing.assert_close(after, learnt, atol=1e-4, rtol=1e-3)
    assert float((after - before).abs().max()) > 1e-3
