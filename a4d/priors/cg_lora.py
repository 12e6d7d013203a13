"""Camera-guided low-rank adapters: updates of cross-attention that follow from each image's camera and prompt."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from safetensors.torch import save_file
from torch import Tensor, nn

from a4d.config import Config
from a4d.errors import BackendUnavailableError, ConfigError
from a4d.geometry.cameras import Cameras
from a4d.io.weight_files import read_weights
from a4d.priors.camera_codes import VIEW_NUMBERS, view_code
from a4d.priors.cross_attention import CROSS_ATTENTION, UPDATES, CrossAttention, RowGuidance, Uninformed, is_open
from a4d.priors.lora import PROJECTIONS
from a4d.priors.protocol import Conditioning, Prior
from a4d.priors.released.stable_diffusion import StableDiffusion
from a4d.trainable import Trainable

CG_LORA_FILE = "cg_lora.safetensors"
"""Where such an adapter lies in its folder; no other program knows its like, so that the names are ours."""


class CgLoraConfig(Config):
    """Low-rank updates of a model's cross-attention that are generated from camera and text (X-Dreamer).

    They learn in a run at the rates PRIOR/lora and PRIOR/camera, by `denoising` and `attention-mask` together. Score
    distillation has no graph into the prior and teaches them nothing, and attention held to masks alone spoils what the
    prior knows: of objects that it has never seen (tests/bench/cg_lora.py), its squared error of the noise goes from
    0.051 to 1.8 while attention comes from 0.42 to 0.10 of its masks. With `attention-mask` at a tenth of the weight of
    `denoising` these are 0.051 and 0.11.
    """

    kind: Literal["cg-lora"]
    text_rank: int = Field(default=2, ge=0, le=256, description="of the part that follows from the text; 0: none")
    camera_rank: int = Field(default=2, ge=0, le=256, description="of the part that follows from the camera; 0: none")
    bottleneck: int = Field(default=4, ge=1, le=256, description="numbers between a feature and what it generates")
    camera_features: int = Field(default=1024, ge=2, le=4096, description="that a network says of a camera")

    @model_validator(mode="after")
    def _follows_from_something(self) -> CgLoraConfig:
        if not self.text_rank + self.camera_rank:
            raise ValueError("text_rank and camera_rank are both 0: nothing would learn")
        return self

    def attach(self, prior: Prior, generator: torch.Generator, where: str) -> CameraGuidedLora:
        """Updates that a prior has from now on, or those that it was given already, which learn on.

        Args:
            prior: its predictions do not change by this.
            generator: draws what is new, on the CPU.
            where: place in the settings, for messages.

        Raises:
            ConfigError: the prior has no texts, cameras or cross-attention to follow, or other updates already.
        """
        if not isinstance(prior, StableDiffusion) or prior.modality not in ("image", "multi-view"):
            raise ConfigError(
                f"{where}: the prior does not take images with a text each", "Stable Diffusion and MVDream do"
            )
        if prior.adapter is None:
            return attach_cg_lora(prior, self, generator)
        if not isinstance(prior.adapter, CameraGuidedLora) or prior.adapter.config != self:
            raise ConfigError(
                f"{where}: the adapter that the prior goes on with was made with other settings",
                "Give the same ranks, bottleneck and camera_features, or leave it out of `adapters`",
            )
        return prior.adapter


class GeneratedMatrix(nn.Module):
    """A matrix per row of a feature, by way of a few numbers (equations 8 and 10 of X-Dreamer).

    Args:
        feature: D, width of the feature.
        bottleneck: K, between the feature and the matrix.
        shape: (R, I) of the matrix.
        generator: on the CPU.
    """

    def __init__(self, feature: int, bottleneck: int, shape: tuple[int, int], generator: torch.Generator) -> None:
        super().__init__()
        rank, inputs = shape
        self.down = nn.Parameter(_drawn(bottleneck, feature, generator))
        self.up = nn.Parameter(_drawn(rank * inputs, bottleneck, generator).view(rank, inputs, bottleneck))

    def forward(
        self,
        feature: Tensor,  # (B, D)
    ) -> Tensor:
        """(B, R, I)."""
        return torch.einsum("bk,rik->bri", feature.to(self.down) @ self.down.T, self.up)


class GuidedUpdate(nn.Module):
    """The update of one projection: x A B, with A of the row's text above A of its camera (equations 7-11).

    B begins at zero and is shared by all rows; A is a row's own.

    Args:
        base: (O, I) projection that is updated.
        features: width of each feature by name, `text` and `camera`.
        config: ranks and bottleneck.
        generator: on the CPU.
    """

    def __init__(
        self, base: nn.Linear, features: Mapping[str, int], config: CgLoraConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        ranks = {"text": config.text_rank, "camera": config.camera_rank}
        self.generators = nn.ModuleDict(
            {
                name: GeneratedMatrix(features[name], config.bottleneck, (rank, base.in_features), generator)
                for name, rank in ranks.items()
                if rank
            }
        )
        self.up = nn.Parameter(torch.zeros(base.out_features, sum(ranks.values())))

    def forward(
        self,
        tokens: Tensor,  # (B, L, I) of any precision
        guidance: RowGuidance,
    ) -> Tensor:
        """(B, L, O) float32."""
        down = torch.cat([generate(getattr(guidance, name)) for name, generate in self.generators.items()], dim=1)
        return tokens.to(down) @ down.mT @ self.up.T


class CameraGuidedLora(Trainable):
    """Updates of every layer of cross-attention, as what learns in a run.

    Its groups are `lora`, and `camera` of the network that reads cameras.

    Args:
        layers: updates of the four projections by name, by layer.
        config: by which they were made.
        generator: draws the camera network, on the CPU.
    """

    def __init__(self, layers: Mapping[str, nn.ModuleDict], config: CgLoraConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        # A module's name may hold no dot.
        self.layers = nn.ModuleDict({name.replace(".", "/"): layer for name, layer in layers.items()})
        self.camera_network = _camera_network(config.camera_features, generator)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """What generates and applies the updates, and what reads cameras."""
        return {"lora": list(self.layers.parameters()), "camera": list(self.camera_network.parameters())}

    def told(self, conditioning: Conditioning, cameras: Cameras | None, images: int) -> dict[str, Any]:
        """What the model's layers are told beside the prompts' tokens, as a diffusers model takes it.

        Args:
            conditioning: with `eot` (S, D), what each sample's prompt says.
            cameras: B, ordered samples, views.
            images: B.

        Raises:
            ConfigError: nobody said where the cameras are.
        """
        if cameras is None:
            raise ConfigError(
                "the prior's camera-guided adapter needs to know the cameras", "Leave it out of `adapters`"
            )
        text = conditioning["eot"].repeat_interleave(images // len(conditioning["eot"]), dim=0)
        weight = next(self.camera_network.parameters())
        camera = self.camera_network(view_code(cameras).to(weight)).to(text.device)
        return {"cross_attention_kwargs": {"row_guidance": RowGuidance(text, camera)}}

    def save(self, folder: Path) -> None:
        """Write `CG_LORA_FILE`: the updates and the camera network in float32."""
        state = {name: value.detach().float().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / CG_LORA_FILE)


def attach_cg_lora(prior: StableDiffusion, config: CgLoraConfig, generator: torch.Generator) -> CameraGuidedLora:
    """Give every cross-attention of a prior updates that follow from camera and text.

    Args:
        prior: of images, frozen; its predictions do not change by this.
        config: ranks and widths.
        generator: on the CPU.

    Raises:
        ConfigError: it has no such layer.
    """
    unet = prior.unet
    layers = {
        name: module
        for name, module in unet.named_modules()
        if name.endswith(CROSS_ATTENTION) and is_open(module.processor)
    }
    if not layers:
        raise ConfigError("the prior has no cross-attention that a camera-guided adapter could update")
    for layer in layers.values():
        features = {"text": layer.to_k.in_features, "camera": config.camera_features}
        updates = nn.ModuleDict()
        for name in PROJECTIONS:
            base = layer.get_submodule(name)
            update = GuidedUpdate(base, features, config, generator).to(base.weight.device)
            updates[name.partition(".")[0]] = update
        layer.add_module(UPDATES, updates)
    unet.set_attn_processor(
        {
            name: CrossAttention() if name.removesuffix(".processor") in layers else Uninformed(processor)
            for name, processor in unet.attn_processors.items()
        }
    )
    adapter = CameraGuidedLora({name: getattr(layer, UPDATES) for name, layer in layers.items()}, config, generator)
    adapter.camera_network.to(unet.device)
    prior.adapter = adapter
    return adapter


def apply_cg_lora(prior: Any, file: Path) -> None:
    """Give a prior the updates that a run has saved, as they were when it ended.

    Args:
        prior: a released model.
        file: `CG_LORA_FILE` of the folder.

    Raises:
        BackendUnavailableError: they belong to another architecture, or are damaged.
        ConfigError: the prior cannot have them, or has such updates already.
    """
    state = read_weights(file)
    misfit = BackendUnavailableError(f"{file} does not fit the model")
    if getattr(prior, "adapter", None) is not None:
        raise ConfigError(f"{file}: the prior has a camera-guided adapter already", "Name one of them in `adapters`")
    try:
        config = _config_of(state)
    except (LookupError, ValueError):
        raise misfit from None
    adapter = config.attach(prior, torch.Generator().manual_seed(0), str(file))
    try:
        adapter.load_state_dict(state)
    except RuntimeError:
        raise misfit from None
    adapter.requires_grad_(False)


def _config_of(state: Mapping[str, Tensor]) -> CgLoraConfig:
    """The settings by which an adapter was made, of its tensors' shapes.

    Raises:
        LookupError: tensors are missing.
        ValueError: they have shapes that no settings give.
    """
    text, camera = (
        [value for key, value in state.items() if key.endswith(f".to_q.generators.{name}.up")]
        for name in ("text", "camera")
    )
    return CgLoraConfig(
        kind="cg-lora",
        text_rank=len(text[0]) if text else 0,
        camera_rank=len(camera[0]) if camera else 0,
        bottleneck=[*text, *camera][0].shape[2],
        camera_features=len(state["camera_network.2.weight"]),
    )


def _camera_network(features: int, generator: torch.Generator) -> nn.Sequential:
    """What is known of a camera as so many numbers: two rectified layers, the first of half their width."""
    layers: list[nn.Module] = []
    for before, after in pairwise((VIEW_NUMBERS, features // 2, features)):
        layer = nn.utils.skip_init(nn.Linear, before, after)
        with torch.no_grad():
            layer.weight.copy_(_drawn(after, before, generator))
            layer.bias.zero_()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)


def _drawn(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A (rows, columns) matrix that keeps variances in both directions (Glorot and Bengio 2010)."""
    return nn.init.xavier_uniform_(torch.empty(rows, columns), generator=generator)
