"""The objective that asks a diffusion prior what the renders of a view set should look like."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from a4d.config import Number, value_at
from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.geometry.transforms import rotation_from_quaternion
from a4d.objectives.deferred import render_in_patches
from a4d.objectives.distillation import (
    Distillation,
    Request,
    latent_distillation,
    sample_timesteps,
    score_distillation,
)
from a4d.objectives.objective import Objective, Step
from a4d.priors.camera_codes import angle_between_views
from a4d.priors.prompts import blended_view_conditioning, view_prompts
from a4d.priors.protocol import Conditioning, GuidanceForm, Prior, frame_mask, sample_count
from a4d.priors.schedule import Weighting
from a4d.randomness import generator
from a4d.render.render import Render
from a4d.views import ObservedViews


class ScoreDistillation(Objective):
    """Moves renders toward what a prior expects under a prompt, a picture or a camera; its value is a gradient's norm.

    A batch of views is as many samples as the prior's modality makes of it: images, rings of views, or one clip.
    """

    kind: Literal["score-distillation"] = "score-distillation"
    views: str
    prior: str
    prompt: str = ""
    negative_prompt: str = ""
    view_prompts: Literal["none", "sectors", "blended"] = Field(
        default="none", description="name the view in the prompt, by sector or blended between sectors"
    )
    reference: str | None = Field(
        default=None, description="observed view set whose picture conditions the prior; None: the only one, if needed"
    )
    frozen: str | None = Field(
        default=None, description="scene of the workspace whose render conditions the prior; None: the scene's own"
    )
    weigh_by_angle: bool = Field(default=False, description="weigh a view by its angle from the reference over 180")
    t: tuple[Number, Number] = Field(default=(0.02, 0.98), description="shares of the noise schedule, ends included")
    form: Literal["noise", "x0"] = "noise"
    guidance_scale: Number
    guidance: GuidanceForm = "from-unconditional"
    guidance_rescale: float = Field(default=0.0, ge=0, le=1)
    x0_rescale: float = Field(default=0.0, ge=0, le=1)
    weighting: Weighting | None = None
    normalise: Literal["images", "samples"] = "images"
    clip: float | None = Field(default=None, gt=0)
    patch: int | None = Field(default=None, ge=8, le=4096, description="render in patches of this side, to save memory")
    geometry_latents: int | None = Field(
        default=None, ge=8, le=1024, description="shrink normals and mask to this side in place of encoding the colours"
    )

    @model_validator(mode="after")
    def _one_picture(self) -> ScoreDistillation:
        if self.reference is not None and self.frozen is not None:
            raise ValueError("the picture is that of a reference or of a frozen scene, not both")
        return self

    @property
    def label(self) -> str:
        """The kind with the prior and the view set: a step may ask several priors about the same views."""
        return f"{self.kind}/{self.prior}/{self.views}"

    def __call__(self, step: Step) -> Tensor:
        """The norm of the latents' gradient, which goes back through the encoder to the scene.

        Raises:
            ConfigError: the views do not make whole samples of the prior, or a reference is missing.
        """
        prior, batch = step.prior(self.prior), step.batch(self.views)
        rgb = self._render(step)
        samples = sample_count(prior, len(rgb))
        draws = generator(step.seed, self.label, step.index)
        low, high = (value_at(share, step.index) for share in self.t)
        t = sample_timesteps(prior.schedule, (low, high), samples, draws)
        request = self._request(step, prior, rgb, batch.cameras, samples)
        if self.geometry_latents is None:
            return score_distillation(prior, rgb, t, request, self._distillation(step.index), draws)
        latents = geometry_latents(step.render(self.views), self.geometry_latents, draws)
        return latent_distillation(prior, latents, t, request, self._distillation(step.index), draws)

    def _render(self, step: Step) -> Tensor:
        if self.patch is None:
            return step.render(self.views).rgb
        return render_in_patches(
            lambda part: step.render_from(part, self.views).rgb, step.batch(self.views).cameras, self.patch
        )

    def _request(self, step: Step, prior: Prior, rgb: Tensor, cameras: Cameras, samples: int) -> Request:
        seen_from = cameras[:: len(rgb) // samples]
        images, reference = self._image(step, prior, rgb, samples)
        factors = None
        if self.weigh_by_angle:
            if reference is None:
                raise ConfigError(f"{self.label}: weigh_by_angle needs a reference")
            factors = angle_between_views(seen_from, reference) / 180
        return Request(
            self._conditional(prior, seen_from, images, reference),
            prior.unconditional([self.negative_prompt] * samples, images, reference),
            cameras,
            step.batch(self.views).times,
            factors,
        )

    def _conditional(
        self, prior: Prior, seen_from: Cameras, images: Tensor | None, reference: Cameras | None
    ) -> Conditioning:
        if self.view_prompts == "blended":
            return blended_view_conditioning(prior, self.prompt, seen_from)
        prompts = [self.prompt] * len(seen_from)
        if self.view_prompts == "sectors":
            prompts = view_prompts(self.prompt, seen_from)
        return prior.condition(prompts, images, reference)

    def _image(self, step: Step, prior: Prior, rgb: Tensor, samples: int) -> tuple[Tensor, Cameras | None]:
        """The picture a prior may condition on: the reference, or a render, of this scene or of a frozen one.

        What is conditioned on a scene that does not change cannot drift (Animate124's last stage). Of clips it is the
        frames that stay clean.
        """
        reference = self.reference or (_only_observed(step) if prior.needs_reference else None)
        if reference is not None:
            batch = step.batch(reference)
            return batch.rgb[:1].expand(samples, -1, -1, -1), batch.cameras[:1]
        shown = rgb.detach() if self.frozen is None else step.render_frozen(self.frozen, self.views).rgb
        if prior.clean_frames:
            shown = shown[~frame_mask(prior, samples, len(rgb)).to(rgb.device)]
        return shown, None

    def _distillation(self, step: int) -> Distillation:
        return Distillation(
            self.form,
            value_at(self.guidance_scale, step),
            self.guidance,
            self.guidance_rescale,
            self.x0_rescale,
            self.weighting,
            self.normalise,
            self.clip,
        )


def geometry_latents(render: Render, size: int, draws: torch.Generator) -> Tensor:
    """(B, 4, size, size) normals, each view's turned by chance, and the mask, which stand for latents.

    Fantasia3D (Chen et al. 2023, section 3.2), whose coarse stage asks a prior of latents so without an encoder.

    Raises:
        ConfigError: the scene renders no normals.
    """
    if render.normal is None:
        raise ConfigError("there are no normals to distil", "Choose a scene and a shading that render normals")
    turns = rotation_from_quaternion(normalize(torch.randn(len(render.normal), 4, generator=draws), dim=-1))
    turned = torch.einsum("bhwi,bij->bhwj", render.normal, turns.to(render.normal))
    return interpolate(torch.cat([turned, render.alpha], dim=-1).permute(0, 3, 1, 2), (size, size), mode="bilinear")


def _only_observed(step: Step) -> str:
    names = [name for name, views in step.views.items() if isinstance(views, ObservedViews)]
    if len(names) != 1:
        raise ConfigError(
            f"which of {len(names)} observed view sets is the prior's reference?", "Set the objective's `reference`"
        )
    return names[0]
