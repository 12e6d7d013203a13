"""TripoSR against the released code's own numbers, and its checkpoints in every form in which they come."""

import json
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from a4d.config import plain
from a4d.errors import BackendUnavailableError, ConfigError, InvalidInputError
from a4d.priors.catalogue import find, load_image_to_shape
from a4d.priors.fitting_weights import SIZES
from a4d.priors.placement import Placement
from a4d.priors.triposr.config import TripoSRConfig
from a4d.priors.triposr.field import TriplaneField
from a4d.priors.triposr.network import TripoSRNetwork
from a4d.priors.triposr.picture import before_grey, framed, resized
from a4d.priors.triposr.vision import VisionTransformer
from a4d.priors.triposr.weights import NEWER_NAMES, load_network

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"

TINY = TripoSRConfig(
    picture=32,
    vision={"width": 24, "layers": 2, "heads": 3, "inner_width": 48, "patch": 8, "table": 3},
    backbone={"width": 32, "layers": 2, "heads": 2, "head_width": 8},
    decoder={"width": 16, "layers": 2},
    plane=4,
    features=6,
)


def randomised(network):
    draws = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=draws)
    return network.requires_grad_(False).eval()


@pytest.fixture
def network():
    return randomised(TripoSRNetwork(TINY))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "a4d" / "weights"


@pytest.fixture(scope="module")
def released():
    """The numbers of the released code with tiny random weights, and the network that they are of."""
    path = PARITY / "triposr_tiny.safetensors"
    if not path.is_file():
        pytest.skip("no numbers of the released code beside the checkout")
    with safe_open(path, "pt") as file:
        facts = {name: json.loads(file.metadata()[name]) for name in ("config", "vit_config")}
    whole, vision = facts["config"], facts["vit_config"]
    backbone, decoder = whole["backbone"], whole["decoder"]
    config = TripoSRConfig(
        picture=whole["cond_image_size"],
        vision={
            "width": vision["hidden_size"],
            "layers": vision["num_hidden_layers"],
            "heads": vision["num_attention_heads"],
            "inner_width": vision["intermediate_size"],
            "patch": vision["patch_size"],
            "table": vision["image_size"] // vision["patch_size"],
        },
        backbone={
            "width": backbone["in_channels"],
            "layers": backbone["num_layers"],
            "heads": backbone["num_attention_heads"],
            "head_width": backbone["attention_head_dim"],
        },
        decoder={"width": decoder["n_neurons"], "layers": decoder["n_hidden_layers"]},
        plane=whole["tokenizer"]["plane_size"],
        features=whole["post_processor"]["out_channels"],
        radius=whole["renderer"]["radius"],
        density_bias=whole["renderer"]["density_bias"],
        samples_per_ray=whole["renderer"]["num_samples_per_ray"],
    )
    numbers = load_file(path)
    network = TripoSRNetwork(config)
    network.load_state_dict({key[8:]: value for key, value in numbers.items() if key.startswith("weights/")})
    return network.requires_grad_(False).eval(), numbers


def error(found, expected):
    """Largest difference over the largest number."""
    return float((found.detach().float() - expected.float().reshape(found.shape)).abs().max() / expected.abs().max())


def test_every_stage_agrees_with_the_released_code(released):
    network, numbers = released
    seen = {}

    def note(name):
        return lambda _, __, output: seen.update({f"inter/{name}": output})

    vision = network.image_tokenizer["model"]
    hooks = [vision.encoder["layer"][index].register_forward_hook(note(f"vit_layer_{index}")) for index in range(2)]
    for index, block in enumerate(network.backbone.transformer_blocks):
        parts = {"": block, "_attn1": block.attn1, "_attn2": block.attn2, "_ff": block.ff}
        hooks += [each.register_forward_hook(note(f"backbone_block_{index}{name}")) for name, each in parts.items()]
    hooks.append(network.backbone.norm.register_forward_hook(note("backbone_groupnorm")))
    hooks.append(network.backbone.proj_in.register_forward_hook(note("backbone_proj_in")))
    hooks.append(network.backbone.register_forward_hook(note("backbone_out")))
    hooks.append(vision.register_forward_hook(lambda _, __, output: seen.update({"output/image_tokens": output})))
    seen["input/image"] = resized(numbers["input/raw_image"], network.config.picture)
    seen["inter/vit_embeddings"] = vision.embed(seen["input/image"])
    seen["output/scene_codes"] = network(seen["input/image"])
    for hook in hooks:
        hook.remove()
    assert len(seen) == 17
    assert {
        name: error(found, numbers[name]) for name, found in seen.items() if error(found, numbers[name]) > 2e-5
    } == {}


def test_density_colours_and_images_agree_with_the_released_code(released):
    network, numbers = released
    rays = [numbers[name].flatten(0, 1) for name in ("input/rays_o", "input/rays_d")]
    for index in range(2):
        field = TriplaneField(numbers["output/scene_codes"][index], network.decoder, network.config)
        density, colours = field.density(numbers["input/points"]), field.colours(numbers["input/points"])
        rgb, opacity = field.render(*rays)
        found = {"density_activated": density, "colour": colours, "render_rgb": rgb, "render_opacity": opacity}
        errors = {name: error(value, numbers[f"output/{name}"][index]) for name, value in found.items()}
        assert max(errors.values()) < 1e-4, errors
    near, far = field.span(*rays)
    assert error(near, numbers["inter/render_t_near"]) < 1e-6
    assert error(far, numbers["inter/render_t_far"]) < 1e-6


def test_a_table_of_positions_is_enlarged_as_when_the_weights_were_trained(released):
    network, numbers = released
    vision = network.image_tokenizer["model"]
    assert error(vision.positions(6, 6), numbers["interp/position_embeddings"]) < 1e-6
    assert error(vision(numbers["interp/image"]), numbers["interp/image_tokens"]) < 2e-5
    exact = VisionTransformer(network.config.vision, "exact")
    exact.load_state_dict(vision.state_dict())
    assert error(exact.positions(6, 6), numbers["interp/position_embeddings"]) > 0.01
    assert torch.equal(exact.positions(4, 4), vision.positions(4, 4))


def test_a_picture_is_framed_as_in_training(released):
    _, numbers = released
    square = framed(numbers["prep/rgba"])
    grey = before_grey(square)
    assert torch.equal(square, numbers["prep/square_rgba"])
    assert torch.equal(grey, numbers["prep/grey_rgb_uint8"])
    assert error(resized(grey[None].float() / 255, 32), numbers["prep/resized"]) == 0


def test_the_released_sizes_have_the_released_names():
    with torch.device("meta"):
        state = TripoSRNetwork(TripoSRConfig()).state_dict()
    assert len(state) == 549
    assert sum(tensor.numel() for tensor in state.values()) == 419_275_628
    if (PARITY / "triposr_keys.txt").is_file():
        rows = [line.split("\t") for line in (PARITY / "triposr_keys.txt").read_text().splitlines() if line[0] != "#"]
        assert {name: list(tensor.shape) for name, tensor in state.items()} == {r[0]: json.loads(r[1]) for r in rows}


def test_a_picture_without_a_subject_is_refused():
    with pytest.raises(InvalidInputError, match="no subject"):
        framed(torch.zeros(8, 8, 4, dtype=torch.uint8))


def test_a_ray_that_misses_is_white(network):
    field = TriplaneField(torch.ones(3, 6, 8, 8), network.decoder, TINY)
    rgb, opacity = field.render(torch.tensor([[2.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    assert (rgb.tolist(), opacity.tolist()) == ([[1.0, 1.0, 1.0]], [0.0])


def newer(name):
    """A tensor's name in the layout of transformers 5."""
    for new, old in NEWER_NAMES.items():
        # `attention.output.dense` ends like `output.dense`.
        if name.rpartition(".")[0].partition("layer.")[2].partition(".")[2] == old:
            name = name.replace(old, new)
    return name.replace("encoder.layer.", "layers.")


@pytest.fixture
def picture():
    rgba = torch.rand(40, 30, 4, generator=torch.Generator().manual_seed(1))
    rgba[..., 3] = 0
    rgba[5:35, 8:24, 3] = 1
    return rgba


def saved(folder, network, rename=lambda name: name):
    """A folder with a network whose sizes the file says."""
    folder.mkdir()
    state = {rename(name): tensor for name, tensor in network.state_dict().items()}
    save_file(state, folder / "model.safetensors", {SIZES: json.dumps(plain(network.config))})
    return folder


@pytest.mark.parametrize("rename", [lambda name: name, newer], ids=["transformers 4", "transformers 5"])
def test_both_layouts_give_the_same_field(rename, network, picture, tmp_path):
    folder = saved(tmp_path / "weights", network, rename)
    field = load_image_to_shape("triposr", Placement(overrides={"triposr": folder})).shape(picture)
    shown = resized(before_grey(framed((picture * 255).round().to(torch.uint8)))[None].float() / 255, 32)
    points = 2 * TINY.radius * (torch.rand(50, 3) - 0.5)
    expected = TriplaneField(network(shown)[0], network.decoder, TINY)
    assert torch.equal(field.density(points), expected.density(points))
    assert float(field.colours(points).std()) > 1e-3
    assert float(torch.linalg.det(field.world_from_field)) == 1


def test_a_checkpoint_is_converted_once_and_read_from_its_copy(network, tmp_path, cache, monkeypatch):
    monkeypatch.setattr("a4d.priors.triposr.weights.stated_sizes", lambda path, kind: TINY)
    torch.save(network.state_dict(), tmp_path / "model.ckpt")
    first = load_network(tmp_path).state_dict()
    (copy,) = cache.iterdir()
    monkeypatch.setattr("a4d.io.converted_weights.map_checkpoint", lambda path: pytest.fail("read again"))
    again = load_network(tmp_path).state_dict()
    assert all(
        torch.equal(tensor, first[name]) and torch.equal(tensor, again[name])
        for name, tensor in network.state_dict().items()
    )
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("a4d.priors.triposr.weights.stated_sizes", lambda path, kind: TINY)
    copy.write_bytes(copy.read_bytes()[:-5])
    assert load_network(tmp_path).state_dict().keys() == first.keys()


def test_where_no_copy_can_be_kept_the_checkpoint_itself_is_read(network, tmp_path, monkeypatch):
    monkeypatch.setattr("a4d.priors.triposr.weights.stated_sizes", lambda path, kind: TINY)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    torch.save(network.state_dict(), tmp_path / "model.ckpt")
    assert len(load_network(tmp_path).state_dict()) == len(network.state_dict())


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_a_flipped_bit(path):
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content[largest.header_offset + 200] ^= 1
    path.write_bytes(content)


def without_a_tensor(path):
    state = torch.load(path, weights_only=True)
    state.pop("backbone.norm.weight")
    torch.save(state, path)


def of_another_shape(path):
    state = torch.load(path, weights_only=True)
    torch.save({**state, "backbone.norm.weight": torch.zeros(3)}, path)


@pytest.mark.parametrize("damage", [cut_short, with_a_flipped_bit, without_a_tensor, of_another_shape])
def test_a_damaged_checkpoint_is_one_line(damage, network, tmp_path, cache, monkeypatch):
    monkeypatch.setattr("a4d.priors.triposr.weights.stated_sizes", lambda path, kind: TINY)
    path = tmp_path / "model.ckpt"
    torch.save(network.state_dict(), path)
    damage(path)
    with pytest.raises(BackendUnavailableError) as caught:
        load_network(tmp_path)
    assert (
        "damaged" in caught.value.problem or "1 tensors do not fit, first backbone.norm.weight" in caught.value.problem
    )
    assert "\n" not in str(caught.value)


def test_a_config_that_is_none_is_one_line(network, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors", {"config": '{"plane": "large"}'})
    with pytest.raises(BackendUnavailableError, match="plane"):
        load_network(folder)


def test_the_rule_of_positions_can_be_chosen(network, picture, tmp_path):
    place = Placement(overrides={"triposr": saved(tmp_path / "weights", network)})
    points = torch.zeros(1, 3)
    legacy, exact = (
        load_image_to_shape("triposr", place, {"position_table": rule}).shape(picture).density(points)
        for rule in ("legacy", "exact")
    )
    assert torch.equal(legacy, load_image_to_shape("triposr", place).shape(picture).density(points))
    assert not torch.equal(legacy, exact)
    with pytest.raises(ConfigError, match="no such rule"):
        load_image_to_shape("triposr", place, {"position_table": "bilinear"})


def test_the_catalogue_knows_what_the_checkpoint_holds():
    entry = find("triposr")
    assert (entry.commercial, entry.bytes, len(entry.sha256["model.ckpt"])) == (True, 1_677_246_742, 64)
