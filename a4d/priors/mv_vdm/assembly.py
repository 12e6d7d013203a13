"""One MV-VDM from the files it is released as: MVDream, an image adapter, and what was trained on top of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from a4d.errors import BackendUnavailableError
from a4d.io.weight_files import read_weights
from a4d.priors.mv_vdm.prior import MultiViewVideoDiffusion
from a4d.priors.mv_vdm.unet import MultiViewVideoUNet, motion_config
from a4d.priors.released.mvdream import multi_view_config, multi_view_state
from a4d.priors.schedule import noise_schedule
from a4d.priors.weights_folder import WeightsFolder, weight_files

IMAGE_PROJECTION = "encoder_hid_proj.image_projection_layers.0."


def is_trained(name: str) -> bool:
    """Whether a tensor belongs to what is trained, and stands in a trained model's file."""
    return "i2v." in name or "motion_modules." in name


def load_trained(path: Path) -> dict[str, Tensor]:
    """The trained tensors by name, from a release or a training run, whose names may begin with `module.`.

    Raises:
        BackendUnavailableError: the file is damaged, or holds none of them.
    """
    state = {name.removeprefix("module."): value for name, value in read_weights(path).items()}
    trained = {name: value for name, value in state.items() if is_trained(name)}
    if not trained:
        raise BackendUnavailableError(f"{path} is another architecture: it holds no motion modules")
    return trained


def save_trained(path: Path, unet: MultiViewVideoUNet) -> None:
    """Write the trained tensors as `load_trained` reads them."""
    state = {name: value.detach().cpu().contiguous() for name, value in unet.state_dict().items() if is_trained(name)}
    save_file(state, path)


def adapter_file(folder: WeightsFolder) -> Path:
    """The image adapter for Stable Diffusion 1 in its repository, which holds others beside it.

    Raises:
        BackendUnavailableError: it is not there.
    """
    for suffix in (".safetensors", ".bin"):
        path = folder.path / "models" / f"ip-adapter_sd15{suffix}"
        if path.is_file():
            return path
    raise BackendUnavailableError(
        f"{folder.path} has no models/ip-adapter_sd15.safetensors", "Fetch it with `a4d weights fetch ip-adapter-1.5`"
    )


def image_adapter_state(tensors: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """An image adapter's tensors under the names of the UNet.

    Args:
        tensors: `image_proj.proj`, `image_proj.norm`, and `ip_adapter.N.to_k_ip` and `to_v_ip` with N = 1, 3, 5 ...
        names: of the UNet's tensors.

    Returns:
        tensors by the UNet's names; those that are missing are left out.
    """
    # The numbers count attentions in the order in which the adapter's own code met them: the middle comes last.
    order = ("down_blocks", "up_blocks", "mid_block")
    keys = sorted(
        (name for name in names if name.endswith("to_k_ip.0.weight")), key=lambda name: order.index(name.split(".")[0])
    )
    renamed = {}
    for number, name in enumerate(keys):
        for letter in "kv":
            renamed[name.replace("to_k_ip", f"to_{letter}_ip")] = f"ip_adapter.{2 * number + 1}.to_{letter}_ip.weight"
    for mine, theirs in (("image_embeds", "proj"), ("norm", "norm")):
        for part in ("weight", "bias"):
            renamed[f"{IMAGE_PROJECTION}{mine}.{part}"] = f"image_proj.{theirs}.{part}"
    return {mine: tensors[theirs] for mine, theirs in renamed.items() if theirs in tensors}


def assemble(views: WeightsFolder, adapter: Path, trained: Mapping[str, Tensor]) -> MultiViewVideoUNet:
    """A UNet of MV-VDM in single or whatever precision its files have.

    Args:
        views: MVDream over Stable Diffusion 1.5.
        adapter: the image adapter's file.
        trained: from `load_trained`.

    Raises:
        BackendUnavailableError: a file is missing, damaged or of another architecture.
    """
    longest = next((value.shape[1] for name, value in trained.items() if name.endswith("time_pos_embed.pe")), 0)
    with torch.device("meta"):
        unet, state = _empty(views, adapter, longest or 32)
    state.update(trained)
    _fit(unet, state, f"{views.path}, {adapter.name} and the trained file do not fit together")
    return unet


def assemble_new(views: WeightsFolder, adapter: Path, motion: WeightsFolder, seed: int) -> MultiViewVideoUNet:
    """A UNet of MV-VDM as its training starts: AnimateDiff's motion modules, beside which all that is new is random.

    The queries of the multi-view branch start as those beside them; what the branch adds starts at zero.

    Args:
        views: MVDream over Stable Diffusion 1.5.
        adapter: the image adapter's file.
        motion: AnimateDiff's motion adapter.
        seed: of the random tensors.

    Raises:
        BackendUnavailableError: a file is missing, damaged or of another architecture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, state = _empty(views, adapter, int(motion.config("").get("motion_max_seq_length", 32)))
    for path in weight_files(motion.path):
        # The positions that follow the first normalisation are added inside the attention instead.
        state.update({name: value for name, value in read_weights(path).items() if "pos_embed" not in name})
    for name, value in unet.state_dict().items():
        if name.endswith("attn1.processor.to_q_i2v.weight"):
            state[name] = state[name.replace("processor.to_q_i2v", "to_q")].clone()
        elif ".processor." in name and is_trained(name):
            state[name] = value
    _fit(unet, state, f"{views.path}, {adapter.name} and {motion.path} do not fit together")
    return unet


def around_unet(
    unet: MultiViewVideoUNet, parts: Mapping[str, WeightsFolder], views_per_sample: int = 4
) -> MultiViewVideoDiffusion:
    """The prior around a UNet, with the encoders of the models that it was trained with.

    Args:
        unet: on its device.
        parts: of the catalogue's entry, by their role.
        views_per_sample: where no images say how many.

    Raises:
        BackendUnavailableError: a part is missing, damaged or of another architecture.
    """
    from transformers import CLIPVisionModelWithProjection

    views = parts["views"]
    text = views.text({"hidden_size": unet.config["cross_attention_dim"]})
    image_width = unet.encoder_hid_proj.image_projection_layers[0].image_embeds.in_features
    encoder = (
        parts["images"]
        .for_encoders()
        .model("models/image_encoder", CLIPVisionModelWithProjection, {"projection_dim": image_width})
    )
    # MVDream itself was trained with betas that are linear in their square root; what was added to it was not.
    schedule = noise_schedule("linear")
    return MultiViewVideoDiffusion(unet, views.vae(256, low_pass=False), text, encoder, schedule, views_per_sample)


def _empty(views: WeightsFolder, adapter: Path, longest: int) -> tuple[MultiViewVideoUNet, dict[str, Tensor]]:
    """A UNet of the right sizes, and the tensors of its frozen parts."""
    state = views.tensors("unet")
    config = multi_view_config(views.config("unet"), state)
    image = read_weights(adapter)
    try:
        width = image["image_proj.norm.weight"].shape[0]
        projected, image_width = image["image_proj.proj.weight"].shape
        tokens, rest = divmod(projected, width)
    except (KeyError, ValueError):
        tokens, rest, width = 0, 0, 0
    if not tokens or rest:
        raise BackendUnavailableError(f"{adapter} is another architecture: it makes no tokens of pictures")
    if width != config["cross_attention_dim"]:
        raise BackendUnavailableError(
            f"{adapter} is for another model: {width} numbers to a token, not {config['cross_attention_dim']}"
        )
    unet = MultiViewVideoUNet(image_width, tokens, **{**motion_config(config), "motion_max_seq_length": longest})
    frozen = multi_view_state(state, config)
    renamed = {name.replace("class_embedding.", "camera_embedding."): value for name, value in frozen.items()}
    return unet, {**renamed, **image_adapter_state(image, list(unet.state_dict()))}


def _fit(unet: MultiViewVideoUNet, state: Mapping[str, Tensor], problem: str) -> None:
    wanted = unet.state_dict()
    wrong = sorted(wanted.keys() ^ state.keys()) or [
        name for name, value in wanted.items() if value.shape != state[name].shape
    ]
    if wrong:
        raise BackendUnavailableError(f"{problem}: {len(wrong)} tensors differ, first {wrong[0]}")
    unet.load_state_dict(state, assign=True)
