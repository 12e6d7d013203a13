"""Base of the objectives that ask a diffusion prior about a view set's renders; who asks alike shares the answer."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from a4d.config import Number, value_at
from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.geometry.transforms import rotation_from_axis_angle, rotation_from_quaternion
from a4d.objectives.deferred import render_in_patches
from a4d.objectives.distillation import sample_timesteps
from a4d.objectives.objective import Objective, Step
from a4d.priors.prediction import Prediction, Wants, predict
from a4d.priors.prompts import blended_view_conditioning, view_prompts
from a4d.priors.protocol import Conditioning, Prior, Query, frame_mask, sample_count
from a4d.randomness import generator
from a4d.render.render import Channel, Render

NormalTurn = Literal["any", "yaw-pitch", "none"]


@dataclass(frozen=True)
class Answer:
    """A prior's prediction of a step, and from where its samples are seen.

    Args:
        prediction: of all samples.
        seen_from: S cameras, the first of each sample.
        reference: of the picture that the prior was shown, where it was an observation.
    """

    prediction: Prediction
    seen_from: Cameras
    reference: Cameras | None = None


class PriorObjective(Objective):
    """What is asked: of which prior, about which views, under which prompt and picture, at which noise levels.

    A batch of views is as many samples as the prior's modality makes of it: images, rings of views, or one clip.
    Objectives in which all of this is the same see the same noise and share one prediction.
    """

    takes_prompt = True
    views: str
    prior: str
    prompt: str = ""
    template: str = Field(default="{}", description="what is asked, with the prompt in the place of {}")
    negative_prompt: str = ""
    view_prompts: Literal["none", "sectors", "blended"] = Field(
        default="none", description="name the view in the prompt, by sector or blended between sectors"
    )
    reference: str | None = Field(
        default=None, description="observed view set whose picture conditions the prior; None: the only one, if needed"
    )
    frozen: str | None = Field(
        default=None,
        description="scene of the workspace whose render conditions the prior, or `start`, the one that the run goes "
        "on from; None: the scene's own",
    )
    t: tuple[Number, Number] = Field(default=(0.02, 0.98), description="shares of the noise schedule, ends included")
    shared_t: bool = Field(default=False, description="one noise level for all samples of a step")
    patch: int | None = Field(default=None, ge=8, le=4096, description="render in patches of this side, to save memory")
    geometry_latents: int | None = Field(
        default=None, ge=8, le=1024, description="shrink normals and mask to this side in place of encoding the colours"
    )
    normal_turn: NormalTurn = Field(
        default="any", description="how those normals are turned by chance, each view's by itself; see `random_turns`"
    )

    @field_validator("template")
    @classmethod
    def _holds_the_prompt(cls, value: str) -> str:
        if value.count("{}") != 1:
            raise ValueError("one {} must stand where the prompt goes")
        return value

    @model_validator(mode="after")
    def _one_picture(self) -> PriorObjective:
        if self.reference is not None and self.frozen is not None:
            raise ValueError("the picture is that of a reference or of a frozen scene, not both")
        return self

    @property
    def label(self) -> str:
        """The kind with the prior and the view set: a step may ask several priors about the same views."""
        return f"{self.kind}/{self.prior}/{self.views}"

    @property
    def views_read(self) -> tuple[str, ...]:
        """Those that are judged, and those whose picture the prior is shown."""
        return (self.views,) if self.reference is None else (self.views, self.reference)

    @property
    def priors_asked(self) -> tuple[str, ...]:
        """The one."""
        return (self.prior,)

    @property
    def scenes_shown(self) -> tuple[str, ...]:
        """The one that the prior is shown in place of the renders."""
        return () if self.frozen is None else (self.frozen,)

    @abstractmethod
    def wants(self, step: int) -> Wants:
        """What it needs of the prediction at a step."""

    @property
    def needs(self) -> frozenset[Channel]:
        """Normals, where they stand for latents."""
        return frozenset() if self.geometry_latents is None else frozenset({"normal"})

    def announce(self, step: Step) -> None:
        """Add what it wants to what others want of the same prediction."""
        super().announce(step)
        key = self._question(step)
        step.wanted[key] = step.wanted.get(key, Wants()) | self.wants(step.index)

    def ask(self, step: Step) -> Answer:
        """The prediction of this step, one for all who ask alike.

        Raises:
            ConfigError: the views do not make whole samples of the prior, or a reference is missing.
        """
        key = self._question(step)
        wants = step.wanted.get(key, Wants()) | self.wants(step.index)
        return step.once((key, wants), lambda: self._ask(step, wants))

    def _question(self, step: Step) -> str:
        """What tells this question from others of the same step, among them how far its gradient reaches."""
        asked = self.model_dump_json(include=set(PriorObjective.model_fields) - {"kind", "weight", "turns", "reaches"})
        return f"{asked} {step.reaching(self.reaches).reached}"

    def _ask(self, step: Step, wants: Wants) -> Answer:
        prior, batch = step.prior(self.prior), step.batch(self.views)
        rgb = self.rendered(step, lambda render: render.rgb)
        samples = sample_count(prior, len(rgb))
        # Of the prior and the view set alone, for whoever asks alike must draw the same.
        draws = generator(step.seed, f"score-distillation/{self.prior}/{self.views}", step.index)
        low, high = (value_at(share, step.index) for share in self.t)
        t = sample_timesteps(prior.schedule, (low, high), 1 if self.shared_t else samples, draws).expand(samples)
        seen_from = batch.cameras_around_subject[:: len(rgb) // samples]
        images, reference = self._image(step, prior, rgb, samples)
        query = Query(
            self._conditional(prior, seen_from, images, reference),
            prior.unconditional([self.negative_prompt] * samples, images, reference),
            batch.cameras_around_subject,
            batch.times,
        )
        if self.geometry_latents is None:
            latents = prior.encode(rgb, draws)
        else:
            latents = geometry_latents(
                step.render(self.views, self.needs), self.geometry_latents, self.normal_turn, draws
            )
        return Answer(predict(prior, latents, t, query, wants, draws), seen_from, reference)

    def rendered(self, step: Step, chosen: Callable[[Render], Tensor]) -> Tensor:
        """(B, H, W, C) what is chosen of this step's renders, in patches where it should be."""
        if self.patch is None:
            return chosen(step.render(self.views, self.needs))
        return render_in_patches(
            lambda part: chosen(step.render_from(part, self.views)), step.batch(self.views).cameras, self.patch
        )

    def _conditional(
        self, prior: Prior, seen_from: Cameras, images: Tensor | None, reference: Cameras | None
    ) -> Conditioning:
        prompt = self.template.replace("{}", self.prompt) if self.prompt else ""
        if self.view_prompts == "blended":
            return blended_view_conditioning(prior, prompt, seen_from)
        prompts = [prompt] * len(seen_from)
        if self.view_prompts == "sectors":
            prompts = view_prompts(prompt, seen_from)
        return prior.condition(prompts, images, reference)

    def _image(self, step: Step, prior: Prior, rgb: Tensor, samples: int) -> tuple[Tensor, Cameras | None]:
        """The picture a prior may condition on: the reference, or a render, of this scene or of a frozen one.

        What is conditioned on a scene that does not change cannot drift (Animate124's last stage). Of clips it is the
        frames that stay clean.
        """
        reference = self.reference or (_only_observed(step) if prior.needs_reference else None)
        if reference is not None:
            batch = step.choosing("all").batch(reference)
            if batch.pixels is not None:
                raise ConfigError(f"views '{reference}' show single pixels and no picture", "Leave out `pixels`")
            return batch.rgb[:1].expand(samples, -1, -1, -1), batch.cameras[:1]
        shown = rgb.detach() if self.frozen is None else step.render_frozen(self.frozen, self.views).rgb
        if prior.clean_frames:
            shown = shown[~frame_mask(prior, samples, len(rgb)).to(rgb.device)]
        return shown, None


def geometry_latents(render: Render, size: int, turn: NormalTurn, draws: torch.Generator) -> Tensor:
    """(B, 4, size, size) normals and the mask, which stand for latents.

    Fantasia3D (Chen et al. 2023, section 3.2), whose coarse stage asks a prior of latents so without an encoder.

    Args:
        render: with the channel `normal`.
        size: pixels.
        turn: of the normals of each view.
        draws: for the turns.
    """
    normal = render.channels["normal"]
    if turn != "none":
        normal = torch.einsum("bhwi,bij->bhwj", normal, random_turns(turn, len(normal), draws).to(normal))
    return interpolate(torch.cat([normal, render.alpha], dim=-1).permute(0, 3, 1, 2), (size, size), mode="bilinear")


def random_turns(turn: Literal["any", "yaw-pitch"], count: int, draws: torch.Generator) -> Tensor:
    """(count, 3, 3) rotations that multiply rows from the right.

    Args:
        turn: `any` is uniform over all rotations; `yaw-pitch` is R_y R_x, each by a uniform angle, of the released
            code of Fantasia3D and X-Dreamer, which favours the poles.
        count: number of rotations.
        draws: on the CPU.
    """
    if turn == "any":
        return rotation_from_quaternion(normalize(torch.randn(count, 4, generator=draws), dim=-1))
    yaw, pitch = 2 * math.pi * torch.rand(2, count, 1, generator=draws)
    x_axis, y_axis = torch.eye(3)[:2]
    return rotation_from_axis_angle(yaw * y_axis) @ rotation_from_axis_angle(pitch * x_axis)


def _only_observed(step: Step) -> str:
    names = [name for name, views in step.views.items() if views.is_observed]
    if len(names) != 1:
        raise ConfigError(
            f"which of {len(names)} observed view sets is the prior's reference?", "Set the objective's `reference`"
        )
    return names[0]
