"""Tokens and low-rank adapters learnt with tiny random models: what changes, what does not, and what is read back."""

import pytest
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file

from a4d.errors import BackendUnavailableError, ConfigError, UsageError
from a4d.geometry.cameras import turntable
from a4d.priors.components import TextEncoder, read_token
from a4d.priors.lora import attach_lora, lora_state, merge_lora
from a4d.priors.personalisation import (
    PHRASES,
    Pictures,
    Training,
    apply_adapter,
    denoising_loss,
    learn_lora,
    learn_token,
    save_lora,
    save_token,
)
from a4d.priors.schedule import noise_schedule
from a4d.priors.stable_diffusion import StableDiffusion
from a4d.priors.zero123 import Zero123

CAMERAS = turntable(2, 15.0, 2.0, 40.0, 64)
SCHEDULE = noise_schedule()


def pictures() -> Pictures:
    draws = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 3, 4, 4, generator=draws)
    rgb = torch.nn.functional.interpolate(coarse, 64).permute(0, 2, 3, 1)
    return Pictures([rgb[:1], rgb[1:]], [CAMERAS[0], CAMERAS[1]])


def text_to_image(prediction: str = "epsilon") -> StableDiffusion:
    return StableDiffusion(tiny.unet(), tiny.vae(), tiny.text_encoder(), noise_schedule(prediction=prediction))


def listening() -> StableDiffusion:
    """A model whose output depends on its prompt more than a random one's does."""
    prior = text_to_image()
    with torch.no_grad():
        for name, parameter in prior.unet.named_parameters():
            if "attn2.to_v" in name or "attn2.to_out" in name:
                parameter *= 5
    return prior


def zero123() -> Zero123:
    projection = tiny.random_weights(torch.nn.Linear(tiny.WIDTH + 4, tiny.WIDTH))
    return Zero123(tiny.unet(in_channels=8), tiny.vae(), tiny.image_encoder(), projection, SCHEDULE)


def mean_loss(prior, conditioning) -> float:
    """Over fixed pictures, noise levels and noise."""
    shown, draws, losses = pictures(), torch.Generator().manual_seed(5), []
    with torch.no_grad():
        for t in range(50, 1000, 100):
            for rgb, camera in zip(shown.rgb, shown.cameras, strict=True):
                latents = prior.encode(rgb)
                noise = torch.randn(latents.shape, generator=draws)
                losses.append(denoising_loss(prior, latents, torch.tensor([t]), conditioning, camera, noise))
    return float(torch.stack(losses).mean())


def test_a_token_is_learnt_and_nothing_else_changes() -> None:
    prior, untouched = listening(), listening()
    losses = []
    training = Training(80, 0.05, report=lambda step, loss: losses.append(loss))
    embedding = learn_token(prior, pictures(), "<subject>", "cat", training)
    model, before = prior.text.model, untouched.text.model
    table, former = model.get_input_embeddings().weight, before.get_input_embeddings().weight
    number = prior.text.tokenizer.convert_tokens_to_ids("<subject>")
    known = len(untouched.text.tokenizer)
    assert number == known
    assert torch.equal(table[:known], former[:known])
    assert torch.equal(table[number], embedding)
    start = former[untouched.text.tokenizer("cat", add_special_tokens=False).input_ids].mean(0)
    assert float((embedding - start).abs().max()) > 0.1
    rest = {name: value for name, value in model.state_dict().items() if "token_embedding" not in name}
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in rest.items())
    assert all(torch.equal(value, untouched.unet.state_dict()[name]) for name, value in prior.unet.state_dict().items())

    def loss_with(token: torch.Tensor) -> float:
        untouched.text.learn("<subject>", token)
        return sum(mean_loss(untouched, untouched.condition([phrase.format("<subject>")])) for phrase in PHRASES)

    draws = torch.Generator().manual_seed(0)
    elsewhere = [torch.nn.functional.normalize(torch.randn(tiny.WIDTH, generator=draws), dim=0) for _ in range(3)]
    length = float((embedding - start).norm())
    gains = [loss_with(start) - loss_with(start + length * direction) for direction in elsewhere]
    assert loss_with(start) - loss_with(embedding) > 4 * max(abs(gain) for gain in gains)
    assert len(losses) == 80


def test_a_token_is_read_back_in_both_forms(tmp_path) -> None:
    embedding = torch.linspace(-1, 1, tiny.WIDTH)
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
    save_token(tmp_path / "new", "<subject>", embedding)
    torch.save({"<subject>": embedding}, tmp_path / "old" / "learned_embeds.bin")
    assert read_token(tmp_path / "new" / "learned_embeds.safetensors")[0] == "<subject>"
    assert torch.equal(load_file(tmp_path / "new" / "learned_embeds.safetensors")["<subject>"], embedding)
    spoken = []
    for name in ("new", "old"):
        prior = text_to_image()
        apply_adapter(prior, tmp_path / name)
        spoken.append(prior.condition(["a photo of <subject>"])["text"])
    assert torch.equal(*spoken)
    assert not torch.allclose(spoken[0], text_to_image().condition(["a photo of <subject>"])["text"])


@pytest.mark.parametrize("build", [text_to_image, lambda: text_to_image("v"), zero123], ids=["epsilon", "v", "zero123"])
def test_low_rank_updates_learn_and_merge(build, tmp_path) -> None:
    prior = build()
    state = learn_lora(prior, pictures(), "a cat", Training(60, 5e-3), rank=2, image_dropout=0.0)
    shown = pictures()
    conditions = [each.condition(["a cat"], shown.rgb[0], shown.cameras[0]) for each in (prior, build())]
    start, learnt = mean_loss(build(), conditions[1]), mean_loss(prior, conditions[0])
    assert learnt < 0.95 * start
    save_lora(tmp_path, state)
    loaded = build()
    apply_adapter(loaded, tmp_path)
    assert mean_loss(loaded, conditions[1]) == pytest.approx(learnt, rel=1e-5)


def test_updates_are_nothing_at_first_and_touch_all_attention() -> None:
    plain, adapted = tiny.unet(), tiny.unet()
    layers = attach_lora(adapted, 3, torch.Generator().manual_seed(0))
    assert len(layers) == 4 * sum(name.endswith((".attn1", ".attn2")) for name, _ in plain.named_modules())
    draws = torch.Generator().manual_seed(2)
    latents, text = torch.randn(1, 4, 8, 8, generator=draws), torch.randn(1, 5, tiny.WIDTH, generator=draws)
    t = torch.tensor([300])
    assert torch.equal(plain(latents, t, text).sample, adapted(latents, t, text).sample)
    with torch.no_grad():
        for layer in layers.values():
            layer.up.normal_(generator=draws)
    changed = adapted(latents, t, text).sample.detach()
    assert float((changed - plain(latents, t, text).sample).abs().max()) > 1e-2
    merge_lora(plain, lora_state(layers))
    assert torch.allclose(plain(latents, t, text).sample, changed, atol=1e-4)


def test_a_dropped_prompt_or_picture_has_no_part_in_the_training() -> None:
    shown = pictures()
    turned = Pictures(shown.rgb, [CAMERAS[1], CAMERAS[0]])
    for build, subjects in (
        (text_to_image, ((shown, "a cat"), (shown, "a dog"))),
        (zero123, ((shown, ""), (turned, ""))),
    ):
        for dropout in (0.0, 1.0):
            first, second = (
                learn_lora(build(), seen, prompt, Training(4, 1e-2), image_dropout=dropout) for seen, prompt in subjects
            )
            assert all(torch.equal(value, second[name]) for name, value in first.items()) is (dropout == 1.0)


def test_what_does_not_fit_is_one_line(tmp_path) -> None:
    prior = text_to_image()
    with pytest.raises(UsageError, match="is a word of the model already"):
        learn_token(prior, pictures(), "a</w>", "cat", Training(1, 0.1))
    with pytest.raises(UsageError, match="learns no token"):
        learn_token(zero123(), pictures(), "<subject>", "cat", Training(1, 0.1))
    with pytest.raises(BackendUnavailableError, match="holds no adapter"):
        apply_adapter(prior, tmp_path)
    save_token(tmp_path, "<subject>", torch.zeros(7))
    with pytest.raises(BackendUnavailableError, match="has 7 numbers, and the model's tokens 16"):
        apply_adapter(prior, tmp_path)
    with pytest.raises(ConfigError, match="does not understand texts"):
        apply_adapter(zero123(), tmp_path)
    (tmp_path / "learned_embeds.safetensors").unlink()
    before = {name: value.clone() for name, value in prior.unet.state_dict().items()}
    layers = lora_state(attach_lora(tiny.unet(), 2, torch.Generator()))
    name = next(iter(layers))
    for broken in ({**layers, "unet.nowhere.lora_A.weight": layers[name].clone()}, {**layers, name: torch.zeros(2, 3)}):
        save_file(broken, tmp_path / "pytorch_lora_weights.safetensors")
        with pytest.raises(BackendUnavailableError, match="does not fit the model"):
            apply_adapter(prior, tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in prior.unet.state_dict().items())


def test_texts_are_encoded_alike_with_and_without_the_graph() -> None:
    text: TextEncoder = tiny.text_encoder()
    assert torch.equal(text.states(["a cat", "a dog"]), text(["a cat", "a dog"], "cpu"))
