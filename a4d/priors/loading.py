"""Folders of weights to priors: one function per kind of prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from a4d.errors import BackendUnavailableError, ConfigError
from a4d.io.weight_files import read_weights
from a4d.priors.components import PixelEncoder, TextEncoder
from a4d.priors.image_to_shape import ImageToShape
from a4d.priors.protocol import Prior
from a4d.priors.schedule import noise_schedule
from a4d.priors.weights_folder import REMEDY, WeightsFolder, weight_files


def load_stable_diffusion(folder: WeightsFolder) -> Prior:
    """Stable Diffusion of any version that conditions on text alone."""
    from diffusers import UNet2DConditionModel

    from a4d.priors.released.stable_diffusion import StableDiffusion

    unet = folder.model("unet", UNet2DConditionModel, {"_class_name": "UNet2DConditionModel", "in_channels": 4})
    text = folder.text({"hidden_size": unet.config.cross_attention_dim})
    return StableDiffusion(unet, folder.vae(8 * unet.config.sample_size), text, folder.schedule())


def load_deep_floyd(folder: WeightsFolder) -> Prior:
    """DeepFloyd IF's first stage."""
    from diffusers import UNet2DConditionModel
    from transformers import AutoTokenizer, T5EncoderModel

    from a4d.priors.released.stable_diffusion import DeepFloyd

    unet = folder.model("unet", UNet2DConditionModel, {"in_channels": 3, "out_channels": 6})
    # Half of what single precision takes, with its range, which this encoder needs.
    texts = folder.for_text(torch.bfloat16)
    model = texts.model("text_encoder", T5EncoderModel, {"d_model": unet.config.encoder_hid_dim})
    text = TextEncoder(folder.tokenizer(AutoTokenizer), model, with_mask=True)
    side = unet.config.sample_size
    return DeepFloyd(unet, PixelEncoder((side, side)), text, folder.schedule())


def load_zero123(folder: WeightsFolder) -> Prior:
    """Zero-1-to-3, whose projection two conversions keep under two names."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPVisionModelWithProjection

    from a4d.priors.released.zero123 import Zero123

    unet = folder.model("unet", UNet2DConditionModel, {"in_channels": 8})
    images = folder.for_encoders().model(
        "image_encoder", CLIPVisionModelWithProjection, {"projection_dim": unet.config.cross_attention_dim}
    )
    names = ("clip_camera_projection", "cc_projection")
    found = [path for name in names if (path := folder.path / name).is_dir()]
    if not found:
        raise BackendUnavailableError(f"{folder.path} has no {' or '.join(names)}", REMEDY)
    state = {key.rpartition(".")[2]: value for key, value in read_weights(weight_files(found[0])[0]).items()}
    width = images.config.projection_dim
    if state.get("weight", torch.empty(0)).shape != (width, width + 4) or "bias" not in state:
        raise BackendUnavailableError(f"{found[0]} is another architecture: not a projection of {width + 4} numbers")
    projection = nn.Linear(width + 4, width)
    projection.load_state_dict({"weight": state["weight"], "bias": state["bias"]})
    # Too small to be worth a journey.
    projection.requires_grad_(False).to(unet.device, unet.dtype)
    vae = folder.vae(8 * unet.config.sample_size)
    return Zero123(unet, vae, images, projection, folder.schedule())


def load_mvdream(folder: WeightsFolder) -> Prior:
    """MVDream in diffusers' layout, or with its UNet under the names of its original checkpoint."""
    from diffusers import UNet2DConditionModel

    from a4d.priors.released.mvdream import MVDream, multi_view_config, multi_view_state

    state = folder.tensors("unet")
    config = multi_view_config(folder.config("unet"), state)
    # Two of the three layouts are no class of diffusers', so that the tensors are taken by their names.
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(**config)
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

    from a4d.priors.released.text_to_video import TextToVideo

    unet = folder.model("unet", UNet3DConditionModel, {"_class_name": "UNet3DConditionModel"})
    text = folder.text({"hidden_size": unet.config.cross_attention_dim})
    return TextToVideo(unet, folder.vae(256), text, folder.schedule())


def load_animatediff(folder: WeightsFolder) -> Prior:
    """AnimateDiff's motion modules over a Stable Diffusion."""
    from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

    from a4d.priors.released.text_to_video import AnimateDiff

    base = folder.parts["images"]
    # Put together in host memory, since both are copied into a third model.
    images = base.at_home().model("unet", UNet2DConditionModel, {"in_channels": 4})
    motion = folder.at_home().model("", MotionAdapter, {"_class_name": "MotionAdapter"})
    try:
        unet = UNetMotionModel.from_unet2d(images, motion)
    except (RuntimeError, ValueError, TypeError):
        raise BackendUnavailableError(
            f"{folder.path} is another architecture: its motion modules do not fit {base.path}"
        ) from None
    text = base.text({"hidden_size": images.config.cross_attention_dim})
    return AnimateDiff(folder.placed(unet), base.vae(256), text, noise_schedule("linear"))


def load_controlnet_tile(folder: WeightsFolder) -> Prior:
    """A ControlNet over a Stable Diffusion."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    from a4d.priors.released.controlnet_tile import ControlNetTile

    base = folder.parts["images"]
    unet = base.model("unet", UNet2DConditionModel, {"in_channels": 4})
    text = base.text({"hidden_size": unet.config.cross_attention_dim})
    controlnet = folder.model("", ControlNetModel, {"cross_attention_dim": unet.config.cross_attention_dim})
    return ControlNetTile(
        unet,
        controlnet,
        base.vae(512),
        text,
        base.schedule(),
        control_prompt=str(folder.options["control_prompt"]),
        strength=float(folder.options["strength"]),
    )


def load_mv_vdm(folder: WeightsFolder) -> Prior:
    """MV-VDM: what was trained of it, over MVDream and an image adapter with its encoder."""
    from a4d.priors.mv_vdm.assembly import adapter_file, around_unet, assemble, load_trained

    trained = load_trained(weight_files(folder.path)[0])
    unet = assemble(folder.parts["views"], adapter_file(folder.parts["images"]), trained)
    unet.condition_frame_time_zero = bool(folder.options["condition_frame_time_zero"])
    return around_unet(folder.placed(unet), folder.parts, int(folder.options["views"]))


def load_compact(folder: WeightsFolder) -> Prior:
    """The package's own small prior, or one trained like it, in the modality that the catalogue's options name."""
    from a4d.priors.compact.prior import load_compact_prior

    place = folder.placement
    return load_compact_prior(folder.path, str(folder.options["modality"]), place.device, place.precision)


LOADERS: dict[str, Callable[[WeightsFolder], Prior]] = {
    "stable-diffusion": load_stable_diffusion,
    "deep-floyd": load_deep_floyd,
    "zero123": load_zero123,
    "mvdream": load_mvdream,
    "text-to-video": load_text_to_video,
    "animatediff": load_animatediff,
    "controlnet-tile": load_controlnet_tile,
    "mv-vdm": load_mv_vdm,
    "compact": load_compact,
}


def load_triposr(folder: WeightsFolder) -> ImageToShape:
    """TripoSR, from its checkpoint or a safetensors file with the same tensors."""
    from a4d.priors.triposr.prior import TripoSR
    from a4d.priors.triposr.weights import load_network

    rule = folder.options["position_table"]
    if rule not in ("legacy", "exact"):
        raise ConfigError(f"position_table: {rule}: there is no such rule", "Give legacy or exact")
    return TripoSR(load_network(folder.path, rule), folder.placement)


SHAPE_LOADERS: dict[str, Callable[[WeightsFolder], ImageToShape]] = {"triposr": load_triposr}
"""By the architecture that the catalogue's options name."""
