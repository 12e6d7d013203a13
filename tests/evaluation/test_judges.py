"""LPIPS against its layers written out, CLIP against transformers' own pipeline, and folders that are not theirs."""

from pathlib import Path

import pytest
import tiny_models as tiny
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import conv2d, max_pool2d
from transformers import CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from a4d.errors import BackendUnavailableError, ConfigError, ExitCode, InvalidInputError, UsageError
from a4d.evaluation.films import FilmFigures
from a4d.evaluation.judges import chosen_judges, load_judges
from a4d.io.pictures.images import read_image
from a4d.priors.catalogue import catalogue, check, load_prior
from a4d.priors.placement import Placement

THIN = [4, 6, 8, 5, 7]


def pictures(count: int = 2, height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    return tiny.save_clip(tmp_path / "clip")


def save_lpips(folder: Path, name: str, state: dict[str, torch.Tensor]) -> Path:
    (folder / "LPIPS").mkdir(parents=True)
    save_file(state, folder / "LPIPS" / name)
    return folder


def written_out(state: dict[str, torch.Tensor], image: torch.Tensor, reference: torch.Tensor) -> float:
    """LPIPS over AlexNet, layer by layer."""
    total = 0.0
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    values = [((each - shift) / scale).permute(2, 0, 1)[None] for each in (image, reference)]
    layers = [(1, 0, 4, 2), (2, 3, 1, 2), (3, 6, 1, 1), (4, 8, 1, 1), (5, 10, 1, 1)]
    for head, (part, number, stride, padding) in enumerate(layers):
        weight, bias = (state[f"net.slice{part}.{number}.{each}"] for each in ("weight", "bias"))
        if head in (1, 2):
            values = [max_pool2d(each, 3, 2) for each in values]
        values = [conv2d(each, weight, bias, stride, padding).relu() for each in values]
        a, b = (each / (each.square().sum(1, keepdim=True).sqrt() + 1e-10) for each in values)
        total += float(((a - b).square() * state[f"lin{head}.model.1.weight"]).sum(1).mean())
    return total


def test_lpips_is_what_its_layers_say_in_both_ranges(tmp_path: Path) -> None:
    state = tiny.alexnet_lpips(THIN)
    folder = save_lpips(tmp_path / "lpips", "alexnet.safetensors", state)
    judges = load_judges({"lpips": "lpips-alexnet"}, (), {"lpips-alexnet": folder})
    image, reference = pictures()
    figures = judges.of_pair(image, reference)
    assert figures["lpips"] == pytest.approx(written_out(state, 2 * image - 1, 2 * reference - 1), rel=1e-5)
    assert figures["lpips_unscaled"] == pytest.approx(written_out(state, image, reference), rel=1e-5)
    assert figures["lpips_unscaled"] < 0.7 * figures["lpips"]
    assert judges.of_pair(image, image) == {"lpips": 0.0, "lpips_unscaled": 0.0}
    assert judges.of_pair(image, 0.9 * image)["lpips"] < figures["lpips"]
    with pytest.raises(InvalidInputError, match="32 pixels"):
        judges.of_pair(image[:16], reference[:16])


def test_lpips_loads_from_files_of_their_own_under_torchvisions_names(tmp_path: Path) -> None:
    state = tiny.alexnet_lpips(THIN)
    whole = save_lpips(tmp_path / "whole", "alexnet.safetensors", state)
    parts = tmp_path / "parts"
    parts.mkdir()
    features = {f"features.{name.split('.', 2)[2]}": value for name, value in state.items() if "slice" in name}
    torch.save({**features, "classifier.1.weight": torch.zeros(2, 2)}, parts / "alexnet.pth")
    torch.save({name: value for name, value in state.items() if "lin" in name}, parts / "heads.pth")
    found = [
        load_judges({"lpips": "lpips-alexnet"}, (), {"lpips-alexnet": folder}).of_pair(*pictures())
        for folder in (whole, parts)
    ]
    assert found[0] == found[1]
    assert check("lpips-alexnet", {"lpips-alexnet": whole}) == whole
    assert check("lpips-alexnet", {"lpips-alexnet": parts}) == parts


def test_vgg_has_five_blocks_and_is_not_alexnet(tmp_path: Path) -> None:
    folder = save_lpips(tmp_path, "vgg.safetensors", tiny.vgg_lpips(THIN))
    judges = load_judges({"lpips": "lpips-vgg16"}, (), {"lpips-vgg16": folder})
    assert judges.lpips is not None
    assert [len(look[0]) for look in judges.lpips._looks(pictures())] == THIN
    assert [look.shape[-1] for look in judges.lpips._looks(pictures())] == [64, 32, 16, 8, 4]
    assert judges.of_pair(*pictures())["lpips"] > 0.01
    with pytest.raises(BackendUnavailableError, match="another architecture") as caught:
        load_judges({"lpips": "lpips-alexnet"}, (), {"lpips-alexnet": folder / "LPIPS"})
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_catalogue_says_the_sizes_of_the_released_networks() -> None:
    alexnet = tiny.alexnet_lpips([64, 192, 384, 256, 256])
    vgg = tiny.vgg_lpips([64, 128, 256, 512, 512])
    for name, state in (("lpips-alexnet", alexnet), ("lpips-vgg16", vgg)):
        assert catalogue()[name].bytes == pytest.approx(4 * sum(tensor.numel() for tensor in state.values()), rel=0.01)


@pytest.mark.parametrize("shape", [(48, 64), (90, 40), (32, 32)])
def test_clip_features_are_those_of_transformers(clip_folder: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    clip = load_judges({"clip": "clip-vit-b-32"}, (), {"clip-vit-b-32": clip_folder}).clip
    assert clip is not None
    small = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(2))
    smooth = torch.nn.functional.interpolate(small, shape, mode="bilinear")[0].permute(1, 2, 0)
    path = tmp_path / "picture.png"
    Image.fromarray((smooth * 255).round().byte().numpy()).save(path)
    model = CLIPModel.from_pretrained(clip_folder).eval()
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    with torch.no_grad(), Image.open(path) as picture:
        expected = model.get_image_features(**processor(picture, return_tensors="pt")).pooler_output[0]
        tokens = tiny.tokenizer()(["a dog", "a blue cat"], padding=True, return_tensors="pt")
        words = model.get_text_features(**tokens).pooler_output
    found = clip.images(torch.from_numpy(read_image(path))[None, ..., :3])[0]
    # The processor rounds to 8 bits between its two steps.
    assert float(found @ (expected / expected.norm())) > 0.9999
    torch.testing.assert_close(clip.texts(["a dog", "a blue cat"]), words / words.norm(dim=-1, keepdim=True))


class Pointing:
    """A CLIP whose features are an image's mean colour, and for texts the axes by their first letter."""

    def images(self, rgb: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(rgb.mean((1, 2)), dim=-1)

    def texts(self, texts: tuple[str, ...]) -> torch.Tensor:
        return torch.stack([torch.eye(3)["rgb".index(text[0])] for text in texts])


def test_clip_figures_are_cosines_and_shares_over_films() -> None:
    red, green = (torch.tensor(colour).expand(4, 4, 3) for colour in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    both = (red + green) / 2
    figures = FilmFigures(Pointing(), ("red", "green", "blue"))
    for film in ([red, both, green, red], [red]):
        figures.begin()
        for image in film:
            figures.add(image, red, red)
    means = figures.means()
    half = 0.5**0.5
    assert means["clip_i"] == pytest.approx((3 + half) / 5)
    assert means["clip_f"] == pytest.approx((half + half + 0) / 3)
    # Between red and green the first named is taken: it is nearest, too.
    assert means["clip_r"] == pytest.approx(4 / 5)
    unread = FilmFigures(Pointing())
    unread.add(red, None)
    assert unread.means() == {}


def test_judges_are_named_by_family_or_model() -> None:
    assert chosen_judges("") == {}
    assert chosen_judges("clip, lpips") == {"clip": "clip-vit-b-32", "lpips": "lpips-alexnet"}
    assert chosen_judges("lpips-vgg16,clip-vit-l-14") == {"lpips": "lpips-vgg16", "clip": "clip-vit-l-14"}
    with pytest.raises(UsageError, match="two of clip"):
        chosen_judges("clip,clip-vit-l-14")
    with pytest.raises(ConfigError, match="Did you mean 'lpips'"):
        chosen_judges("lpip")
    with pytest.raises(UsageError, match="CLIP-R"):
        load_judges({"clip": "clip-vit-b-32"}, ["a dog"], {})
    with pytest.raises(UsageError, match="CLIP-R alone"):
        load_judges({}, ["a dog", "a cat"], {})


def test_weights_that_are_missing_or_foreign_are_one_line(monkeypatch, tmp_path: Path, clip_folder: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BackendUnavailableError, match="a4d weights fetch clip-vit-b-32") as caught:
        load_judges({"clip": "clip-vit-b-32"}, (), {})
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    tiny.image_encoder().save_pretrained(tmp_path / "eyes")
    with pytest.raises(BackendUnavailableError, match="another architecture"):
        load_judges({"clip": "clip-vit-b-32"}, (), {"clip-vit-b-32": tmp_path / "eyes"})
    for file in clip_folder.glob("tokenizer*.json"):
        file.unlink()
    with pytest.raises(BackendUnavailableError, match="tokenizer"):
        load_judges({"clip": "clip-vit-b-32"}, (), {"clip-vit-b-32": clip_folder})
    with pytest.raises(ConfigError, match="is no prior"):
        load_prior("clip-vit-b-32", Placement())
