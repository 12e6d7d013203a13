"""A tiny MV-VDM of random weights, and the files that it would be released as."""

from __future__ import annotations

import json
from pathlib import Path

import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file
from tiny_models import WIDTH, random_weights

from a4d.priors.components import LatentEncoder
from a4d.priors.mv_vdm.assembly import is_trained, save_trained
from a4d.priors.mv_vdm.prior import MultiViewVideoDiffusion
from a4d.priors.mv_vdm.unet import MultiViewVideoUNet, motion_config
from a4d.priors.released.mvdream import multi_view_config
from a4d.priors.schedule import noise_schedule

IMAGE_WIDTH = WIDTH
TOKENS = 2

CONFIG = {**motion_config(tiny.UNET), "motion_max_seq_length": 8}


def mv_vdm_unet(seed: int = 0, **values: object) -> MultiViewVideoUNet:
    return random_weights(MultiViewVideoUNet(IMAGE_WIDTH, TOKENS, **{**CONFIG, **values}), seed)


def mv_vdm(seed: int = 0, **values: object) -> MultiViewVideoDiffusion:
    encoder = LatentEncoder(tiny.vae().vae, (tiny.SIZE, tiny.SIZE), low_pass=False)
    return MultiViewVideoDiffusion(
        mv_vdm_unet(seed, **values), encoder, tiny.text_encoder(), tiny.image_encoder(), noise_schedule("linear")
    )


def adapter_tensors(unet: MultiViewVideoUNet) -> dict[str, torch.Tensor]:
    """The image adapter under its own names, in the order of its own code: down, up, middle."""
    state = unet.state_dict()
    attentions = [name.removesuffix(".to_k_ip.0.weight") for name in state if name.endswith(".to_k_ip.0.weight")]
    groups = [[each for each in attentions if each.startswith(part)] for part in ("down", "up", "mid")]
    tensors = {}
    for number, name in enumerate(each for group in groups for each in group):
        for letter in "kv":
            tensors[f"ip_adapter.{2 * number + 1}.to_{letter}_ip.weight"] = state[f"{name}.to_{letter}_ip.0.weight"]
    prefix = "encoder_hid_proj.image_projection_layers.0."
    for mine, theirs in (("image_embeds", "proj"), ("norm", "norm")):
        for part in ("weight", "bias"):
            tensors[f"image_proj.{theirs}.{part}"] = state[f"{prefix}{mine}.{part}"]
    return {name: value.clone() for name, value in tensors.items()}


def save_mv_vdm(folder: Path, prior: MultiViewVideoDiffusion) -> dict[str, Path]:
    """The folders of MV-VDM, MVDream, the image adapter and the motion adapter, by their names in the catalogue."""
    names = ("mv-vdm", "mvdream-1.5", "ip-adapter-1.5", "animatediff-1.5.2")
    folders = {name: folder / name for name in names}
    for path in folders.values():
        path.mkdir(parents=True)
    tiny.save_all_but_the_unet(folders["mvdream-1.5"])
    state = prior.unet.state_dict()
    views = tiny.unet(**multi_view_config(tiny.UNET))
    names_of_views = {name: name.replace("class_embedding", "camera_embedding") for name in views.state_dict()}
    views.save_config(folders["mvdream-1.5"] / "unet")
    save_file(
        {theirs: state[theirs].clone() for theirs in names_of_views.values()},
        folders["mvdream-1.5"] / "unet" / "diffusion_pytorch_model.safetensors",
    )
    images = folders["ip-adapter-1.5"] / "models"
    images.mkdir()
    save_file(adapter_tensors(prior.unet), images / "ip-adapter_sd15.safetensors")
    prior.image_encoder.save_pretrained(images / "image_encoder")
    save_trained(folders["mv-vdm"] / "weights.safetensors", prior.unet)
    motion = {name: value.clone() for name, value in state.items() if is_trained(name) and ".processor." not in name}
    save_file(motion, folders["animatediff-1.5.2"] / "diffusion_pytorch_model.safetensors")
    (folders["animatediff-1.5.2"] / "config.json").write_text(json.dumps({"motion_max_seq_length": prior.unet.longest}))
    return folders


def as_released(folders: dict[str, Path], *, distributed: bool) -> None:
    """The same weights in the release's files, all pickled: a checkpoint, an adapter of two dictionaries, the encoder.

    Args:
        folders: from `save_mv_vdm`.
        distributed: names begin with `module.`, as several GPUs leave them.
    """
    trained = folders["mv-vdm"] / "weights.safetensors"
    prefix = "module." if distributed else ""
    state = {f"{prefix}{name}": value for name, value in load_file(trained).items()}
    trained.unlink()
    torch.save(state, folders["mv-vdm"] / "animate3d_motion_modules.ckpt")
    adapter = folders["ip-adapter-1.5"] / "models" / "ip-adapter_sd15.safetensors"
    nested: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in load_file(adapter).items():
        part, _, rest = name.partition(".")
        nested.setdefault(part, {})[rest] = value
    adapter.unlink()
    torch.save(nested, adapter.with_suffix(".bin"))
    vae = folders["mvdream-1.5"] / "vae" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(vae), vae.with_suffix(".bin"))
    vae.unlink()
