"""Camera-guided low-rank adapters: what they follow, row by row, and what is kept of them."""

import math

import pytest
import tiny_models as tiny
import torch
from guided import SIZES, attached, awakened, cameras, denoised, model, noisy, query
from safetensors.torch import load_file, save_file

from a4d.config import parse
from a4d.errors import BackendUnavailableError, ConfigError
from a4d.priors import offloading
from a4d.priors.adapters import apply_adapter
from a4d.priors.camera_codes import view_code
from a4d.priors.cg_lora import CG_LORA_FILE, CgLoraConfig
from a4d.priors.cross_attention import RowGuidance
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.priors.placement import Placement
from a4d.priors.prediction import Wants, predict
from a4d.priors.protocol import Conditioning, Viewpoints, denoise_jointly
from a4d.priors.released.controlnet_tile import ControlNetTile
from a4d.priors.released.mvdream import MVDream, multi_view_config
from a4d.priors.released.text_to_video import TextToVideo
from a4d.priors.schedule import noise_schedule


def test_a_view_code_tells_place_direction_and_lens():
    ahead = view_code(cameras(0.0))[0]
    torch.testing.assert_close(ahead[3:], torch.tensor([0.0, 10 / 90, math.radians(40)]))
    aside = view_code(cameras(90.0, elevation=30.0, fov=60.0, radius=2.0))[0]
    torch.testing.assert_close(aside, torch.tensor([3**0.5, 1.0, 0.0, 0.5, 1 / 3, math.pi / 3]), atol=1e-5, rtol=1e-5)


def test_the_end_of_a_text_is_found_whatever_it_is_padded_with():
    text = tiny.text_encoder()
    ends = [5, 2, 76]
    for padding in (text.tokenizer.eos_token, "a"):
        text.tokenizer.pad_token = padding
        text._known.clear()
        prompts = ["a cat", "e", "a" * 100]
        states = text(prompts, "cpu")
        expected = torch.stack([states[row, place] for row, place in enumerate(ends)])
        torch.testing.assert_close(text.summaries(prompts, "cpu"), expected, atol=0, rtol=0)


def test_at_the_start_the_prior_is_what_it_was():
    seen = cameras(0.0, 120.0)
    plain = denoised(model(**SIZES), seen)
    prior = model(**SIZES)
    adapter = attached(prior)
    torch.testing.assert_close(denoised(prior, seen), plain, atol=1e-6, rtol=0)
    layers = [name for name, _ in prior.unet.named_modules() if name.endswith(".attn2")]
    assert len(adapter.layers) == len(layers) == 7
    assert all(set(layer) == {"to_q", "to_k", "to_v", "to_out"} for layer in adapter.layers.values())
    assert all(parameter.dtype == torch.float32 for parameter in adapter.parameters())


def test_an_update_is_the_papers_equation():
    adapter = awakened(attached(model()))
    update = next(iter(adapter.layers.values()))["to_q"]
    text, camera, tokens = (torch.randn(2, *shape) for shape in ((16,), (16,), (5, 16)))
    made = update(tokens, RowGuidance(text, camera))
    for row in range(2):
        parts = []
        for name, feature in (("text", text), ("camera", camera)):
            generate = update.generators[name]
            flat = generate.up.flatten(0, 1) @ (generate.down @ feature[row])
            parts.append(flat.view(2, 16))
        torch.testing.assert_close(made[row], tokens[row] @ torch.cat(parts).T @ update.up.T, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("text_rank", "camera_rank"), [(2, 2), (4, 0), (0, 4)])
@torch.no_grad()
def test_the_output_follows_the_camera_and_the_text_that_it_is_told(text_rank, camera_rank):
    prior = model()
    awakened(attached(prior, text_rank=text_rank, camera_rank=camera_rank))
    seen = cameras(0.0, 0.0)
    start = denoised(prior, seen)
    for change in (cameras(0.0, 90.0), cameras(0.0, 0.0, fov=50.0)):
        assert (float((denoised(prior, change)[1] - start[1]).abs().max()) > 1e-4) == (camera_rank > 0)
    # What a prompt says reaches A beside the tokens that are attended to.
    told, other = (prior.condition(prompts) for prompts in (["a cat"] * 2, ["a cat", "a dog, back view"]))
    mixed = Conditioning({**told.tensors, "eot": other["eot"]})
    changed = prior.denoise(noisy(), torch.full((2,), 300), mixed, query(prior, seen).seen)
    assert (float((changed[1] - start[1]).abs().max()) > 1e-4) == (text_rank > 0)
    torch.testing.assert_close(changed[0], start[0], atol=1e-6, rtol=0)


@torch.no_grad()
def test_rows_keep_their_own_cameras_when_they_are_doubled_and_split():
    prior = model()
    awakened(attached(prior))
    azimuths, prompts, t = (0.0, 90.0, 200.0), ["a cat", "a dog", "a cow"], torch.tensor([100, 300, 500])
    alone = []
    for row, (azimuth, prompt) in enumerate(zip(azimuths, prompts, strict=True)):
        asked = query(prior, cameras(azimuth), [prompt])
        alone.append(prior.denoise(noisy(3)[row : row + 1], t[row : row + 1], asked.conditional, asked.seen))
    asked = query(prior, cameras(*azimuths), prompts)
    for at_once in (None, 1, 2):
        prior.samples_at_once = at_once
        untold, told = denoise_jointly(prior, noisy(3), t, [asked.unconditional, asked.conditional], asked.seen)
        torch.testing.assert_close(told, torch.cat(alone), atol=1e-5, rtol=1e-4)
        assert float((untold - told).abs().max()) > 1e-3


def test_each_view_of_a_ring_has_its_own_camera():
    config = multi_view_config({**tiny.UNET, "sample_size": 8})
    prior = MVDream(
        tiny.unet(**{name: value for name, value in config.items() if name not in tiny.UNET}),
        tiny.vae(), tiny.text_encoder(), noise_schedule("scaled-linear"),
    )  # fmt: skip
    seen, t = cameras(0.0, 90.0, 180.0, 270.0), torch.tensor([300])
    conditioning = prior.condition(["a cat"])
    plain = prior.denoise(noisy(4), t, conditioning, query(prior, seen).seen)
    adapter = attached(prior)
    torch.testing.assert_close(prior.denoise(noisy(4), t, conditioning, query(prior, seen).seen), plain)
    awakened(adapter)
    guided = prior.denoise(noisy(4), t, conditioning, query(prior, seen).seen)
    assert float((guided - plain).abs().amax(dim=(1, 2, 3)).min()) > 1e-4


def test_what_a_picture_controls_follows_the_camera_too():
    prior = ControlNetTile(
        tiny.unet(), tiny.controlnet(), tiny.vae(), tiny.text_encoder(), noise_schedule("scaled-linear")
    )
    conditioning = prior.condition(["a cat"], torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0)))
    awakened(attached(prior))
    front, back = (
        prior.denoise(noisy(1), torch.tensor([300]), conditioning, Viewpoints(cameras(azimuth)))
        for azimuth in (0.0, 180.0)
    )
    assert float((front - back).abs().max()) > 1e-4


def loss_taught(shuffled):
    """What is left of the noise in four pictures that an adapter learns by their cameras alone."""
    prior, seen, pictures = model(), cameras(0.0, 90.0, 180.0, 270.0), 2 * noisy(4, size=4)
    adapter = attached(prior, text_rank=0)
    optimiser = torch.optim.Adam(adapter.parameters(), 2e-2)
    t, draws = torch.full((4,), 900), torch.Generator().manual_seed(5)
    for _ in range(40):
        order = torch.randperm(4, generator=draws) if shuffled else torch.arange(4)
        noise = torch.Generator().manual_seed(6)
        made = predict(prior, pictures, t, query(prior, seen[order]), Wants(into_model=True), noise)
        loss = (made.conditional - made.noise).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach())


def test_permuted_cameras_train_worse():
    assert loss_taught(shuffled=False) < 0.95 * loss_taught(shuffled=True)


def test_a_prior_that_visits_the_device_takes_its_updates_along(monkeypatch):
    seen = cameras(0.0, 120.0)
    found = []
    copies = []
    monkeypatch.setattr(offloading, "copied", lambda tensor, device: copies.append(1) or tensor.clone())
    for offload in ("none", "all"):
        prior = model()
        prior.unet = Placement(offload=offload).placed(prior.unet)
        adapter = awakened(attached(prior)).requires_grad_(True)
        value = denoised(prior, seen)
        found.append([value, *torch.autograd.grad(value.square().sum(), list(adapter.parameters()))])
    assert copies
    for here, away in zip(*found, strict=True):
        torch.testing.assert_close(away, here)


def test_what_was_learnt_is_kept_and_learns_on_from_where_it_was(tmp_path):
    prior, seen = model(), cameras(0.0, 120.0)
    awakened(attached(prior, camera_rank=3, bottleneck=5)).save(tmp_path)
    learnt = denoised(prior, seen)
    again = model()
    apply_adapter(again, tmp_path)
    torch.testing.assert_close(denoised(again, seen), learnt, atol=1e-6, rtol=0)
    assert not denoised(again, seen).requires_grad
    with pytest.raises(ConfigError, match="other settings"):
        attached(again)
    continued = attached(again, camera_rank=3, bottleneck=5)
    assert continued is again.adapter
    torch.testing.assert_close(denoised(again, seen), learnt, atol=1e-6, rtol=0)
    with pytest.raises(ConfigError, match="already"):
        apply_adapter(again, tmp_path)


def test_an_adapter_that_does_not_fit_is_refused(tmp_path):
    attached(model()).save(tmp_path)
    state = load_file(tmp_path / CG_LORA_FILE)
    with pytest.raises(BackendUnavailableError, match="does not fit"):
        apply_adapter(model(**SIZES), tmp_path)
    save_file({name: value for name, value in state.items() if "camera" not in name}, tmp_path / CG_LORA_FILE)
    with pytest.raises(BackendUnavailableError, match="does not fit"):
        apply_adapter(model(), tmp_path)


def test_priors_without_a_text_and_a_camera_per_image_have_none():
    clips = TextToVideo(tiny.unet_3d(), tiny.vae(), tiny.text_encoder(), noise_schedule("scaled-linear"))
    for prior in (clips, ExactPrior(ExampleSet(torch.rand(2, 8, 8, 3)))):
        with pytest.raises(ConfigError, match="learns"):
            attached(prior)
    with pytest.raises(ConfigError, match="both 0"):
        parse(CgLoraConfig, {"kind": "cg-lora", "text_rank": 0, "camera_rank": 0})
    prior = model()
    attached(prior)
    with pytest.raises(ConfigError, match="cameras"):
        prior.denoise(noisy(), torch.full((2,), 300), prior.condition(["a cat"] * 2))
