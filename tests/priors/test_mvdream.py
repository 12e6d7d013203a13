"""MVDream: its views see each other, and its tensors are read in every layout in circulation."""

import pytest
import tiny_models as tiny
import torch
from original_mvdream import LDM, ldm_names
from tiny_priors import SCHEDULE, VIEWS, mvdream, noise, spy_on

from a4d.errors import BackendUnavailableError, ConfigError
from a4d.geometry.cameras import turntable
from a4d.priors.camera_codes import multi_view_code
from a4d.priors.protocol import Viewpoints
from a4d.priors.released.mvdream import MVDream, multi_view_config, multi_view_state


def test_mvdream_tensors(monkeypatch):
    prior = mvdream()
    seen = spy_on(prior.unet, monkeypatch)
    views = turntable(8, 15.0, 2.0, 40.0, 48)
    prior.denoise(noise(8), torch.tensor([10, 20]), prior.condition(["a cat", "a dog"]), Viewpoints(views))
    assert seen["arguments"][1].tolist() == [10] * 4 + [20] * 4
    torch.testing.assert_close(seen["keywords"]["class_labels"], multi_view_code(views))
    text = prior.text(["a cat", "a dog"], "cpu")
    torch.testing.assert_close(seen["arguments"][2], text[[0, 0, 0, 0, 1, 1, 1, 1]])


def test_mvdream_views_see_each_other_within_a_sample_alone():
    prior = mvdream()
    views = VIEWS[torch.arange(8) % 4]
    asked, t = prior.condition(["a cat", "a cat"]), torch.tensor([300, 300])
    latents = noise(8)
    changed = latents.clone()
    changed[1] += 1
    difference = (
        (prior.denoise(changed, t, asked, Viewpoints(views)) - prior.denoise(latents, t, asked, Viewpoints(views)))
        .abs()
        .amax((1, 2, 3))
    )
    assert (difference[:4] > 1e-4).all()
    assert difference[4:].max() == 0


def test_mvdream_is_equivariant_to_the_order_of_views_and_not_to_that_of_cameras():
    prior, latents, t = mvdream(), noise(4), torch.tensor([300])
    asked, order = prior.condition(["a cat"]), torch.tensor([2, 0, 3, 1])
    output = prior.denoise(latents, t, asked, Viewpoints(VIEWS))
    torch.testing.assert_close(
        prior.denoise(latents[order], t, asked, Viewpoints(VIEWS[order])), output[order], atol=1e-5, rtol=1e-4
    )
    assert (prior.denoise(latents, t, asked, Viewpoints(VIEWS[order])) - output).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="4 views"):
        prior.denoise(latents[:3], t, asked, Viewpoints(VIEWS[:3]))
    with pytest.raises(ConfigError, match="cameras"):
        prior.denoise(latents, t, asked)


def test_mvdream_attention_equals_diffusers_own_for_one_view():
    plain = tiny.unet(**multi_view_config(tiny.UNET))
    joined = MVDream(tiny.unet(**multi_view_config(tiny.UNET)), tiny.vae(), tiny.text_encoder(), SCHEDULE, views=1)
    latents, t = noise(4), torch.tensor([1, 2, 3, 4])
    asked = joined.condition(["a cat"] * 4)
    expected = plain(latents, t, asked["text"], class_labels=multi_view_code(VIEWS)).sample
    torch.testing.assert_close(joined.denoise(latents, t, asked, Viewpoints(VIEWS)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layout", ["checkpoint", "bare", "camera_embedding"])
def test_mvdream_reads_every_layout_in_circulation(layout):
    config = multi_view_config(LDM)
    assert config["block_out_channels"] == [32, 64]
    assert config["attention_head_dim"] == [4, 8]
    assert config["use_linear_projection"]
    unet = tiny.unet(**config, sample_size=8) if "sample_size" not in config else tiny.unet(**config)
    state = unet.state_dict()
    if layout == "camera_embedding":
        stored = {key.replace("class_embedding", "camera_embedding"): value for key, value in state.items()}
    else:
        stored = ldm_names(state)
    if layout == "checkpoint":
        stored = {f"model.diffusion_model.{key}": value for key, value in stored.items()}
        stored["first_stage_model.encoder.conv_in.weight"] = torch.zeros(1)
    found = multi_view_state(stored, config)
    assert found.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(found[key], value, atol=0, rtol=0)


WORDS_FOR_HEADS = {"size": {}, "number": {"num_heads": 2, "num_head_channels": -1}}


@pytest.mark.parametrize("heads", WORDS_FOR_HEADS)
@pytest.mark.parametrize("is_linear", [True, False])
@pytest.mark.parametrize("original", [True, False])
def test_mvdream_s_tensors_tell_linear_projections_from_convolutions(heads, is_linear, original):
    silent = {key: value for key, value in (LDM | WORDS_FOR_HEADS[heads]).items() if "linear" not in key}
    config = {**multi_view_config(silent), "use_linear_projection": is_linear}
    unet = tiny.unet(**config)
    state = ldm_names(unet.state_dict()) if original else unet.state_dict()
    # What encodes pictures beside the blocks has a projection of its own.
    found = multi_view_config(silent, {**state, "image_embed.proj_in.weight": torch.zeros(2, 2)})
    assert found == config
    assert multi_view_config({"use_linear_projection": not is_linear}, state)["use_linear_projection"] is is_linear


def test_an_original_configuration_that_is_cut_short_names_the_key():
    with pytest.raises(BackendUnavailableError, match="context_dim"):
        multi_view_config({key: value for key, value in LDM.items() if key != "context_dim"})
