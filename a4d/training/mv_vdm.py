"""MV-VDM as the training loop sees it: clips of several views, a loss on all frames but the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import mse_loss

from a4d.config import Config
from a4d.errors import ConfigError, InvalidInputError, UsageError
from a4d.geometry.cameras import Cameras
from a4d.io.captures.multi_view_dataset import GREY, ClipEntry, FrameChoice, read_clip, read_entries
from a4d.io.films.video import write_video
from a4d.memory import PICTURE_PIXEL, Demand
from a4d.priors.catalogue import find, locate
from a4d.priors.components import resized
from a4d.priors.mv_vdm.assembly import (
    adapter_file,
    around_unet,
    assemble,
    assemble_new,
    load_trained,
    save_trained,
)
from a4d.priors.mv_vdm.prior import MultiViewVideoDiffusion
from a4d.priors.protocol import Conditioning, Query
from a4d.priors.sampling import known_first_frames, sample
from a4d.priors.weights_folder import WeightsFolder
from a4d.randomness import generator
from a4d.training.model import Model, ModelTraining

HELD_OUT_SEED = 10**6
LEVELS = (0.2, 0.5, 0.9)
"""Shares of the noise schedule at which held-out losses are taken."""


class ClipData(Config):
    """What a sample is, and which clips are trained on."""

    path: Path | None = Field(default=None, description="folder of the data set")
    samples: int = Field(default=1, ge=1, le=1024)
    views: int = Field(default=4, ge=1, le=64)
    frames: int = Field(default=16, ge=2, le=1024)
    stride: int = Field(default=3, ge=1, description="frames of the film from one of the sample to the next")
    size: int = Field(default=256, ge=8, le=2048, multiple_of=8)
    text_dropout: float = Field(default=0.1, ge=0, le=1)
    held_out: int = Field(default=8, ge=1)


class Validation(Config):
    """What is shown of held-out clips."""

    clips: int = Field(default=2, ge=1, le=1024)
    steps: int = Field(default=25, ge=1, le=1000)
    guidance_scale: float = 7.5


class MultiViewVideoTraining(ModelTraining):
    """Everything that decides a training of MV-VDM."""

    data: ClipData = ClipData()
    validation: Validation = Validation()
    gradient_checkpointing: bool = True
    weights: dict[str, Path] = Field(default={}, description="folders of the catalogue's entries, by name")

    def memory(self) -> list[Demand]:
        """The pictures of a batch."""
        data = self.data
        pixels = data.samples * data.views * data.frames * data.size**2
        return [Demand("data", PICTURE_PIXEL * pixels, on_device=False)]


class ClipBatches:
    """Samples of a data set by number: which clip, from which sides, from which frame on, with or without words.

    Args:
        entries: of the data set, to choose from.
        data: sizes.
        tokenizer: of transformers.
        seed: of every choice.
    """

    def __init__(self, entries: list[ClipEntry], data: ClipData, tokenizer: Any, seed: int) -> None:
        self.entries, self.data, self.tokenizer, self.seed = entries, data, tokenizer, seed

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        """Images (S V F, h, w, 3) of 8 bits, poses (S V, 4, 4) and tokens (S, L)."""
        draws = generator(self.seed, "clips", index)
        samples = [self._sample(draws) for _ in range(self.data.samples)]
        return {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}

    def _sample(self, draws: torch.Generator) -> dict[str, Tensor]:
        def choose(count: int) -> int:
            return int(torch.randint(count, (), generator=draws))

        entry, data = self.entries[choose(len(self.entries))], self.data
        filmed = len(entry.videos)
        if filmed % data.views:
            raise ConfigError(f"{entry.folder} has {filmed} views, from which {data.views} cannot be evenly taken")
        apart = filmed // data.views
        first, start = choose(apart), choose(data.stride)
        drop = float(torch.rand((), generator=draws)) < data.text_dropout
        views = tuple(range(first, filmed, apart))
        clip = read_clip(entry, FrameChoice(views, start, data.stride, data.frames))
        _, frames, height, width, _ = clip.rgba.shape
        if frames < data.frames or height != width:
            raise InvalidInputError(
                f"{entry.folder} has films of {width} x {height} that give {frames} of {data.frames} frames",
                "Films must be square and long enough for data.frames and data.stride",
            )
        rgba = clip.rgba.flatten(0, 1).float() / 255
        rgb = rgba[..., :3] * rgba[..., 3:] + torch.tensor(GREY) * (1 - rgba[..., 3:])
        # Animate3D was trained on pictures that were made smaller without a filter.
        images = resized(rgb, (data.size, data.size), low_pass=False).permute(0, 2, 3, 1)
        return {
            "rgb": (images * 255).round().clamp(0, 255).to(torch.uint8),
            "poses": clip.cameras.world_from_camera,
            "tokens": tokens_of(self.tokenizer, "" if drop else clip.caption),
        }


def tokens_of(tokenizer: Any, prompt: str) -> Tensor:
    """(1, L) a prompt's tokens, padded to the tokenizer's length."""
    length = min(tokenizer.model_max_length, 77)
    tokens = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    ids: Tensor = tokens.input_ids
    return ids


@dataclass
class MultiViewVideoTrainee:
    """Loss, held-out losses and sampled films of MV-VDM.

    Args:
        prior: of which only what the training's groups name learns.
        held_out: batches of clips that are not trained on.
        config: of the run.
    """

    prior: MultiViewVideoDiffusion
    held_out: ClipBatches
    config: MultiViewVideoTraining

    def __post_init__(self) -> None:
        """Take the network."""
        self.module = self.prior.unet
        self.module.recompute_activations = self.config.gradient_checkpointing

    def loss(self, batch: Mapping[str, Tensor], draws: torch.Generator, t: Tensor | None = None) -> tuple[str, Tensor]:
        """Mean square between the noise and its prediction in all frames but the first, one level for all of a sample.

        Args:
            batch: of `ClipBatches`.
            draws: levels, noise and the encoder's sample.
            t: (S,) levels; None draws them.
        """
        latents, conditioning, cameras = self._prepared(batch, draws)
        samples, schedule = len(conditioning["text"]), self.prior.schedule
        if t is None:
            t = torch.randint(len(schedule), (samples,), generator=draws)
        t = t.to(latents.device)
        noise = torch.randn(latents.shape, generator=draws).to(latents)
        noisy = schedule.add_noise(latents, noise, t.repeat_interleave(len(latents) // samples))
        moving = (torch.arange(len(latents), device=latents.device) % self.config.data.frames > 0).view(-1, 1, 1, 1)
        noisy = torch.where(moving, noisy, latents)
        predicted = self.prior.predict(noisy.to(self.module.dtype), t, conditioning, cameras)
        moving = moving.flatten()
        return "clips", mse_loss(predicted[moving].float(), noise[moving])

    def save(self, path: Path) -> None:
        """What is trained of a model, as the prior loads it."""
        save_trained(path, self.module)

    @torch.no_grad()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Losses at fixed levels; films of held-out clips above what is sampled from their first frames."""
        figures: dict[str, list[float]] = {}
        for index in range(self.config.validation.clips):
            batch = {name: value.to(self.module.device) for name, value in self.held_out[index].items()}
            for level in LEVELS:
                t = torch.full((self.config.data.samples,), self.prior.schedule.timestep(level))
                _, loss = self.loss(batch, generator(HELD_OUT_SEED, "validation", index), t)
                figures.setdefault(f"loss {level}", []).append(float(loss))
            drawn = self._drawn(batch, index)
            given = batch["rgb"][: len(drawn)].float() / 255
            error = (drawn - given).square().unflatten(0, (-1, self.config.data.frames))[:, 1:].mean()
            figures.setdefault("PSNR sampled", []).append(float(-10 * error.log10()))
            self._show(folder / f"step_{step:06d}_clip_{index}.mp4", given, drawn)
        return {name: sum(values) / len(values) for name, values in figures.items()}

    def _drawn(self, batch: Mapping[str, Tensor], index: int) -> Tensor:
        """(V F, h, w, 3) a film from the first frames of a batch's first sample."""
        data, wanted = self.config.data, self.config.validation
        count = data.views * data.frames
        one = {"rgb": batch["rgb"][:count], "poses": batch["poses"][: data.views], "tokens": batch["tokens"][:1]}
        draws = generator(HELD_OUT_SEED, "film", index)
        latents, conditioning, cameras = self._prepared(one, draws)
        unconditional = self.prior.unconditional([""], one["rgb"][:: data.frames])
        query = Query(conditioning, unconditional, cameras)
        shape = (1, data.views, data.frames, latents.shape[1], latents.shape[2], latents.shape[3])
        known = known_first_frames(latents[:: data.frames], data.frames)
        return self.prior.decode(sample(self.prior, query, known, shape, wanted.steps, wanted.guidance_scale, draws))

    def _show(self, path: Path, given: Tensor, drawn: Tensor) -> None:
        """Write a film with all views beside each other, the given ones above."""
        rows = [
            each.unflatten(0, (-1, self.config.data.frames)).permute(1, 2, 0, 3, 4).flatten(2, 3)
            for each in (given, drawn)
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, iter(torch.cat(rows, dim=1).float().cpu().numpy()), 8.0)

    @torch.no_grad()
    def _prepared(self, batch: Mapping[str, Tensor], draws: torch.Generator) -> tuple[Tensor, Conditioning, Cameras]:
        """Latents (S V F, C, h, w), conditioning and a camera to each image, from a batch on the model's device."""
        self._follow()
        data = self.config.data
        rgb, samples = batch["rgb"].float() / 255, len(batch["tokens"])
        text = self.prior.text.model(batch["tokens"]).last_hidden_state
        image = self.prior.embed(rgb[:: data.frames]).unflatten(0, (samples, -1))
        poses = batch["poses"].repeat_interleave(data.frames, dim=0)
        intrinsics = poses.new_tensor([data.size, data.size, data.size / 2, data.size / 2]).expand(len(poses), -1)
        cameras = Cameras(poses, intrinsics, data.size, data.size)
        return self.prior.encode(rgb, draws), Conditioning({"text": text, "image": image}), cameras

    def _follow(self) -> None:
        """Put the frozen models where the loop has put the network, in its precision."""
        place: dict[str, Any] = {"device": self.module.device, "dtype": self.module.dtype}
        for model in (self.prior.encoder.vae, self.prior.text.model, self.prior.image_encoder):
            model.to(**place)


def start(config: MultiViewVideoTraining, weights: Path | None, seed: int) -> tuple[MultiViewVideoTrainee, ClipBatches]:
    """A model from trained weights, or as Animate3D's training began, and its batches.

    Raises:
        UsageError: there is no data set.
        ConfigError: there are no clips to train on but the held-out ones.
        BackendUnavailableError: the weights of a part are missing.
    """
    data = config.data
    if data.path is None:
        raise UsageError("there is no data set to learn from", "Give its folder: a4d train-prior mv-vdm DATASET")
    clips = read_entries(data.path)
    if len(clips) <= data.held_out:
        raise ConfigError(f"{data.path} has {len(clips)} clips, of which {data.held_out} are held out")
    entry = find("mv-vdm")
    options = {"size": (data.size, data.size)}
    parts = {role: WeightsFolder(locate(name, config.weights), options=options) for role, name in entry.parts.items()}
    adapter = adapter_file(parts["images"])
    if weights is None:
        motion = WeightsFolder(locate("animatediff-1.5.2", config.weights))
        unet = assemble_new(parts["views"], adapter, motion, seed)
    else:
        unet = assemble(parts["views"], adapter, load_trained(weights))
    prior = around_unet(unet, parts, data.views)
    tokenizer = prior.text.tokenizer
    held_out = data.model_copy(update={"text_dropout": 0.0})
    return (
        MultiViewVideoTrainee(prior, ClipBatches(clips[-data.held_out :], held_out, tokenizer, HELD_OUT_SEED), config),
        ClipBatches(clips[: -data.held_out], data, tokenizer, seed),
    )


def evaluate_weights(weights: Path | None, device: str, objects: int) -> dict[str, float]:
    """Refuse: figures need a data set, and stand in the metrics of a training run.

    Raises:
        UsageError: always.
    """
    raise UsageError("MV-VDM is judged on its data set while it trains", "See metrics.jsonl and previews/ of the run")


MODEL = Model(
    "mv-vdm",
    MultiViewVideoTraining,
    Path(__file__).with_name("mv_vdm.yaml"),
    start,
    evaluate_weights,
    learns_from_files=True,
)
