"""Every released architecture with tiny random weights: what goes in, what changes the output, where gradients go."""

import pytest
import tiny_models as tiny
import torch
from safetensors.torch import save_file
from tiny_priors import (
    BUILDERS,
    SCHEDULE,
    VIEWS,
    animatediff,
    conditionings,
    controlnet_tile,
    deep_floyd,
    noise,
    pictures,
    samples_of,
    spy_on,
    stable_diffusion,
    text_to_video,
    zero123,
)

from a4d.errors import BackendUnavailableError, ConfigError
from a4d.geometry.cameras import orbit
from a4d.objectives.distillation import Distillation, Request, score_distillation
from a4d.priors.components import CLIP_DEVIATION, CLIP_MEAN, clip_pixels, read_token, resized
from a4d.priors.protocol import Viewpoints, denoise_jointly


@pytest.mark.parametrize("name", BUILDERS)
def test_gradients_reach_the_images(name):
    prior = BUILDERS[name]()
    rgb = pictures().requires_grad_()
    samples = samples_of(prior)
    conditional, unconditional = conditionings(prior, samples)
    value = score_distillation(
        prior,
        rgb,
        torch.full((samples,), 300),
        Request(conditional, unconditional, VIEWS),
        Distillation(guidance_scale=7.5),
        torch.Generator().manual_seed(0),
    )
    value.backward()
    assert float(value.detach()) > 0
    assert rgb.grad.shape == rgb.shape
    assert (rgb.grad.abs().amax((1, 2, 3)) > 0).all()
    assert torch.isfinite(rgb.grad).all()


@pytest.mark.parametrize("name", BUILDERS)
def test_latents_are_images_in_minus_one_to_one_at_the_models_size(name):
    prior = BUILDERS[name]()
    latents = prior.encode(pictures())
    if name == "deep_floyd":
        assert latents.shape == (4, 3, 16, 16)
        torch.testing.assert_close(prior.encode(torch.ones(1, 16, 16, 3)), torch.ones(1, 3, 16, 16))
        torch.testing.assert_close(prior.encode(torch.zeros(1, 99, 99, 3)), -torch.ones(1, 3, 16, 16))
        return
    assert latents.shape == (4, 4, 8, 8)
    images = resized(pictures(), (64, 64)) * 2 - 1
    expected = prior.encoder.vae.encode(images).latent_dist.mean * 0.18215
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "zero123"])
def test_prompts_change_the_output_and_stay_in_order(name):
    prior = BUILDERS[name]()
    samples = samples_of(prior)
    latents, t = prior.encode(pictures()), torch.full((samples,), 500)
    cat, empty = conditionings(prior, samples)
    dog, _ = conditionings(prior, samples, "dog, side view")
    outputs = denoise_jointly(prior, latents, t, [cat, empty, dog], Viewpoints(VIEWS))
    for i, conditioning in enumerate((cat, empty, dog)):
        alone = prior.denoise(latents, t, conditioning, Viewpoints(VIEWS))
        assert alone.shape == latents.shape
        torch.testing.assert_close(outputs[i], alone, atol=1e-5, rtol=1e-4)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3
    assert (outputs[0] - outputs[2]).abs().max() > 1e-3


@pytest.mark.parametrize("name", BUILDERS)
def test_noise_levels_belong_to_their_sample(name):
    prior = BUILDERS[name]()
    group = 4 // samples_of(prior)
    latents = prior.encode(pictures()).repeat(2 if group == 4 else 1, 1, 1, 1)[: 4 * (1 + (group == 4))]
    cameras = VIEWS[torch.arange(len(latents)) % 4]
    t = torch.tensor([100, 900]) if group == 4 else torch.tensor([100, 900, 100, 900])
    conditional, _ = conditionings(prior, len(t))
    together = prior.denoise(latents, t, conditional, Viewpoints(cameras))
    one, _ = conditionings(prior, 1)
    for i, level in enumerate(t):
        part = slice(i * group, (i + 1) * group)
        alone = prior.denoise(latents[part], level[None], one, Viewpoints(cameras[part]))
        torch.testing.assert_close(together[part], alone, atol=1e-5, rtol=1e-4)


def test_stable_diffusion_predicts_noise_from_epsilon_and_from_v():
    epsilon, v = stable_diffusion(), stable_diffusion(prediction="v")
    latents, t = noise(2), torch.tensor([50, 800])
    asked = epsilon.condition(["a cat", "a dog"])
    raw = epsilon.unet(latents, t, epsilon.text(["a cat", "a dog"], "cpu")).sample
    torch.testing.assert_close(epsilon.denoise(latents, t, asked), raw)
    a = SCHEDULE.alphas_cumprod[t].float().view(-1, 1, 1, 1)
    torch.testing.assert_close(v.denoise(latents, t, asked), a.sqrt() * raw + (1 - a).sqrt() * latents)


def test_stable_diffusion_agrees_with_the_pipelines_encoding_of_prompts():
    prior = stable_diffusion()
    tokens = prior.text.tokenizer(["a cat"], padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    assert tokens.input_ids.shape == (1, 77)
    assert prior.text(["a cat"], "cpu").shape == (1, 77, tiny.WIDTH)
    torch.testing.assert_close(prior.text(["a cat"], "cpu"), prior.text.model(tokens.input_ids)[0])


def test_prompts_are_encoded_once(monkeypatch):
    text = tiny.text_encoder()
    calls = []
    forward = text.model.forward
    monkeypatch.setattr(text.model, "forward", lambda ids, **more: calls.append(len(ids)) or forward(ids, **more))
    text(["a", "b", "a"], "cpu")
    text(["b", "c"], "cpu")
    assert calls == [2, 1]


def test_a_learnt_token_changes_what_it_is_written_in_alone():
    text = tiny.text_encoder()
    before = text(["a cat", "a <fox>"], "cpu")
    text.learn("<fox>", torch.full((tiny.WIDTH,), 2.0))
    after = text(["a cat", "a <fox>"], "cpu")
    torch.testing.assert_close(after[0], before[0])
    assert (after[1] - before[1]).abs().max() > 1e-2
    assert len(text.tokenizer("<fox>").input_ids) == 3


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_token_is_read_in_both_forms(form, tmp_path):
    path, embedding = tmp_path / f"learned_embeds.{form}", torch.randn(tiny.WIDTH)
    if form == "bin":
        torch.save({"_panda_": embedding}, path)
    else:
        save_file({"_panda_": embedding[None]}, path)
    token, found = read_token(path)
    assert token == "_panda_"
    torch.testing.assert_close(found, embedding)
    save_file({"a": embedding, "b": embedding.clone()}, tmp_path / "two.safetensors")
    with pytest.raises(BackendUnavailableError, match="one token"):
        read_token(tmp_path / "two.safetensors")


def test_the_tokens_of_animate124_are_read(real_data):
    files = sorted(real_data.rglob("learned_embeds.bin"))
    assert files
    for file in files:
        token, embedding = read_token(file)
        assert token.strip("<>_")
        assert embedding.shape == (768,)


def test_sampled_latents_are_reproducible_and_chunks_change_nothing():
    encoder = tiny.vae()
    draws = [encoder(pictures(), torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    torch.testing.assert_close(draws[0], draws[1])
    assert (draws[0] - draws[2]).abs().max() > 1e-4
    rgb = pictures().requires_grad_()
    weight = noise(4)
    whole = torch.autograd.grad((encoder(rgb) * weight).sum(), rgb)[0]
    encoder.chunk = 1
    torch.testing.assert_close(torch.autograd.grad((encoder(rgb) * weight).sum(), rgb)[0], whole, atol=1e-6, rtol=1e-4)


def test_deep_floyd_drops_the_variance():
    prior = deep_floyd()
    asked = prior.condition(["a cat"])
    predicted = prior.denoise(noise(1, 3, 16), torch.tensor([10]), asked)
    raw = prior.unet(noise(1, 3, 16), 10, asked["text"]).sample
    torch.testing.assert_close(predicted, raw[:, :3])


def test_zero123_tensors(monkeypatch):
    """The token is projection([embedding, polar, sin, cos, distance]); the latents beside are unscaled and clean."""
    prior = zero123()
    reference = orbit(torch.tensor([10.0]), torch.tensor([5.0]), 2.0, 40.0, 48, 48)
    views = orbit(torch.tensor([40.0, -80.0]), torch.tensor([25.0, 5.0]), torch.tensor([2.0, 2.5]), 40.0, 48, 48)
    picture = pictures(1)
    conditional = prior.condition(["", ""], picture.expand(2, -1, -1, -1), reference)
    unconditional = prior.unconditional(["", ""], picture, reference)
    seen = spy_on(prior.unet, monkeypatch)
    latents = noise(2)
    denoise_jointly(prior, latents, torch.tensor([400, 600]), [unconditional, conditional], Viewpoints(views))
    sample, t, token = seen["arguments"]
    assert sample.shape == (4, 8, 8, 8)
    assert token.shape == (4, 1, tiny.WIDTH)
    assert t.tolist() == [400, 600, 400, 600]
    torch.testing.assert_close(sample[:, :4], latents.repeat(2, 1, 1, 1))
    assert sample[:2, 4:].abs().max() == 0
    assert token[:2].abs().max() == 0
    mode = prior.encoder.vae.encode(resized(picture, (64, 64)) * 2 - 1).latent_dist.mode()
    torch.testing.assert_close(sample[2:, 4:], mode.expand(2, -1, -1, -1), atol=1e-5, rtol=1e-4)
    embedding = prior.image_encoder(clip_pixels(picture, 32)).image_embeds
    change = torch.deg2rad(torch.tensor([[-20.0, 30.0], [0.0, -90.0]]))
    code = torch.stack([change[:, 0], change[:, 1].sin(), change[:, 1].cos(), torch.tensor([0.0, 0.5])], dim=-1)
    expected = prior.projection(torch.cat([embedding.expand(2, -1), code], dim=-1))
    torch.testing.assert_close(token[2:, 0], expected, atol=1e-4, rtol=1e-4)


def test_zero123_sees_camera_and_picture():
    prior, latents, t = zero123(), noise(1), torch.tensor([500])
    right, left = (orbit(torch.tensor([a]), torch.tensor([0.0]), 2.0, 40.0, 48, 48) for a in (30.0, -30.0))
    outputs = [
        prior.denoise(latents, t, conditionings(prior, 1, image=i)[0], Viewpoints(c))
        for i in (0, 3)
        for c in (right, left)
    ]
    for i in range(4):
        for j in range(i):
            assert (outputs[i] - outputs[j]).abs().max() > 1e-4
    with pytest.raises(ConfigError, match="reference"):
        prior.condition([""])
    with pytest.raises(ConfigError, match="cameras"):
        prior.denoise(latents, t, conditionings(prior, 1)[0])


def test_clip_pixels_agree_with_the_processor():
    from transformers import CLIPImageProcessor

    rgb = pictures(1, 96)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    bytes_ = (rgb[0] * 255).round().to(torch.uint8).numpy()
    expected = torch.as_tensor(processor(bytes_, return_tensors="pt").pixel_values)
    torch.testing.assert_close(clip_pixels(rgb, 32), expected, atol=0.03, rtol=0)
    assert processor.image_mean == pytest.approx(CLIP_MEAN)
    assert processor.image_std == pytest.approx(CLIP_DEVIATION)


@pytest.mark.parametrize("build", [text_to_video, animatediff])
def test_a_video_is_seen_as_a_whole_and_in_order(build, monkeypatch):
    prior = build()
    seen = spy_on(prior.unet, monkeypatch)
    latents, t = noise(6), torch.tensor([100, 700])
    asked = prior.condition(["a cat", "a dog"])
    output = prior.denoise(latents, t, asked)
    clips = seen["arguments"][0]
    assert clips.shape == (2, 4, 3, 8, 8)
    for sample in range(2):
        for frame in range(3):
            torch.testing.assert_close(clips[sample, :, frame], latents[sample * 3 + frame])
    changed = latents.clone()
    changed[0] += 1
    difference = (prior.denoise(changed, t, asked) - output).abs().amax((1, 2, 3))
    assert (difference[:3] > 1e-5).all()
    assert difference[3:].max() == 0


def test_motion_modules_have_places_for_so_many_frames():
    prior = animatediff()
    with pytest.raises(ConfigError, match="up to 6 frames, not 7"):
        prior.denoise(noise(7), torch.tensor([100]), prior.condition(["a cat"]))


def test_controlnet_tensors(monkeypatch):
    prior = controlnet_tile()
    seen = spy_on(prior.controlnet, monkeypatch)
    images = pictures(2)
    conditional = prior.condition(["a cat", "a cat"], images)
    unconditional = prior.unconditional(["blurry", ""], images)
    outputs = denoise_jointly(prior, noise(2), torch.tensor([200, 300]), [unconditional, conditional])
    _, t, text, control = seen["arguments"]
    assert t.tolist() == [200, 300, 200, 300]
    torch.testing.assert_close(control, resized(images, (64, 64)).repeat(2, 1, 1, 1))
    assert 0 <= float(control.min()) <= float(control.max()) <= 1
    expected = prior.text(["blurry", "", "best quality, high resolution", "best quality, high resolution"], "cpu")
    torch.testing.assert_close(text, expected)
    prior.strength = 0.0
    without = denoise_jointly(prior, noise(2), torch.tensor([200, 300]), [unconditional, conditional])
    assert (outputs[1] - without[1]).abs().max() > 1e-3
    plain = prior.unet(noise(2), torch.tensor([200, 300]), conditional["text"]).sample
    torch.testing.assert_close(without[1], plain, atol=1e-5, rtol=1e-4)
    with pytest.raises(ConfigError, match="image"):
        prior.condition(["a cat"])
