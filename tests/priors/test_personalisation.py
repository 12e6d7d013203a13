"""Tokens and low-rank adapters learnt with tiny random models: what changes, what does not, and what is read back."""

import pytest
import tiny_models as tiny
import torch
from pickled_attack import Attack
from rich.console import Console
from safetensors.torch import load_file, save_file
from tiny_priors import animatediff, controlnet_tile, mvdream, stable_diffusion, text_to_video, zero123

from a4d.errors import BackendUnavailableError, ConfigError, UsageError
from a4d.geometry.cameras import turntable
from a4d.priors.adapters import TOKEN_FILES, apply_adapter, save_token
from a4d.priors.augmentation import Augmentation
from a4d.priors.components import TextEncoder, read_token
from a4d.priors.lora import LORA_FILE, attach_lora, lora_state, merge_lora
from a4d.priors.personalisation import PHRASES, Choices, LoraLearner, Pictures, TokenLearner, denoising_loss
from a4d.priors.released.stable_diffusion import StableDiffusion
from a4d.runtime import Runtime
from a4d.training.optimisers import Group, RateSchedule
from a4d.training.trainer import Trainer, TrainingConfig

CAMERAS = turntable(2, 15.0, 2.0, 40.0, 64)


def pictures() -> Pictures:
    draws = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 3, 4, 4, generator=draws)
    rgb = torch.nn.functional.interpolate(coarse, 64).permute(0, 2, 3, 1)
    return Pictures([rgb[:1], rgb[1:]], [CAMERAS[0], CAMERAS[1]])


def listening() -> StableDiffusion:
    """A model whose output depends on its prompt more than a random one's does."""
    prior = stable_diffusion()
    with torch.no_grad():
        for name, parameter in prior.unet.named_parameters():
            if "attn2.to_v" in name or "attn2.to_out" in name:
                parameter *= 5
    return prior


def train(learner, folder, steps, rate, batch=1):
    """Figures before and after."""
    config = TrainingConfig(
        steps=steps,
        groups=(Group(pattern="", rate=rate),),
        rates=RateSchedule(warm_up=0, decay_from=1),
        average=0,
        dtype="float32",
    )
    before = learner.validate(0, folder)["loss"]
    choices = Choices(len(learner.pictures.rgb), batch)
    after = Trainer(learner, choices, config, folder, Runtime(console=Console(quiet=True))).run()["loss"]
    return before, after


def mean_loss(prior, conditioning) -> float:
    """Over fixed pictures, noise levels and noise."""
    shown, draws, losses = pictures(), torch.Generator().manual_seed(5), []
    with torch.no_grad():
        encoded = [prior.encode(rgb) for rgb in shown.rgb]
        for t in range(50, 1000, 100):
            for latents, camera in zip(encoded, shown.cameras, strict=True):
                noise = torch.randn(latents.shape, generator=draws)
                losses.append(denoising_loss(prior, latents, torch.tensor([t]), conditioning, camera, noise))
    return float(torch.stack(losses).mean())


def test_a_token_is_learnt_and_nothing_else_changes(tmp_path) -> None:
    prior, untouched = listening(), listening()
    learner = TokenLearner(prior, pictures(), "<subject>", "cat")
    before_, after = train(learner, tmp_path, 80, 0.05)
    assert after < before_
    embedding = learner.learnt()
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
    untrained = loss_with(start)
    gains = [untrained - loss_with(start + length * direction) for direction in elsewhere]
    assert untrained - loss_with(embedding) > 3 * max(abs(gain) for gain in gains)


def test_a_token_is_read_back_in_both_forms(tmp_path) -> None:
    embedding = torch.linspace(-1, 1, tiny.WIDTH)
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
    save_token(tmp_path / "new" / TOKEN_FILES[0], "<subject>", embedding)
    torch.save({"<subject>": embedding}, tmp_path / "old" / "learned_embeds.bin")
    assert read_token(tmp_path / "new" / "learned_embeds.safetensors")[0] == "<subject>"
    assert torch.equal(load_file(tmp_path / "new" / "learned_embeds.safetensors")["<subject>"], embedding)
    spoken = []
    for name in ("new", "old"):
        prior = stable_diffusion()
        apply_adapter(prior, tmp_path / name)
        spoken.append(prior.condition(["a photo of <subject>"])["text"])
    assert torch.equal(*spoken)
    assert not torch.allclose(spoken[0], stable_diffusion().condition(["a photo of <subject>"])["text"])


def test_tokens_that_hold_code_are_not_read(tmp_path, capsys) -> None:
    file = tmp_path / "learned_embeds.bin"
    torch.save({"<subject>": torch.zeros(tiny.WIDTH), "more": Attack(print, "this must never run")}, file)
    with pytest.raises(BackendUnavailableError, match="pickle payload"):
        apply_adapter(stable_diffusion(), file)
    assert capsys.readouterr().out == ""


def test_a_placeholder_stands_for_the_token_whatever_it_is_called(tmp_path) -> None:
    prior = stable_diffusion()
    with pytest.raises(ConfigError, match="the prior has learnt none"):
        prior.condition(["a <token> is dancing"])
    torch.save({"_panda_": torch.linspace(-1, 1, tiny.WIDTH)}, tmp_path / "mine.bin")
    apply_adapter(prior, tmp_path / "mine.bin")
    spoken = prior.condition(["a <token> is dancing", "a _panda_ is dancing", "a panda is dancing"])["text"]
    assert torch.equal(spoken[0], spoken[1])
    assert not torch.allclose(spoken[0], spoken[2])
    assert torch.equal(prior.condition(["a <token:panda> is dancing"])["text"][0], spoken[0])
    assert torch.equal(stable_diffusion().condition(["a <token:panda> is dancing"])["text"][0], spoken[2])


def test_what_the_mask_leaves_out_is_not_judged() -> None:
    prior, weights = stable_diffusion(), torch.zeros(1, 1, 8, 8)
    weights[..., 2:6, 2:6] = torch.rand(4, 4, generator=torch.Generator().manual_seed(0))
    output = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    prior.predict = lambda *told: output
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    asked = (noise, torch.tensor([300]), prior.condition(["a cat"]), CAMERAS[0], noise)
    denoising_loss(prior, *asked, weights).backward()
    judged = weights.expand_as(output) > 0
    assert not output.grad[~judged].any()
    assert (output.grad[judged] != 0).all()
    everywhere = denoising_loss(prior, *asked, torch.full_like(weights, 0.3))
    torch.testing.assert_close(everywhere, denoising_loss(prior, *asked))


def on_white(side: int = 64) -> Pictures:
    """A red subject over white, with its mask."""
    mask = torch.zeros(1, side, side, 1)
    mask[:, side // 4 : 3 * side // 4, side // 4 : side // 2] = 1
    return Pictures([torch.where(mask > 0, torch.tensor([0.9, 0.1, 0.0]), torch.ones(3))], [CAMERAS[0]], [mask])


def test_only_the_subject_is_learnt() -> None:
    shown = on_white()
    learner = TokenLearner(stable_diffusion(), shown, "<subject>", "cat")
    weights = learner.clean[0].weights
    assert weights.shape == (1, 1, 8, 8)
    assert float(weights.mean()) == pytest.approx(float(shown.masks[0].mean()), abs=1e-6)
    with pytest.raises(ConfigError, match="show no subject"):
        TokenLearner(stable_diffusion(), Pictures(shown.rgb, shown.cameras, [0 * shown.masks[0]]), "<subject>", "cat")


def test_the_encoder_sees_changed_pictures_in_its_own_range(monkeypatch) -> None:
    prior, seen = stable_diffusion(), []
    learner = TokenLearner(prior, on_white(), "<subject>", "cat", Augmentation())
    encode = prior.encoder.vae.encode
    monkeypatch.setattr(prior.encoder.vae, "encode", lambda images: seen.append(images) or encode(images))
    for number in range(8):
        learner.loss({"sample": torch.tensor([0])}, torch.Generator().manual_seed(number))
    assert len({float(images.sum()) for images in seen}) == 8
    # The subject is dark also where it is grey, and dark is below zero.
    assert all(-1 <= float(images.min()) < -0.2 and 0.8 < float(images.max()) <= 1 for images in seen)


def test_the_mask_goes_where_the_subject_goes() -> None:
    shown = on_white()
    moves = Augmentation(jitter_chance=0, grey_chance=0, blur_chance=0)
    places = set()
    for number in range(20):
        rgb, mask = moves(shown.rgb[0], shown.masks[0], 1.0, torch.Generator().manual_seed(number))
        again, _ = moves(shown.rgb[0], shown.masks[0], 1.0, torch.Generator().manual_seed(number))
        assert torch.equal(rgb, again)
        expected = mask * torch.tensor([0.9, 0.1, 0.0]) + (1 - mask)
        torch.testing.assert_close(rgb, expected, atol=2e-6, rtol=0)
        places.add(round(float((mask[0, ..., 0].sum(0) * torch.arange(64)).sum() / mask.sum())))
        assert 0.6 < float(mask.sum() / shown.masks[0].sum()) < 1.25
    # Left and right of the middle, since pictures are mirrored.
    assert min(places) < 26
    assert max(places) > 38


def several() -> Pictures:
    """Two samples of four images: rings of views, or clips."""
    draws = torch.Generator().manual_seed(2)
    rgb = torch.nn.functional.interpolate(torch.rand(8, 3, 4, 4, generator=draws), 64).permute(0, 2, 3, 1)
    return Pictures(list(rgb.split(4)), [turntable(4, 15.0, 2.0, 40.0, 64)] * 2)


@pytest.mark.parametrize(
    ("build", "shown"),
    [
        (stable_diffusion, pictures),
        (lambda: stable_diffusion(prediction="v"), pictures),
        (zero123, pictures),
        (mvdream, several),
        (text_to_video, several),
        (animatediff, several),
    ],
    ids=["epsilon", "v", "posed", "multi-view", "video", "motion"],
)
def test_low_rank_updates_learn_and_merge(build, shown, tmp_path) -> None:
    learner = LoraLearner(build(), shown(), "a cat", rank=2, image_dropout=0.0)
    start, learnt = train(learner, tmp_path, 40, 1e-2, batch=2)
    assert learnt < 0.97 * start
    learner.save(tmp_path / LORA_FILE)
    loaded = build()
    apply_adapter(loaded, tmp_path)
    same = LoraLearner(loaded, shown(), "a cat", rank=2, image_dropout=0.0)
    assert same.validate(0, tmp_path)["loss"] == pytest.approx(learnt, rel=1e-5)


@pytest.mark.parametrize("build", [mvdream, text_to_video, animatediff])
def test_every_model_of_texts_learns_a_token(build) -> None:
    learner = TokenLearner(build(), several(), "<subject>", "cat", Augmentation())
    _, loss = learner.loss({"sample": torch.tensor([0])}, torch.Generator().manual_seed(0))
    loss.backward()
    assert float(learner.embedding.grad.abs().max()) > 0


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


def test_a_dropped_prompt_or_picture_has_no_part_in_the_training(tmp_path) -> None:
    shown = pictures()
    turned = Pictures(shown.rgb, [CAMERAS[0], CAMERAS[0]])
    for build, subjects in (
        (stable_diffusion, ((shown, "a cat"), (shown, "a dog"))),
        (zero123, ((shown, ""), (turned, ""))),
    ):
        for dropout in (0.0, 1.0):
            learners = [LoraLearner(build(), seen, prompt, image_dropout=dropout) for seen, prompt in subjects]
            losses = [learner.validate(0, tmp_path)["loss"] for learner in learners]
            assert (losses[0] == losses[1]) is (dropout == 1.0)


def test_what_does_not_fit_is_one_line(tmp_path) -> None:
    prior = stable_diffusion()
    with pytest.raises(UsageError, match="is a word of the model already"):
        TokenLearner(prior, pictures(), "a</w>", "cat")
    with pytest.raises(UsageError, match="learns no token"):
        TokenLearner(zero123(), pictures(), "<subject>", "cat")
    with pytest.raises(UsageError, match="learns no token"):
        TokenLearner(controlnet_tile(), pictures(), "<subject>", "cat")
    with pytest.raises(ConfigError, match="2 images are 2 samples"):
        LoraLearner(prior, Pictures([torch.zeros(2, 64, 64, 3)], [CAMERAS]), "a cat")
    with pytest.raises(ConfigError, match="4 views at once, not 1"):
        LoraLearner(mvdream(), pictures(), "a cat")
    with pytest.raises(BackendUnavailableError, match="holds no adapter"):
        apply_adapter(prior, tmp_path)
    save_token(tmp_path / TOKEN_FILES[0], "<subject>", torch.zeros(7))
    with pytest.raises(BackendUnavailableError, match="has 7 numbers, and the model's tokens 16"):
        apply_adapter(prior, tmp_path)
    with pytest.raises(ConfigError, match="does not understand texts"):
        apply_adapter(zero123(), tmp_path)
    (tmp_path / "learned_embeds.safetensors").unlink()
    before = {name: value.clone() for name, value in prior.unet.state_dict().items()}
    layers = lora_state(attach_lora(tiny.unet(), 2, torch.Generator()))
    name = next(iter(layers))
    for broken in ({**layers, "unet.nowhere.lora_A.weight": layers[name].clone()}, {**layers, name: torch.zeros(2, 3)}):
        save_file(broken, tmp_path / LORA_FILE)
        with pytest.raises(BackendUnavailableError, match="does not fit the model"):
            apply_adapter(prior, tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in prior.unet.state_dict().items())


def test_texts_are_encoded_alike_with_and_without_the_graph() -> None:
    text: TextEncoder = tiny.text_encoder()
    assert torch.equal(text.states(["a cat", "a dog"]), text(["a cat", "a dog"], "cpu"))
