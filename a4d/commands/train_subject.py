"""Teaching a prior one subject, as `a4d train-prior` does it: a stage that leaves an adapter in the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from a4d.config import Config
from a4d.errors import ConfigError, MissingInputError
from a4d.fitting.files import ADAPTERS
from a4d.priors.catalogue import load_prior, locate, with_bases
from a4d.priors.placement import Placement
from a4d.running.stage import Stage
from a4d.running.weights import record_weights, weight_overrides
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor

    from a4d.priors.personalisation import Learner, Pictures
    from a4d.priors.protocol import Prior
    from a4d.training.trainer import TrainingConfig
    from a4d.views import Frames

RATES = {"textual-inversion": 5e-3, "lora": 1e-4}
CLIP = 16
"""Frames of a clip, where nothing else is said."""


class TrainPrior(Config):
    """Everything that decides an adapter."""

    method: Literal["textual-inversion", "lora"]
    prior: str = "stable-diffusion-1.5"
    token: str = Field(default="<subject>", min_length=1)
    initial: str = "object"
    embedding: str | None = Field(default=None, description="of a token that is learnt already: a file that holds it")
    masked: bool = Field(default=True, description="a token learns from what is opaque alone")
    augmented: bool = Field(default=True, description="a token sees pictures turned, cut and recoloured by chance")
    prompt: str = "a photo of the subject"
    rank: int = Field(default=4, ge=1, le=1024)
    image_dropout: float = Field(default=0.1, ge=0, le=1)
    iterations: int = Field(default=2000, ge=1)
    batch: int = Field(default=1, ge=1, le=1024, description="samples that a step sees")
    run: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="images that follow each other and make a sample; None is what the prior takes",
    )
    rate: float | None = Field(default=None, gt=0, description="None is 5e-3 for a token and 1e-4 for adapters")
    split: Literal["train", "test", "all"] = "train"
    background: Literal["black", "white", "grey"] = "white"
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        default=None, description="None is bfloat16 on CUDA and float32 on the CPU"
    )
    weights: str = Field(default="", exclude=True)
    checkpoint_seconds: float = Field(default=60.0, gt=0, exclude=True)


def _complete(config: TrainPrior) -> TrainPrior:
    if config.embedding is not None and config.method != "textual-inversion":
        raise ConfigError("embedding: adapters are not learnt from a token", "Leave it out")
    return config


def _inputs(workspace: Workspace, config: TrainPrior) -> list[Path]:
    if config.embedding is not None:
        return [Path(config.embedding).expanduser().absolute()]
    return [workspace.path / name for name in ("transforms.json", "images")]


def _require(config: TrainPrior) -> None:
    if config.embedding is not None:
        _given(config.embedding)
        return
    for name in with_bases([config.prior]):
        locate(name, weight_overrides(config.weights))


def _given(file: str) -> tuple[str, Tensor]:
    """A token and its embedding, from a file that anyone may have made.

    Raises:
        MissingInputError: there is no such file.
        BackendUnavailableError: it holds no token, or code besides tensors.
    """
    from a4d.priors.components import read_token

    path = Path(file).expanduser()
    if not path.is_file():
        raise MissingInputError(f"there is no file {file}", "Name a learned_embeds.safetensors or learned_embeds.bin")
    return read_token(path)


def _run(work: Transaction, config: TrainPrior, runtime: Runtime) -> dict[str, Any]:
    from a4d.priors.adapters import TOKEN_FILES, save_token

    if config.embedding is None:
        return _learn(work, config, runtime)
    token, embedding = _given(config.embedding)
    save_token(work.replace(f"{ADAPTERS}/{work.name}") / TOKEN_FILES[0], token, embedding)
    return {"numbers": len(embedding)}


def _learn(work: Transaction, config: TrainPrior, runtime: Runtime) -> dict[str, Any]:
    import torch

    from a4d.contents.frames import load_frames
    from a4d.priors.adapters import TOKEN_FILES
    from a4d.priors.lora import LORA_FILE
    from a4d.priors.personalisation import Choices
    from a4d.training.trainer import Trainer

    overrides = weight_overrides(config.weights)
    # Half precision without a wider exponent loses the small gradients of a single token.
    chosen = config.dtype or ("bfloat16" if runtime.device.startswith("cuda") else "float32")
    prior = load_prior(config.prior, Placement(runtime.device, getattr(torch, chosen), overrides=overrides))
    record_weights(work, {name: locate(name, overrides) for name in with_bases([config.prior])}, overrides)
    pictures = _pictures(config, prior, load_frames(work.workspace), runtime.device)
    learner = _learner(config, prior, pictures, runtime.seed)
    choices = Choices(len(pictures.rgb), config.batch, runtime.seed)
    state = work.checkpoint / "state.safetensors"
    figures = Trainer(learner, choices, _training(config), work.folder, runtime, state=state).run()
    file = LORA_FILE if config.method == "lora" else TOKEN_FILES[0]
    learner.save(work.replace(f"{ADAPTERS}/{work.name}") / file)
    return {"images": sum(len(rgb) for rgb in pictures.rgb), **figures}


def _pictures(config: TrainPrior, prior: Prior, frames: Frames, device: str) -> Pictures:
    """Frames that follow each other, as many to a sample as the prior takes at once."""
    import torch

    from a4d.geometry.cameras import concatenate
    from a4d.priors.personalisation import Pictures
    from a4d.views import frames_of_split

    whole = frames_of_split(frames, config.split, background=config.background)
    batches = [batch.to(device) for batch in whole]
    size = config.run or prior.views * (CLIP if "video" in prior.modality else 1)
    is_masked = config.masked and config.method == "textual-inversion"
    samples = [batches[start : start + size] for start in range(0, len(batches) - size + 1, size)]
    if not samples:
        raise ConfigError(f"{len(batches)} images make no sample of {size}", "Set run to fewer, or give more images")
    return Pictures(
        [torch.cat([batch.rgb for batch in sample]) for sample in samples],
        [concatenate([batch.cameras for batch in sample]) for sample in samples],
        [torch.cat([batch.alpha for batch in sample]) for sample in samples] if is_masked else [],
        float(batches[0].background[0, 0]),
    )


def _learner(config: TrainPrior, prior: Prior, pictures: Pictures, seed: int) -> Learner:
    from a4d.priors.augmentation import Augmentation
    from a4d.priors.personalisation import LoraLearner, TokenLearner

    if config.method == "lora":
        return LoraLearner(prior, pictures, config.prompt, config.rank, config.image_dropout, seed)
    augmentation = Augmentation() if config.augmented else None
    return TokenLearner(prior, pictures, config.token, config.initial, augmentation)


def _training(config: TrainPrior) -> TrainingConfig:
    """A constant rate, and the last weights rather than their average."""
    from a4d.training.optimisers import Group, RateSchedule
    from a4d.training.trainer import TrainingConfig

    group = Group(pattern="", rate=config.rate or RATES[config.method], betas=(0.9, 0.999))
    return TrainingConfig(
        steps=config.iterations,
        groups=(group,),
        rates=RateSchedule(warm_up=0, decay_from=1),
        average=0.0,
        dtype="float32",
        checkpoint_seconds=config.checkpoint_seconds,
    )


STAGE = Stage(
    name="train-prior",
    summary="Teach a prior one subject from the images of a workspace.",
    example="a4d train-prior textual-inversion photo.png",
    config=TrainPrior,
    run=_run,
    complete=_complete,
    inputs=_inputs,
    require=_require,
    needs=("preprocess", "estimate-pose"),
    resumable=True,
    memory_knobs=("dtype", "batch", "run", "rank"),
    code_version=2,
)
