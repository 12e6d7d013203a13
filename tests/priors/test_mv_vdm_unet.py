"""MV-VDM's UNet: the released architecture to the last digit, and what its tokens can and cannot see."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_models import WIDTH
from tiny_mv_vdm import CONFIG, IMAGE_WIDTH, mv_vdm_unet

from a4d.priors.mv_vdm.attention import LARGEST_BATCH, attend, grid_encoding
from a4d.priors.mv_vdm.unet import MultiViewVideoUNet, motion_config
from a4d.randomness import generator

PARITY = Path(__file__).parents[3] / "shared" / "parity"
SAMPLES, VIEWS, FRAMES = 2, 3, 4


@pytest.fixture(scope="module")
def reference():
    """The reference's tensors and configuration."""
    path = PARITY / "mv_vdm_tiny.safetensors"
    if not path.is_file():
        pytest.skip("the reference outputs are not on this machine")
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
    return load_file(path), config


@pytest.mark.parametrize("time_zero", [False, True])
def test_agrees_with_the_reference(reference, time_zero):
    tensors, config = reference
    unet = MultiViewVideoUNet(
        config["image_embed_dim"],
        condition_frame_time_zero=time_zero,
        block_out_channels=config["block_out_channels"],
        layers_per_block=config["layers_per_block"],
        cross_attention_dim=config["cross_attention_dim"],
        norm_num_groups=config["norm_num_groups"],
        num_attention_heads=config["spatial_num_attention_heads"],
        motion_num_attention_heads=config["motion_num_attention_heads"],
        motion_max_seq_length=config["motion_max_seq_length"],
    )
    for motion in unet.up_blocks[0].motion_modules:
        # The reference's release of diffusers always gives these 32 groups, which the full model has everywhere.
        motion.norm.num_groups = 32
    prefix = "state_dict."
    unet.load_state_dict({key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)})
    with torch.no_grad():
        predicted = unet.eval()(
            tensors["sample"].transpose(1, 2).flatten(0, 1),
            tensors["timestep"][:: config["num_views"]],
            tensors["encoder_hidden_states"],
            tensors["image_embeds"],
            tensors["camera"],
        )
    expected = tensors["output_condition_frame_time_zero" if time_zero else "output"].transpose(1, 2).flatten(0, 1)
    assert float((predicted - expected).abs().max()) < 1e-5


STABLE_DIFFUSION_1 = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}


def test_the_full_model_has_the_released_tensors():
    path = PARITY / "mv_vdm_keys.txt"
    if not path.is_file():
        pytest.skip("the list of tensors is not on this machine")
    with torch.device("meta"):
        unet = MultiViewVideoUNet(**motion_config(STABLE_DIFFUSION_1))
    listed = dict(line.split(" ", 2)[1:] for line in path.read_text().splitlines())
    mine = {key: str(tuple(value.shape)) for key, value in unet.state_dict().items()}
    assert len(mine) == 1614
    assert mine == listed
    trained = {line.split(" ")[1] for line in path.read_text().splitlines() if line.startswith("T")}
    assert {key for key in mine if "i2v." in key or "motion_modules." in key} == trained
    assert sum(parameter.numel() for parameter in unet.parameters()) == 1_526_201_582


def inputs(seed=0, height=6, width=10, views=VIEWS, frames=FRAMES):
    draws = generator(seed, "inputs")
    return {
        "latents": torch.randn(SAMPLES * views * frames, 4, height, width, generator=draws),
        "t": torch.tensor([500, 37]),
        "text": torch.randn(SAMPLES, 7, WIDTH, generator=draws),
        "image": torch.randn(SAMPLES * views, IMAGE_WIDTH, generator=draws),
        "camera": torch.randn(SAMPLES * views, 16, generator=draws),
    }


@torch.no_grad()
def predicted(unet, values):
    """(S, V, F, ...) outputs."""
    output = unet(**values)
    return output.unflatten(0, (SAMPLES, -1, len(values["latents"]) // len(values["image"])))


def changed(unet, name, index, values=None):
    values = values or inputs()
    other = {key: value.clone() for key, value in values.items()}
    other[name][index] += 1
    difference = predicted(unet, other) - predicted(unet, values)
    return difference.abs().amax((-3, -2, -1))


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (5, 7)])
@pytest.mark.parametrize(("views", "frames"), [(1, 3), (4, 2), (2, 8)])
def test_any_resolution_number_of_views_and_frames(size, views, frames):
    values = inputs(0, *size, views=views, frames=frames)
    output = mv_vdm_unet()(**values)
    assert output.shape == values["latents"].shape
    assert torch.isfinite(output).all()


@pytest.mark.parametrize(
    ("name", "index"),
    [("latents", (0 * VIEWS + 1) * FRAMES + 2), ("text", 0), ("image", 1), ("camera", 1)],
)
def test_what_changes_in_one_sample_reaches_all_its_views_and_frames_and_no_other_sample(name, index):
    difference = changed(mv_vdm_unet(), name, index)
    assert (difference[0] > 1e-5).all()
    assert (difference[1] == 0).all()


def test_samples_of_a_batch_are_computed_as_if_alone():
    unet, values = mv_vdm_unet(), inputs()
    alone = {key: value[len(value) // 2 :] for key, value in values.items()}
    with torch.no_grad():
        torch.testing.assert_close(unet(**values)[VIEWS * FRAMES :], unet(**alone), atol=1e-5, rtol=1e-4)


def test_order_of_frames_matters_and_of_views_does_not():
    """Views are told apart by their camera and picture alone; frames by their place."""
    unet, values = mv_vdm_unet(), inputs()
    order = torch.tensor([2, 0, 1])

    def permuted(tensor):
        return tensor.unflatten(0, (SAMPLES, VIEWS, -1))[:, order].flatten(0, 2)

    views = {key: permuted(value) if key in ("latents", "image", "camera") else value for key, value in values.items()}
    torch.testing.assert_close(predicted(unet, views), predicted(unet, values)[:, order], atol=1e-5, rtol=1e-4)
    frames = {**values, "latents": values["latents"].unflatten(0, (-1, FRAMES)).flip(1).flatten(0, 1)}
    assert (predicted(unet, frames) - predicted(unet, values).flip(2)).abs().max() > 1e-2


def test_the_first_frames_timestep_is_told_apart_only_on_demand():
    values = inputs()
    joint, apart = mv_vdm_unet(), mv_vdm_unet(condition_frame_time_zero=True)
    assert (predicted(apart, values) - predicted(joint, values)).abs().max() > 1e-4
    values["t"][:] = 0
    torch.testing.assert_close(predicted(apart, values), predicted(joint, values))


def test_without_the_multi_view_branch_a_new_model_sees_what_the_frozen_one_saw():
    """The branch starts at zero: changing its queries changes nothing until its output is trained."""
    fresh = MultiViewVideoUNet(IMAGE_WIDTH, 2, **CONFIG)
    before = predicted(fresh, inputs())
    with torch.no_grad():
        for name, parameter in fresh.named_parameters():
            if "to_q_i2v" in name:
                parameter.normal_()
    assert torch.equal(predicted(fresh, inputs()), before)


def test_recomputed_activations_give_the_same_gradients():
    unet, values = mv_vdm_unet(), inputs()
    name = "down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.processor.to_q_sp.weight"
    parameter = dict(unet.named_parameters())[name].requires_grad_()
    gradients = []
    for recompute in (False, True):
        unet.recompute_activations = recompute
        gradients.append(torch.autograd.grad(unet(**values).square().sum(), parameter)[0])
    assert float(gradients[0].abs().max()) > 0
    torch.testing.assert_close(*gradients)


def test_large_batches_are_attended_to_in_parts():
    query, key, value = torch.randn(3, LARGEST_BATCH + 3, 2, 4, generator=generator(0))
    torch.testing.assert_close(attend(query, key, value, 2)[-3:], attend(query[-3:], key[-3:], value[-3:], 2))


def test_places_are_coded_as_measured():
    code = grid_encoding(2, 2, 8, torch.empty(0))
    expected = [[0, -1, 0.03141, 0.99951, 0, -1, 0.03141, 0.99951], [0, -1, 0.03141, 0.99951, 0, 1, 0.06279, 0.99803]]
    torch.testing.assert_close(code[:2], torch.tensor(expected), atol=1e-5, rtol=0)
