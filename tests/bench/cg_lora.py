"""What camera-guided low-rank updates learn of objects that a small diffusion model has never seen, and by which loss.

python tests/bench/cg_lora.py

A UNet of diffusers with a text encoder, about a million parameters, learns procedural objects from all sides, with the
view in the caption. Then adapters learn some views of other objects, all alike long, and are judged by other views of
these: the mean square of the noise (`denoising`), and how far attention is from the mask, by either kind of scores.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from a4d.runtime import prepare_process

prepare_process()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from diffusers import UNet2DConditionModel  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn.functional import mse_loss, pixel_unshuffle  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast  # noqa: E402

from a4d.datasets.procedural.clips import Stage, procedural_scene  # noqa: E402
from a4d.datasets.procedural.vocabulary import SILENT, words  # noqa: E402
from a4d.geometry.cameras import Cameras, concatenate, orbit  # noqa: E402
from a4d.objectives.attention_mask import EXTRAS, alignment_errors  # noqa: E402
from a4d.priors.cg_lora import CgLoraConfig  # noqa: E402
from a4d.priors.components import PixelEncoder, TextEncoder  # noqa: E402
from a4d.priors.prediction import Prediction, Wants, predict  # noqa: E402
from a4d.priors.prompts import view_prompts  # noqa: E402
from a4d.priors.protocol import Conditioning, Query  # noqa: E402
from a4d.priors.released.stable_diffusion import StableDiffusion  # noqa: E402
from a4d.priors.schedule import noise_schedule  # noqa: E402
from a4d.priors.subjects import subjects  # noqa: E402
from a4d.randomness import generator  # noqa: E402

SIZE, WIDTH = 16, 64
KNOWN, UNKNOWN, VIEWS = 384, 6, 8
SEEN = ("front", "side", "back", "overhead", "view", ",")
PRETRAINING, ADAPTATION, BATCH = 1000, 80, 8


@dataclass(frozen=True)
class Pictures:
    """Views of objects: (N, H, W, 3) over white, (N, H, W, 1) masks, cameras, and N captions without the view."""

    rgb: Tensor
    masks: Tensor
    cameras: Cameras
    captions: list[str]

    def __getitem__(self, chosen: Tensor) -> Pictures:
        return Pictures(
            self.rgb[chosen], self.masks[chosen], self.cameras[chosen], [self.captions[i] for i in chosen.tolist()]
        )

    def __len__(self) -> int:
        return len(self.rgb)


def pictures(objects: range, seed: int) -> Pictures:
    """Still objects from anywhere around them, at some distances and through some lenses."""
    rgba, cameras, captions = [], [], []
    for index in objects:
        draws = generator(seed, "cameras", index)
        azimuth, height, away, lens = torch.rand(4, VIEWS, generator=draws)
        seen = concatenate(
            [
                orbit(360 * a, 55 * h - 10, 2 + e / 2, float(30 + 15 * f), SIZE, SIZE)
                for a, h, e, f in zip(*(each.split(1) for each in (azimuth, height, away, lens)), strict=True)
            ]
        )
        scene = procedural_scene(0, index, Stage(VIEWS, 1, SIZE), motions=("",))
        rgba.append(replace(scene, cameras=seen).render(np.zeros(1))[:, 0])
        cameras.append(seen)
        captions += [scene.caption] * VIEWS
    straight = torch.cat(rgba)
    alpha = straight[..., 3:]
    return Pictures(straight[..., :3] * alpha + 1 - alpha, alpha, concatenate(cameras), captions)


def text_encoder() -> TextEncoder:
    """A new one that reads the captions' words."""
    vocabulary = {word: i for i, word in enumerate(("<s>", "</s>", "<unk>", *SEEN, *SILENT, *words()))}
    known = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    known.pre_tokenizer = pre_tokenizers.Whitespace()
    known.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=known, bos_token="<s>", eos_token="</s>", pad_token="</s>", model_max_length=24
    )
    config = CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=24, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return TextEncoder(tokenizer, CLIPTextModel(config))


class Folded(PixelEncoder):
    """Squares of four pixels as channels, which a model of few layers has less to do with."""

    def __call__(self, rgb: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, 12, h/2, w/2) of (B, H, W, 3) sRGB in [0, 1]."""
        return pixel_unshuffle(super().__call__(rgb), 2)


def new_prior() -> StableDiffusion:
    """Random weights, in folded pixels."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=SIZE // 2, in_channels=12, out_channels=12, block_out_channels=[32, 64], layers_per_block=1,
        down_block_types=["CrossAttnDownBlock2D"] * 2, up_block_types=["CrossAttnUpBlock2D"] * 2,
        cross_attention_dim=WIDTH, attention_head_dim=2, norm_num_groups=8,
    )  # fmt: skip
    return StableDiffusion(unet, Folded((SIZE, SIZE)), text_encoder(), noise_schedule("scaled-linear"))


def prompts(seen: Pictures) -> list[str]:
    """Captions with the view behind them, as a run asks."""
    return [view_prompts(caption, seen.cameras[i])[0] for i, caption in enumerate(seen.captions)]


def pretrain(data: Pictures, steps: int) -> StableDiffusion:
    """A model that knows objects of a kind, frozen."""
    prior = new_prior()
    learning = [*prior.unet.parameters(), *prior.text.model.parameters()]
    optimiser = torch.optim.AdamW(learning, 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    said = prompts(data)
    for step in range(steps):
        draws = generator(0, "pretraining", step)
        chosen = torch.randint(len(data), (BATCH,), generator=draws)
        untold = torch.rand(BATCH, generator=draws) < 0.1
        told = ["" if quiet else said[i] for i, quiet in zip(chosen.tolist(), untold.tolist(), strict=True)]
        query = Query(Conditioning({"text": prior.text.states(told)}))
        t = torch.randint(20, 980, (BATCH,), generator=draws)
        made = predict(prior, prior.encode(data.rgb[chosen]), t, query, Wants(into_model=True), draws)
        loss = mse_loss(made.conditional, made.noise)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        schedule.step()
        if step % 500 == 499:
            print(f"    step {step + 1}: {float(loss.detach()):.4f}, {time.process_time():.0f} s", flush=True)
    for model in (prior.unet, prior.text.model):
        model.requires_grad_(False).eval()
    return prior


def ask(prior: StableDiffusion, seen: Pictures, wants: Wants, draws: torch.Generator) -> Prediction:
    """What the prior says of views, at levels of noise that a run asks at."""
    t = torch.randint(20, 980, (len(seen),), generator=draws)
    query = Query(prior.condition(prompts(seen)), None, seen.cameras)
    return predict(prior, prior.encode(seen.rgb), t, query, wants, draws)


def alignment(prior: StableDiffusion, made: Prediction, seen: Pictures, scores: str) -> Tensor:
    """Mean distance of attention from the masks, a scalar."""
    layers = [name for name in made.extras if name.startswith(f"{EXTRAS[scores]}/")]
    places = [prior.text.places(caption, subjects(caption)[0]) for caption in seen.captions]
    looked = {
        name: torch.stack([maps[..., tokens].mean(-1) for maps, tokens in zip(made.extras[name], places, strict=True)])
        for name in layers
    }
    return alignment_errors(looked, seen.masks, made.latents.shape).mean()


@torch.no_grad()
def judge(prior: StableDiffusion, data: Pictures) -> list[float]:
    """Denoising loss, and distances of attention by probabilities and by logits, over views with fixed noise."""
    wants = Wants(extras=frozenset(EXTRAS.values()))
    figures = []
    for repeat in range(4):
        for chosen in torch.arange(len(data)).split(32):
            seen = data[chosen]
            made = ask(prior, seen, wants, generator(1, "judged", repeat, int(chosen[0])))
            aligned = [float(alignment(prior, made, seen, scores)) for scores in EXTRAS]
            figures.append([float(mse_loss(made.conditional, made.noise)), *aligned])
    return [sum(column) / len(column) for column in zip(*figures, strict=True)]


def adapt(
    prior: StableDiffusion,
    data: Pictures,
    settings: dict[str, Any],
    denoising: float = 1.0,
    aligning: float = 0.0,
    scores: str = "probabilities",
    permuted: bool = False,
) -> None:
    """Let new updates learn views; the model is otherwise as it was."""
    adapter = CgLoraConfig(kind="cg-lora", **settings).attach(prior, generator(0, "adapter"), "bench")
    groups = adapter.groups()
    optimiser = torch.optim.Adam([{"params": groups["lora"], "lr": 1e-2}, {"params": groups["camera"], "lr": 1e-3}])
    for step in range(ADAPTATION):
        draws = generator(0, "adaptation", step)
        seen = data[torch.randint(len(data), (BATCH,), generator=draws)]
        if permuted:
            seen = replace(seen, cameras=seen.cameras[torch.randperm(BATCH, generator=draws)])
        wants = Wants(into_model=True, extras=frozenset({EXTRAS[scores]} if aligning else ()))
        made = ask(prior, seen, wants, draws)
        loss = denoising * mse_loss(made.conditional, made.noise)
        if aligning:
            loss = loss + aligning * alignment(prior, made, seen, scores)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


BOTH: dict[str, Any] = {}
TEXT, CAMERA = {"text_rank": 4, "camera_rank": 0}, {"text_rank": 0, "camera_rank": 4}
ROWS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("both", BOTH, {}),
    ("text", TEXT, {}),
    ("camera", CAMERA, {}),
    ("both, cameras permuted", BOTH, {"permuted": True}),
    ("both, aligned alone", BOTH, {"denoising": 0.0, "aligning": 1.0}),
    ("both, aligned alone, logits", BOTH, {"denoising": 0.0, "aligning": 1.0, "scores": "logits"}),
    ("both, denoised and aligned", BOTH, {"aligning": 0.1}),
    ("both, denoised and aligned, logits", BOTH, {"aligning": 0.1, "scores": "logits"}),
]


def main() -> None:
    """Print a line per adapter."""
    known = pictures(range(KNOWN), 0)
    prior = pretrain(known, PRETRAINING)
    unet = {name: value.clone() for name, value in prior.unet.state_dict().items()}
    count = sum(p.numel() for p in [*prior.unet.parameters(), *prior.text.model.parameters()])
    print(f"{count / 1e6:.2f} M parameters, {time.process_time():.0f} s of processor time", flush=True)
    unknown = range(KNOWN, KNOWN + UNKNOWN)
    learnt, held_out = pictures(unknown, 1), pictures(unknown, 2)
    print_row("none", judge(prior, held_out))
    for name, settings, how in ROWS:
        fresh = new_prior()
        fresh.unet.load_state_dict(unet)
        fresh.unet.requires_grad_(False).eval()
        fresh.text = prior.text
        adapt(fresh, learnt, settings, **how)
        print_row(name, judge(fresh, held_out))


def print_row(name: str, figures: list[float]) -> None:
    """A line of the table."""
    noise, probabilities, logits = figures
    print(
        f"{name:36s} noise {noise:.5f}, attention {probabilities:.4f}, its logits {logits:.4f} "
        f"({time.process_time():.0f} s)",
        flush=True,
    )


if __name__ == "__main__":
    main()
