"""Distilled against exact priors, a scene becomes the object that they show; with a mistake in a prior it does not."""

from typing import Literal

import pytest
import torch
from rich.console import Console

from a4d.geometry.cameras import concatenate, orbit
from a4d.geometry.primitives import creature, paint
from a4d.metrics import psnr
from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.priors.schedule import NoiseSchedule, noise_schedule
from a4d.randomness import generator
from a4d.render.mesh import render_mesh
from a4d.runtime import Runtime
from a4d.scenes.gaussians import GaussianScene
from a4d.scenes.seed import Seed
from a4d.views import ViewBatch, Views

SIZE, STEPS = 64, 400
RATES = {
    "means": {"from": 1e-2, "to": 5e-4, "steps": STEPS, "curve": "exponential"},
    "quaternions": 2e-2,
    "log_scales": 2e-2,
    "opacity_logits": 5e-2,
    "sh_base": {"from": 5e-2, "to": 1e-2, "steps": STEPS, "curve": "exponential"},
}


def rings(elevations, offsets, sign=1):
    """Four views a quarter turn apart for every elevation and offset, ring by ring."""
    quarter = torch.arange(4) * 90.0
    return concatenate(
        [
            orbit(sign * (quarter + offset), torch.full((4,), elevation), 2.6, 40.0, SIZE, SIZE)
            for elevation in elevations
            for offset in offsets
        ]
    )


class StoredRings(Views):
    """Two of the rings that the priors know, over one background."""

    kind: Literal["stored-rings"] = "stored-rings"
    batch: int = 4

    def sample(self, step, seed, frames):
        choice = int(torch.randint(6, (1,), generator=generator(seed, "ring", step)))
        return ViewBatch(SEEN[4 * choice : 4 * choice + 4], None, self.backgrounds(step, seed))

    def preview(self, frames):
        return ViewBatch(SEEN[:1], None, self.backgrounds(0, 0)[:1])


SEEN = rings([-10.0, 15.0, 40.0], [0.0, 45.0])
HELD_OUT = rings([0.0, 25.0], [20.0, 65.0])


class Misread(ExactPrior):
    """A prior trained with one schedule that tells another, run backwards like `add_noise` of some samplers."""

    def denoise(self, *arguments):
        self.schedule = noise_schedule()
        predicted = super().denoise(*arguments)
        self.schedule = NoiseSchedule(self.schedule.alphas_cumprod.flip(0))
        return predicted


def distilled(tmp_path, form="x0", views=1, sign=1, order=(0, 1, 2, 3), prior=ExactPrior):
    """PSNR in dB and intersection over union of masks on views that no prior knows."""
    mesh = paint(creature())
    place = (torch.arange(6)[:, None] * 4 + torch.tensor(order)).flatten()
    known = rings([-10.0, 15.0, 40.0], [0.0, 45.0], sign)
    priors = {}
    for background, level in (("black", 0.0), ("white", 1.0)):
        rgb = render_mesh(mesh, SEEN, torch.full((3,), level)).rgb
        priors[background] = prior(ExampleSet(rgb[place], views, cameras=known))
    objectives = [
        {
            "kind": "score-distillation",
            "views": background,
            "prior": background,
            "form": form,
            "guidance_scale": 1,
            "t": [0.02, {"from": 0.6, "to": 0.05, "steps": STEPS}],
        }
        for background in priors
    ]
    scene = GaussianScene.begin(
        {"kind": "gaussians", "count": 4000, "opacity": 0.2}, Seed(radius=0.8), generator(0, "begin")
    )
    problem = Problem(
        scene, {name: StoredRings(background=name) for name in priors}, build_objectives(objectives), priors=priors
    )
    config = LoopConfig.model_validate({"iterations": STEPS, "optimiser": {"rates": RATES}, "preview_seconds": 1e6})
    optimise(problem, config, tmp_path, Runtime(console=Console(quiet=True), seed=1))
    truth = render_mesh(mesh, HELD_OUT)
    with torch.no_grad():
        render = scene.render(HELD_OUT, None, torch.zeros(len(HELD_OUT), 3))
    mine, true = render.alpha > 0.5, truth.alpha > 0.5
    return float(psnr(render.rgb.clamp(0, 1), truth.rgb)), float((mine & true).sum() / (mine | true).sum())


@pytest.mark.slow
@pytest.mark.parametrize(("form", "views"), [("x0", 1), ("noise", 1), ("x0", 4)])
def test_the_hidden_object_is_found(form, views, tmp_path):
    decibels, overlap = distilled(tmp_path, form, views)
    assert decibels > 22
    assert overlap > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    "mistake",
    [{"sign": -1}, {"views": 4, "order": (1, 0, 2, 3)}, {"prior": Misread}],
    ids=["azimuth runs the other way", "views out of order", "schedule runs backwards"],
)
def test_a_mistake_in_the_prior_hides_it(mistake, tmp_path):
    decibels, _ = distilled(tmp_path, **mistake)
    assert decibels < 21
