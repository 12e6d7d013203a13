"""MV-VDM as a prior: what it is told, how it is loaded from the files it is released as, and sampled."""

import shutil

import numpy as np
import pytest
import tiny_models as tiny
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_mv_vdm import adapter_tensors, as_released, mv_vdm, mv_vdm_unet, save_mv_vdm
from transformers import CLIPImageProcessor

from a4d.errors import BackendUnavailableError, ConfigError, ExitCode
from a4d.geometry.cameras import orbit, turntable
from a4d.objectives.distillation import Distillation, Request, latent_gradient, score_distillation
from a4d.priors.camera_codes import multi_view_code
from a4d.priors.catalogue import check, check_options, load_prior, with_bases
from a4d.priors.components import clip_pixels
from a4d.priors.hub import is_whole, needed_files
from a4d.priors.mv_vdm.assembly import adapter_file, assemble_new, save_trained
from a4d.priors.placement import Placement
from a4d.priors.protocol import Query, Viewpoints
from a4d.priors.sampling import FreeInit, known_first_frames, sample
from a4d.priors.weights_folder import WeightsFolder
from a4d.randomness import generator

VIEWS, FRAMES = 4, 3
RING = turntable(VIEWS, 15.0, 2.0, 40.0, 64)
CAMERAS = RING[torch.arange(VIEWS).repeat_interleave(FRAMES)]


def clips(seed=0):
    return torch.rand(VIEWS * FRAMES, 64, 64, 3, generator=generator(seed, "clips"))


def ask(prior, prompt="a fox", images=None, cameras=CAMERAS, latents=None):
    images = clips()[::FRAMES] if images is None else images
    latents = torch.randn(VIEWS * FRAMES, 4, 8, 8, generator=generator(0)) if latents is None else latents
    with torch.no_grad():
        return prior.denoise(latents, torch.tensor([400]), prior.condition([prompt], images), Viewpoints(cameras))


@pytest.fixture(scope="module")
def prior():
    return mv_vdm()


@pytest.fixture(scope="module")
def saved(prior, tmp_path_factory):
    return save_mv_vdm(tmp_path_factory.mktemp("released"), prior)


@pytest.fixture
def folders(saved, tmp_path):
    """Copies that a test may damage."""
    return {name: shutil.copytree(path, tmp_path / name) for name, path in saved.items()}


def load(folders):
    loaded = load_prior("mv-vdm", Placement(overrides=folders))
    assert loaded.encoder.size == (256, 256)
    return loaded


def test_prompt_picture_and_camera_all_show(prior):
    before = ask(prior)
    quarter = CAMERAS[(torch.arange(len(CAMERAS)) + FRAMES) % len(CAMERAS)]
    for changed in (ask(prior, "a dog"), ask(prior, images=clips(1)[::FRAMES]), ask(prior, cameras=quarter)):
        assert ((changed - before).abs().amax((1, 2, 3)) > 1e-4).all()


def test_unconditional_pictures_are_zeros_before_their_projection(prior):
    unconditional = prior.unconditional([""], clips()[::FRAMES])
    assert unconditional["image"].shape == (1, VIEWS, tiny.WIDTH)
    assert not unconditional["image"].any()
    tokens = prior.unet.encoder_hid_proj([unconditional["image"].flatten(0, 1)[:, None]])[0]
    assert (tokens.abs().amax(-1) > 1e-2).all()
    assert prior.unconditional(["", ""])["image"].shape == (2, 4, tiny.WIDTH)


def test_camera_code_is_the_released_one():
    """As measured on the released `get_camera(4)`: 15 degrees up, the first camera in front."""
    code = multi_view_code(
        orbit(torch.tensor([0.0, 90.0]), torch.full((2,), 15.0), torch.full((2,), 3.0), 40.0, 64, 64)
    )
    expected = [
        [0, -0.2588, 0.9659, 0.9659, 1, 0, 0, 0, 0, 0.9659, 0.2588, 0.2588, 0, 0, 0, 1],
        [-1, 0, 0, 0, 0, -0.2588, 0.9659, 0.9659, 0, 0.9659, 0.2588, 0.2588, 0, 0, 0, 1],
    ]
    torch.testing.assert_close(code, torch.tensor(expected), atol=1e-4, rtol=0)


def test_pictures_reach_clip_as_its_own_processor_has_them(prior):
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 3, 12, 12, generator=generator(1)), (300, 300), mode="bicubic", antialias=True
    )
    rgb = smooth.clamp(0, 1).permute(0, 2, 3, 1)
    picture = Image.fromarray((rgb[0].numpy() * 255).round().astype(np.uint8))
    theirs = CLIPImageProcessor()(picture, return_tensors="pt").pixel_values
    mine = clip_pixels((rgb * 255).round() / 255, 224)
    # The processor rounds to 8 bits once more after resizing.
    assert float((mine - theirs).abs().max()) < 1.5 / 255 / 0.26


def test_images_are_made_smaller_without_a_low_pass_filter(prior):
    """Half the size by bilinear interpolation alone is the mean of four pixels."""
    fine = torch.rand(1, 2 * tiny.SIZE, 2 * tiny.SIZE, 3, generator=generator(2))
    means = fine.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).mean((2, 4))
    torch.testing.assert_close(prior.encode(fine), prior.encode(means), atol=1e-5, rtol=1e-4)
    filtered = tiny.vae()(fine)
    assert (filtered - prior.encode(fine)).abs().max() > 1e-2


def test_latents_become_images_in_chunks(prior):
    latents = torch.randn(6, 4, 8, 8, generator=generator(3))
    rgb = prior.decode(latents)
    assert rgb.shape == (6, 64, 64, 3)
    assert 0 <= float(rgb.min()) < float(rgb.max()) <= 1
    torch.testing.assert_close(rgb[4:5], prior.decode(latents[4:5]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("images", "cameras", "latents", "message"),
    [
        (None, CAMERAS, 12, "first frame"),
        (4, None, 12, "camera"),
        (4, CAMERAS, 10, "clips of 4 views"),
        (4, CAMERAS[:4], 4, "2 to 8 frames"),
        (4, RING[torch.arange(4).repeat_interleave(9)], 36, "2 to 8 frames"),
    ],
)
def test_what_cannot_be_asked_is_said(prior, images, cameras, latents, message):
    pictures = None if images is None else clips()[:images]
    with pytest.raises(ConfigError, match=message):
        prior.denoise(
            torch.randn(latents, 4, 8, 8), torch.tensor([4]), prior.condition(["a fox"], pictures), Viewpoints(cameras)
        )


def request(prior, rgb):
    first = rgb.detach()[::FRAMES]
    return Request(prior.condition(["a fox"], first), prior.unconditional([""], first), CAMERAS)


def test_distillation_reaches_every_frame_but_the_first(prior):
    rgb = clips().requires_grad_()
    settings = Distillation("x0", 5.0, "from-conditional", x0_rescale=0.25)
    value = score_distillation(prior, rgb, torch.tensor([150]), request(prior, rgb), settings, generator(0))
    value.backward()
    moved = rgb.grad.abs().amax((1, 2, 3)).view(VIEWS, FRAMES)
    assert not moved[:, 0].any()
    assert (moved[:, 1:] > 0).all()


@pytest.mark.parametrize("frames", [FRAMES, 16])
def test_the_distillation_gradient_is_animate3ds(prior, frames):
    """`0.5 sum (z - x0)^2 / (n f) * f / (f - 1)` with `c + 5 (c - u)` and the deviation taken over a whole clip."""
    if frames > prior.unet.longest:
        prior = mv_vdm(motion_max_seq_length=frames)
    cameras = RING[torch.arange(VIEWS).repeat_interleave(frames)]
    rgb = torch.rand(VIEWS * frames, 64, 64, 3, generator=generator(0, "clips"))
    latents, first, t = prior.encode(rgb).detach(), rgb[::frames], torch.tensor([150])
    told, untold = prior.condition(["a fox"], first), prior.unconditional([""], first)
    settings = Distillation("x0", 5.0, "from-conditional", x0_rescale=0.25)
    mine = latent_gradient(prior, latents, t, Request(told, untold, cameras), settings, generator(4))
    noise = torch.randn(latents.shape, generator=generator(4))
    a = prior.schedule.alphas_cumprod[150].float()
    moving = (torch.arange(VIEWS * frames) % frames > 0).view(-1, 1, 1, 1)
    noisy = torch.where(moving, a.sqrt() * latents + (1 - a).sqrt() * noise, latents)
    with torch.no_grad():
        c, u = (prior.denoise(noisy, t, conditioning, Viewpoints(cameras)) for conditioning in (told, untold))

    def clean(eps):
        return (noisy - (1 - a).sqrt() * eps) / a.sqrt()

    x0, plain = clean(c + 5 * (c - u)), clean(c)
    factor = plain[moving.flatten()].std() / x0[moving.flatten()].std()
    x0 = torch.where(moving, 0.25 * x0 * factor + 0.75 * x0, latents)
    z = latents.clone().requires_grad_()
    loss = 0.5 * (z - x0).square().sum() / (VIEWS * frames) * frames / (frames - 1)
    torch.testing.assert_close(mine, torch.autograd.grad(loss, z)[0], atol=1e-5, rtol=1e-3)


def test_clips_are_sampled_around_their_first_frames(prior):
    first = clips()[::FRAMES]
    known = known_first_frames(prior.encode(first), FRAMES)
    query = Query(prior.condition(["a fox"], first), prior.unconditional(["ugly"], first), CAMERAS)
    shape = (1, VIEWS, FRAMES, 4, 8, 8)
    drawn = sample(prior, query, known, shape, 2, 7.5, generator(0), FreeInit(2))
    assert torch.isfinite(drawn).all()
    torch.testing.assert_close(drawn[::FRAMES], prior.encode(first))
    other = Query(prior.condition(["a fox"], first), prior.unconditional(["old"], first), CAMERAS)
    assert (sample(prior, other, known, shape, 2, 7.5, generator(0), FreeInit(2)) - drawn).abs().max() > 1e-4


def test_the_released_files_load_and_predict_as_what_was_saved(prior, saved):
    torch.testing.assert_close(ask(load(saved)), ask(prior), atol=1e-5, rtol=1e-4)
    loaded = load(saved)
    torch.testing.assert_close(
        loaded.schedule.alphas_cumprod[[20, 961]].float(), torch.tensor([0.979999, 0.002478]), atol=1e-6, rtol=0
    )
    assert not any(parameter.requires_grad for parameter in loaded.unet.parameters())
    assert with_bases(["animate3d"]) == ["mv-vdm", "mvdream-1.5", "ip-adapter-1.5"]


@pytest.mark.parametrize(("views", "size"), [(2, (64, 64)), (6, (64, 80)), (4, (40, 64))])
def test_views_and_size_may_be_others(saved, views, size):
    options = {"views": views, "size": size, "condition_frame_time_zero": views == 6}
    loaded = load_prior("mv-vdm", Placement(overrides=saved), options)
    assert (loaded.views, loaded.encoder.size) == (views, size)
    ring = Viewpoints(turntable(views, 15.0, 3.0, 40.0, 64)[torch.arange(views).repeat_interleave(FRAMES)])
    rgb = torch.rand(views * FRAMES, *size, 3, generator=generator(5))
    latents, t = loaded.encode(rgb), torch.tensor([400])
    assert latents.shape == (views * FRAMES, 4, size[0] // 8, size[1] // 8)
    told = loaded.condition(["a fox"], rgb[::FRAMES])
    assert loaded.unconditional([""])["image"].shape[1] == views
    with torch.no_grad():
        predicted = loaded.denoise(latents, t, told, ring)
        loaded.unet.condition_frame_time_zero = not loaded.unet.condition_frame_time_zero
        otherwise = loaded.denoise(latents, t, told, ring)
        swapped = latents.clone()
        swapped[-1] += 1
        loaded.unet.condition_frame_time_zero = not loaded.unet.condition_frame_time_zero
        seen = loaded.denoise(swapped, t, told, ring)
    assert predicted.shape == latents.shape
    assert (predicted - otherwise).abs().max() > 1e-4
    # What one view shows reaches all of the others.
    assert ((seen - predicted).abs().amax((1, 2, 3)).view(views, FRAMES).amax(1) > 1e-6).all()


def test_sizes_without_whole_latents_and_options_of_other_models_are_refused(saved):
    with pytest.raises(ConfigError, match="no multiples of 8"):
        load_prior("mv-vdm", Placement(overrides=saved), {"size": (60, 64)})
    with pytest.raises(ConfigError, match="cannot be told its 'views'"):
        check_options("stable-diffusion-1.5", ["views"])


@pytest.mark.parametrize("distributed", [False, True])
def test_the_release_as_it_lies_on_the_hub_loads(prior, folders, distributed):
    as_released(folders, distributed=distributed)
    torch.testing.assert_close(ask(load(folders)), ask(prior), atol=1e-5, rtol=1e-4)


def test_a_checkpoint_inside_of_a_training_state_loads(prior, folders):
    path = folders["mv-vdm"] / "weights.safetensors"
    torch.save({"epoch": 3, "state_dict": load_file(path), "optimizer": {"lr": 1e-4}}, path.with_suffix(".ckpt"))
    path.unlink()
    torch.testing.assert_close(ask(load(folders)), ask(prior), atol=1e-5, rtol=1e-4)


def test_adapters_count_their_attentions_with_the_middle_last(prior):
    """Were the middle taken in its place in the network, its widths would be those of another block."""
    tensors, state = adapter_tensors(prior.unet), prior.unet.state_dict()
    last = max(int(name.split(".")[1]) for name in tensors if name.startswith("ip_adapter."))
    mine = state["mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_k_ip.0.weight"]
    assert torch.equal(tensors[f"ip_adapter.{last}.to_k_ip.weight"], mine)


def damage_drop(path):
    state = load_file(path)
    state.pop(sorted(state)[3])
    save_file(state, path)


def damage_widen(path):
    state = load_file(path)
    name = next(name for name in sorted(state) if state[name].ndim == 2)
    state[name] = torch.zeros(3, 3)
    save_file(state, path)


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [damage_drop, damage_widen, damage_cut])
@pytest.mark.parametrize(
    "file",
    [
        "mv-vdm/weights.safetensors",
        "mvdream-1.5/unet/diffusion_pytorch_model.safetensors",
        "ip-adapter-1.5/models/ip-adapter_sd15.safetensors",
    ],
)
def test_damaged_files_are_one_line(folders, damage, file):
    name, _, inside = file.partition("/")
    damage(folders[name] / inside)
    with pytest.raises(BackendUnavailableError) as caught:
        load(folders)
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    assert "\n" not in str(caught.value)


def test_a_file_without_motion_modules_and_a_missing_adapter_are_named(folders):
    (folders["ip-adapter-1.5"] / "models" / "ip-adapter_sd15.safetensors").unlink()
    with pytest.raises(BackendUnavailableError, match="ip-adapter_sd15"):
        load(folders)
    save_file({"a": torch.zeros(1)}, folders["mv-vdm"] / "weights.safetensors")
    with pytest.raises(BackendUnavailableError, match="no motion modules"):
        load(folders)


def test_single_files_are_fetched_found_and_checked(folders, tmp_path):
    listed = ["README.md", "animate3d_motion_modules.ckpt", "other.ckpt"]
    assert needed_files(listed, ["animate3d_motion_modules.ckpt"]) == ["animate3d_motion_modules.ckpt"]
    adapter = ["models/image_encoder/config.json", "models/image_encoder/model.safetensors"]
    wanted = [*adapter, "models/ip-adapter_sd15.safetensors"]
    listed = [*wanted, "models/ip-adapter_sd15.bin", "models/ip-adapter-plus_sd15.safetensors", "sdxl_models/a.bin"]
    assert needed_files(listed, ["models/image_encoder", "models/ip-adapter_sd15.safetensors"]) == sorted(wanted)
    with pytest.raises(BackendUnavailableError, match="no weights of animate3d"):
        needed_files(["README.md"], ["animate3d_motion_modules.ckpt"])
    for name in ("mv-vdm", "ip-adapter-1.5", "animatediff-1.5.2", "mvdream-1.5"):
        assert check(name, folders) == folders[name]
    damage_cut(folders["mv-vdm"] / "weights.safetensors")
    with pytest.raises(BackendUnavailableError, match="not fully downloaded"):
        check("mv-vdm", folders)
    assert not is_whole(tmp_path, ["animate3d_motion_modules.ckpt"])
    (tmp_path / "animate3d_motion_modules.ckpt").touch()
    assert is_whole(tmp_path, ["animate3d_motion_modules.ckpt"])


def test_what_is_only_part_of_a_prior_is_no_prior(saved):
    with pytest.raises(ConfigError, match="no prior by itself"):
        load_prior("ip-adapter-1.5", Placement(overrides=saved))


def test_a_new_model_starts_from_motion_modules_and_frozen_queries(prior, saved):
    parts = {name: WeightsFolder(path) for name, path in saved.items()}
    fresh = assemble_new(
        parts["mvdream-1.5"], adapter_file(parts["ip-adapter-1.5"]), parts["animatediff-1.5.2"], seed=1
    )
    again = assemble_new(
        parts["mvdream-1.5"], adapter_file(parts["ip-adapter-1.5"]), parts["animatediff-1.5.2"], seed=1
    )
    mine, released, same = fresh.state_dict(), prior.unet.state_dict(), again.state_dict()
    for name, value in mine.items():
        assert torch.equal(value, same[name]), name
        if ".processor." not in name or "_ip." in name:
            assert torch.equal(value, released[name]), name
        if name.endswith("to_q_i2v.weight"):
            assert torch.equal(value, released[name.replace("processor.to_q_i2v", "to_q")])
        if "to_out_i2v" in name or name.endswith("mix_factor"):
            assert not value.any()
        if "to_q_sp" in name:
            assert 0.1 < float(value.std() * value.shape[1] ** 0.5) < 1


def test_saved_tensors_are_the_trained_ones_and_read_back(tmp_path):
    unet = mv_vdm_unet(seed=3)
    save_trained(tmp_path / "weights.safetensors", unet)
    state = load_file(tmp_path / "weights.safetensors")
    assert all("i2v." in name or "motion_modules." in name for name in state)
    missing, unexpected = mv_vdm_unet(seed=4).load_state_dict(state, strict=False)
    assert unexpected == []
    assert not any("i2v." in name or "motion_modules." in name for name in missing)
