"""Folders of weights to priors: which components a folder must hold, and one line on what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a4d.errors import BackendUnavailableError, InvalidInputError
from a4d.io.checkpoints import PYTORCH_SUFFIXES, read_weights
from a4d.priors.components import LatentEncoder, PixelEncoder, TextEncoder
from a4d.priors.protocol import Prior
from a4d.priors.schedule import NoiseSchedule, schedule_from_diffusers


@dataclass(frozen=True)
class WeightsFolder:
    """A folder in diffusers' layout, one sub-folder per component, and how its components are placed.

    Args:
        path: the folder.
        device: where models compute.
        dtype: what they compute in.
        text_on_cpu: leave the text encoder off the device; each prompt passes through it once.
        options: of the catalogue, such as `size`.
        parts: folders of the models that this one is built of, by their role.
    """

    path: Path
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    text_on_cpu: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, WeightsFolder] = field(default_factory=dict)

    def config(self, component: str, name: str = "config.json") -> dict[str, Any]:
        """A component's configuration.

        Raises:
            BackendUnavailableError: it is missing or not JSON.
        """
        path = self.path / component / name
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BackendUnavailableError(f"{self.path} has no {Path(component) / name}", _REMEDY) from None
        except (OSError, ValueError):
            raise BackendUnavailableError(f"{path} is damaged or not fully downloaded", _REMEDY) from None
        return values

    def model(self, component: str, model: Any, expected: Mapping[str, Any] | None = None) -> Any:
        """A frozen component, on the device.

        Args:
            component: sub-folder, empty for the folder itself.
            model: class of diffusers or transformers.
            expected: what its configuration must say.

        Raises:
            BackendUnavailableError: files are missing or cut short, or belong to another architecture.
        """
        config = self.config(component)
        for key, value in (expected or {}).items():
            if config.get(key) != value:
                raise BackendUnavailableError(
                    f"{self.path / component} is another architecture: {key} is {config.get(key)}, not {value}"
                )
        folder = self.path / component
        dtype = {"dtype" if model.__module__.startswith("transformers") else "torch_dtype": self.dtype}
        _silence_libraries()
        try:
            loaded, report = model.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, **dtype, **_stored_form(folder)
            )
        except BackendUnavailableError:
            raise
        except Exception as error:  # libraries raise whatever a damaged or foreign folder provokes
            reason = str(error).strip().split("\n")[0]
            raise BackendUnavailableError(f"{folder} cannot be loaded: {reason:.160}", _REMEDY) from None
        missing = [key for key in report["missing_keys"] if not key.endswith("position_ids")]
        if missing or report.get("mismatched_keys"):
            wrong = missing or [str(entry[0]) for entry in report["mismatched_keys"]]
            raise BackendUnavailableError(
                f"{folder} is incomplete or another architecture: {len(wrong)} tensors do not fit, first {wrong[0]}"
            )
        return self.placed(loaded)

    def placed(self, model: nn.Module) -> Any:
        """A model frozen, in evaluation mode, on the device and in the dtype."""
        _silence_libraries()
        return model.requires_grad_(False).eval().to(self.device, self.dtype)

    def schedule(self) -> NoiseSchedule:
        """The noise schedule that the model was trained with.

        Raises:
            BackendUnavailableError: there is none, or it belongs to another family of models.
        """
        config = self.config("scheduler", "scheduler_config.json")
        try:
            return schedule_from_diffusers(config)
        except InvalidInputError as error:
            raise BackendUnavailableError(f"{self.path}: {error.problem}") from None

    def vae(self, default_size: int, low_pass: bool = True) -> LatentEncoder:
        """The autoencoder, bringing images to the catalogue's size or the model's own."""
        from diffusers import AutoencoderKL

        height, width = self.options.get("size", (default_size, default_size))
        return LatentEncoder(self.model("vae", AutoencoderKL), (int(height), int(width)), low_pass=low_pass)

    def text(self, expected: Mapping[str, Any]) -> TextEncoder:
        """CLIP's text encoder with its tokenizer."""
        from transformers import CLIPTextModel, CLIPTokenizer

        model = self.model("text_encoder", CLIPTextModel, expected)
        return TextEncoder(self.tokenizer(CLIPTokenizer), model.cpu().float() if self.text_on_cpu else model)

    def tokenizer(self, tokenizer: Any) -> Any:
        """The tokenizer.

        Raises:
            BackendUnavailableError: its files are missing or damaged.
        """
        try:
            return tokenizer.from_pretrained(self.path / "tokenizer", local_files_only=True)
        except Exception:  # as above
            raise BackendUnavailableError(f"{self.path / 'tokenizer'} cannot be loaded", _REMEDY) from None


_REMEDY = "Fetch the weights again with `a4d weights fetch`, or name another folder with --weights NAME=PATH"


def _stored_form(folder: Path) -> dict[str, Any]:
    """Which of the forms that a repository offers lies in a folder: half precision where there is nothing else."""
    stored = [path.name for path in folder.iterdir() if path.suffix in {".safetensors", *PYTORCH_SUFFIXES}]
    safe = [name for name in stored if name.endswith(".safetensors")]
    if not stored:
        raise BackendUnavailableError(f"{folder} holds no weights", _REMEDY)
    half = all(".fp16." in name for name in safe or stored)
    return {"use_safetensors": bool(safe), **({"variant": "fp16"} if half else {})}


def _silence_libraries() -> None:
    """Turn off progress bars and reports of the model libraries: what is wrong is said once, by this module."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()


def load_stable_diffusion(folder: WeightsFolder) -> Prior:
    """Stable Diffusion of any version that conditions on text alone."""
    from diffusers import UNet2DConditionModel

    from a4d.priors.stable_diffusion import StableDiffusion

    unet = folder.model("unet", UNet2DConditionModel, {"_class_name": "UNet2DConditionModel", "in_channels": 4})
    text = folder.text({"hidden_size": unet.config.cross_attention_dim})
    return StableDiffusion(unet, folder.vae(8 * unet.config.sample_size), text, folder.schedule())


def load_deep_floyd(folder: WeightsFolder) -> Prior:
    """DeepFloyd IF's first stage."""
    from diffusers import UNet2DConditionModel
    from transformers import AutoTokenizer, T5EncoderModel

    from a4d.priors.stable_diffusion import DeepFloyd

    unet = folder.model("unet", UNet2DConditionModel, {"in_channels": 3, "out_channels": 6})
    model = folder.model("text_encoder", T5EncoderModel, {"d_model": unet.config.encoder_hid_dim})
    if folder.text_on_cpu:
        model = model.cpu().to(torch.bfloat16)
    text = TextEncoder(folder.tokenizer(AutoTokenizer), model, with_mask=True)
    side = unet.config.sample_size
    return DeepFloyd(unet, PixelEncoder((side, side)), text, folder.schedule())


def load_zero123(folder: WeightsFolder) -> Prior:
    """Zero-1-to-3, whose projection two conversions keep under two names."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPVisionModelWithProjection

    from a4d.priors.zero123 import Zero123

    unet = folder.model("unet", UNet2DConditionModel, {"in_channels": 8})
    images = folder.model(
        "image_encoder", CLIPVisionModelWithProjection, {"projection_dim": unet.config.cross_attention_dim}
    )
    names = ("clip_camera_projection", "cc_projection")
    found = [path for name in names if (path := folder.path / name).is_dir()]
    if not found:
        raise BackendUnavailableError(f"{folder.path} has no {' or '.join(names)}", _REMEDY)
    state = {key.rpartition(".")[2]: value for key, value in read_weights(weight_files(found[0])[0]).items()}
    width = images.config.projection_dim
    if state.get("weight", torch.empty(0)).shape != (width, width + 4) or "bias" not in state:
        raise BackendUnavailableError(f"{found[0]} is another architecture: not a projection of {width + 4} numbers")
    projection = nn.Linear(width + 4, width)
    projection.load_state_dict({"weight": state["weight"], "bias": state["bias"]})
    vae = folder.vae(8 * unet.config.sample_size)
    return Zero123(unet, vae, images, folder.placed(projection), folder.schedule())


def load_mvdream(folder: WeightsFolder) -> Prior:
    """MVDream in diffusers' layout, or with its UNet under the names of its original checkpoint."""
    from diffusers import UNet2DConditionModel

    from a4d.priors.mvdream import MVDream, multi_view_config, multi_view_state

    config = multi_view_config(folder.config("unet"))
    # Two of the three layouts are no class of diffusers', so that the tensors are taken by their names.
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(**config)
    state: dict[str, torch.Tensor] = {}
    for path in weight_files(folder.path / "unet"):
        state.update(read_weights(path))
    try:
        unet.load_state_dict(multi_view_state(state, config), assign=True)
    except (RuntimeError, KeyError):
        raise BackendUnavailableError(
            f"{folder.path / 'unet'} is incomplete or another architecture: its tensors are not MVDream's"
        ) from None
    text = folder.text({"hidden_size": config["cross_attention_dim"]})
    return MVDream(folder.placed(unet), folder.vae(256), text, folder.schedule())


def load_text_to_video(folder: WeightsFolder) -> Prior:
    """ModelScope and ZeroScope."""
    from diffusers import UNet3DConditionModel

    from a4d.priors.text_to_video import TextToVideo

    unet = folder.model("unet", UNet3DConditionModel, {"_class_name": "UNet3DConditionModel"})
    text = folder.text({"hidden_size": unet.config.cross_attention_dim})
    return TextToVideo(unet, folder.vae(256), text, folder.schedule())


def load_controlnet_tile(folder: WeightsFolder) -> Prior:
    """A ControlNet over a Stable Diffusion."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    from a4d.priors.controlnet_tile import ControlNetTile

    base = folder.parts["images"]
    unet = base.model("unet", UNet2DConditionModel, {"in_channels": 4})
    text = base.text({"hidden_size": unet.config.cross_attention_dim})
    controlnet = folder.model("", ControlNetModel, {"cross_attention_dim": unet.config.cross_attention_dim})
    return ControlNetTile(unet, controlnet, base.vae(512), text, base.schedule())


def load_mv_vdm(folder: WeightsFolder) -> Prior:
    """MV-VDM: what was trained of it, over MVDream and an image adapter with its encoder."""
    from a4d.priors.mv_vdm.assembly import adapter_file, around_unet, assemble, load_trained

    trained = load_trained(weight_files(folder.path)[0])
    unet = assemble(folder.parts["views"], adapter_file(folder.parts["images"]), trained)
    return around_unet(folder.placed(unet), folder.parts, int(folder.options["views"]))


def load_compact(folder: WeightsFolder) -> Prior:
    """The package's own small prior, or one trained like it, in the modality that the catalogue's options name."""
    from a4d.priors.compact.prior import load_compact_prior

    return load_compact_prior(folder.path, str(folder.options["modality"]), folder.device, folder.dtype)


def weight_files(folder: Path) -> list[Path]:
    """The files of a component's weights: safetensors if there are any, else PyTorch's; full precision before half.

    Raises:
        BackendUnavailableError: there are none.
    """
    for suffixes in ({".safetensors"}, PYTORCH_SUFFIXES):
        stored = sorted(path for path in folder.glob("*") if path.suffix in suffixes)
        full = [path for path in stored if ".fp16." not in path.name]
        if stored:
            return full or stored
    raise BackendUnavailableError(f"{folder} holds no weights", _REMEDY)


LOADERS: dict[str, Callable[[WeightsFolder], Prior]] = {
    "stable-diffusion": load_stable_diffusion,
    "deep-floyd": load_deep_floyd,
    "zero123": load_zero123,
    "mvdream": load_mvdream,
    "text-to-video": load_text_to_video,
    "controlnet-tile": load_controlnet_tile,
    "mv-vdm": load_mv_vdm,
    "compact": load_compact,
}
