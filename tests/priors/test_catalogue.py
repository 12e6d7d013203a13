"""The catalogue, and folders of weights: whole ones load and agree, every damaged one is one line and exit code 5."""

import json
import shutil
import subprocess
import sys

import pytest
import tiny_models as tiny
import torch
from pickled_attack import Attack
from safetensors.torch import load_file, save_file
from torch import nn

from a4d.errors import BackendUnavailableError, ConfigError, ExitCode, UsageError
from a4d.geometry.cameras import turntable
from a4d.io.weight_files import read_weights
from a4d.priors.catalogue import USES, catalogue, fetch, load_prior, locate, parse_overrides, with_bases
from a4d.priors.hub import needed_files
from a4d.priors.loading import LOADERS
from a4d.priors.placement import Placement
from a4d.priors.protocol import Viewpoints
from a4d.priors.released.mvdream import multi_view_config
from a4d.priors.schedule import noise_schedule

VIEWS = turntable(4, 15.0, 2.0, 40.0, 64)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Components that every model has, saved once."""
    return tiny.save_all_but_the_unet(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def folder(shared, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(shared, copy)
    return copy


def add_unet(folder, kind):
    if kind == "text-to-video":
        tiny.unet_3d().save_pretrained(folder / "unet")
    elif kind == "mvdream":
        tiny.unet(**multi_view_config(tiny.UNET)).save_pretrained(folder / "unet")
    elif kind == "zero123":
        tiny.unet(in_channels=8).save_pretrained(folder / "unet")
        tiny.image_encoder().save_pretrained(folder / "image_encoder")
        projection = tiny.random_weights(nn.Linear(tiny.WIDTH + 4, tiny.WIDTH))
        (folder / "clip_camera_projection").mkdir()
        state = {f"proj.{key}": value for key, value in projection.state_dict().items()}
        save_file(state, folder / "clip_camera_projection" / "diffusion_pytorch_model.safetensors")
    else:
        tiny.unet().save_pretrained(folder / "unet")


NAMES = {
    "stable-diffusion-1.5": "stable-diffusion",
    "zero123-xl": "zero123",
    "mvdream-2.1": "mvdream",
    "modelscope-1.7b": "text-to-video",
}


def load(name, folder):
    return load_prior(name, Placement(overrides={name: folder}))


def ask(prior, samples):
    images = torch.full((samples, 64, 64, 3), 0.4)
    conditioning = prior.condition(["a cat"] * samples, images, VIEWS[:1])
    latents = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return prior.denoise(latents, torch.full((samples,), 400), conditioning, Viewpoints(VIEWS))


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_a_folder_loads_and_predicts_as_what_was_saved(name, kind, folder):
    from tiny_priors import BUILDERS

    add_unet(folder, kind)
    prior = load(name, folder)
    original = BUILDERS[kind.replace("-", "_")]()
    samples = 1 if kind in ("mvdream", "text-to-video") else 4
    torch.testing.assert_close(ask(prior, samples), ask(original, samples), atol=1e-5, rtol=1e-4)
    assert prior.encoder.size == ((256, 256) if kind in ("mvdream", "text-to-video") else (64, 64))
    assert not any(parameter.requires_grad for parameter in prior.unet.parameters())


@pytest.mark.parametrize("text_on_cpu", [False, True])
def test_deep_floyd_loads_without_an_autoencoder(text_on_cpu, tmp_path):
    from tiny_priors import deep_floyd

    original = deep_floyd()
    original.unet.save_pretrained(tmp_path / "unet")
    original.text.model.save_pretrained(tmp_path / "text_encoder")
    original.text.tokenizer.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "scheduler").mkdir()
    config = {"beta_schedule": "squaredcos_cap_v2"}
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    placement = Placement(overrides={"deep-floyd-if-1": tmp_path}, text_on_cpu=text_on_cpu)
    prior = load_prior("deep-floyd-if-1", placement)
    torch.testing.assert_close(prior.schedule.alphas_cumprod, original.schedule.alphas_cumprod)
    latents, t = prior.encode(torch.rand(1, 30, 30, 3)), torch.tensor([400])
    expected = original.denoise(latents, t, original.condition(["a cat"]))
    tolerance = 0.05 if text_on_cpu else 1e-5
    torch.testing.assert_close(prior.denoise(latents, t, prior.condition(["a cat"])), expected, atol=tolerance, rtol=0)


def test_controlnet_loads_over_its_base(folder, tmp_path):
    add_unet(folder, "stable-diffusion")
    tiny.controlnet().save_pretrained(tmp_path / "tile")
    overrides = {"controlnet-tile": tmp_path / "tile", "stable-diffusion-1.5": folder}
    prior = load_prior("controlnet-tile", Placement(overrides=overrides))
    assert prior.encoder.size == (1024, 1024)
    prior.encoder.size = (64, 64)
    assert torch.isfinite(ask(prior, 4)).all()


def test_motion_modules_load_over_their_base(folder, tmp_path):
    from tiny_priors import animatediff

    add_unet(folder, "stable-diffusion")
    tiny.motion_adapter().save_pretrained(tmp_path / "motion")
    overrides = {"animatediff-1.5.2": tmp_path / "motion", "stable-diffusion-1.5": folder}
    prior = load_prior("animatediff-1.5.2", Placement(overrides=overrides))
    assert prior.encoder.size == (256, 256)
    torch.testing.assert_close(ask(prior, 1), ask(animatediff(), 1))
    # Unlike its base's, the betas are linear.
    torch.testing.assert_close(prior.schedule.alphas_cumprod, noise_schedule("linear").alphas_cumprod)
    tiny.motion_adapter(block_out_channels=(16, 32, 32)).save_pretrained(tmp_path / "motion")
    with pytest.raises(BackendUnavailableError, match="do not fit"):
        load_prior("animatediff-1.5.2", Placement(overrides=overrides))


def test_a_half_precision_variant_loads(folder):
    add_unet(folder, "stable-diffusion")
    before = ask(load("stable-diffusion-1.5", folder), 4)
    for component, stem in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        path = folder / component / f"{stem}.safetensors"
        half = {key: value.half() if value.is_floating_point() else value for key, value in load_file(path).items()}
        save_file(half, folder / component / f"{stem}.fp16.safetensors", {"format": "pt"})
        path.unlink()
    prior = load("stable-diffusion-1.5", folder)
    assert prior.unet.dtype == torch.float32
    torch.testing.assert_close(ask(prior, 4), before, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("heads", [{}, {"num_heads": 2, "num_head_channels": -1, "use_linear_in_transformer": None}])
def test_mvdream_loads_under_its_original_names(folder, heads):
    from original_mvdream import LDM, ldm_names

    original = LDM | heads
    config = {**multi_view_config(original), "use_linear_projection": True, "sample_size": 8}
    unet = tiny.unet(**config)
    (folder / "unet").mkdir()
    (folder / "unet" / "config.json").write_text(json.dumps({"_class_name": "MultiViewUNetModel", **original}))
    torch.save(
        {f"model.diffusion_model.{key}": value for key, value in ldm_names(unet.state_dict()).items()},
        folder / "unet" / "sd-v2.1-base-4view.pt",
    )
    prior = load("mvdream-2.1", folder)
    for key, value in unet.state_dict().items():
        torch.testing.assert_close(prior.unet.state_dict()[key], value)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_a_tensor(path):
    state = load_file(path)
    del state["conv_in.weight"]
    save_file(state, path, {"format": "pt"})


UNET_FILE = "unet/diffusion_pytorch_model.safetensors"
DAMAGES = {
    "half a download": lambda folder: truncate(folder / UNET_FILE),
    "half a text encoder": lambda folder: truncate(folder / "text_encoder" / "model.safetensors"),
    "no weights": lambda folder: (folder / UNET_FILE).unlink(),
    "no component": lambda folder: shutil.rmtree(folder / "vae"),
    "no scheduler": lambda folder: shutil.rmtree(folder / "scheduler"),
    "no tokenizer": lambda folder: shutil.rmtree(folder / "tokenizer"),
    "broken configuration": lambda folder: (folder / "unet" / "config.json").write_text("{"),
    "a missing tensor": lambda folder: drop_a_tensor(folder / UNET_FILE),
    "another schedule": lambda folder: (folder / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({"beta_schedule": "sigmoid"})
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_one_line(damage, folder):
    add_unet(folder, "stable-diffusion")
    DAMAGES[damage](folder)
    with pytest.raises(BackendUnavailableError) as caught:
        load("stable-diffusion-1.5", folder)
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("zero123-xl", "stable-diffusion"),
        ("stable-diffusion-1.5", "zero123"),
        ("mvdream-2.1", "stable-diffusion"),
        ("modelscope-1.7b", "stable-diffusion"),
        ("stable-diffusion-1.5", "text-to-video"),
    ],
)
def test_another_architecture_is_one_line(name, kind, folder):
    add_unet(folder, kind)
    with pytest.raises(BackendUnavailableError, match="another architecture") as caught:
        load(name, folder)
    assert "\n" not in str(caught.value)


def test_a_pickle_payload_is_refused(tmp_path, capsys):
    path = tmp_path / "zero123-xl.ckpt"
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "callbacks": Attack(print, "this must never run")}, path)
    with pytest.raises(BackendUnavailableError, match="pickle payload"):
        read_weights(path)
    assert capsys.readouterr().out == ""


def test_checkpoints_of_tensors_are_read(tmp_path):
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "x.ckpt")
    torch.save(tensors, tmp_path / "x.pt")
    save_file(tensors, tmp_path / "x.safetensors")
    for name in ("x.ckpt", "x.pt", "x.safetensors"):
        found = read_weights(tmp_path / name)
        assert found.keys() == tensors.keys()
        torch.testing.assert_close(found["a"], tensors["a"])
    for name in ("x.ckpt", "x.safetensors"):
        truncate(tmp_path / name)
        with pytest.raises(BackendUnavailableError, match="not fully downloaded"):
            read_weights(tmp_path / name)


def test_every_entry_can_be_loaded_and_says_its_terms():
    for name, entry in catalogue().items():
        assert entry.kind in {*LOADERS, *USES, "image-adapter"}
        assert entry.licence
        assert entry.bytes > 5e8 or entry.packaged or entry.kind in USES, name
        assert sum(map(bool, (entry.repositories, entry.packaged, entry.released))) == 1
        assert entry.released is None or set(entry.sha256) == set(entry.components)
        assert all("runwayml" not in each and "stabilityai/stable" not in each for each in entry.repositories)
        assert entry.components
        assert set(entry.parts.values()) <= set(catalogue())


def test_a_recipe_names_all_that_it_uses():
    assert with_bases(["animate3d"]) == ["mv-vdm", "mvdream-1.5", "ip-adapter-1.5"]
    assert with_bases(["controlnet-tile"]) == ["controlnet-tile", "stable-diffusion-1.5"]
    with pytest.raises(ConfigError, match="Did you mean 'zero123-xl'"):
        with_bases(["zero123-xxl"])


def test_missing_weights_name_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BackendUnavailableError, match="a4d weights fetch zero123-xl") as caught:
        locate("zero123-xl")
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    assert list(tmp_path.iterdir()) == []


def test_a_whole_mirror_in_the_cache_is_found_and_half_a_one_is_not(monkeypatch, tmp_path):
    repository = tmp_path / "models--ashawkey--zero123-xl-diffusers"
    snapshot = repository / "snapshots" / ("a" * 40)
    for component in catalogue()["zero123-xl"].components:
        (snapshot / component).mkdir(parents=True)
        (snapshot / component / "config.json").write_text("{}")
        (snapshot / component / "model.fp16-00001-of-00002.safetensors").write_bytes(b"")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BackendUnavailableError):
        locate("zero123-xl")
    for component in catalogue()["zero123-xl"].components:
        (snapshot / component / "model.fp16-00002-of-00002.safetensors").write_bytes(b"")
    assert locate("zero123-xl") == snapshot


def test_of_each_component_one_form_is_fetched():
    listed = [
        "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.fp16_ema.safetensors",
        "unet/diffusion_pytorch_model.bin", "vae/config.json", "vae/diffusion_pytorch_model.bin",
        "vae/diffusion_pytorch_model.fp16.bin", "text_encoder/config.json",
        "text_encoder/model.fp16-00001-of-00002.safetensors", "text_encoder/model.fp16-00002-of-00002.safetensors",
        "text_encoder/model.safetensors.index.fp16.json", "text_encoder/model-00001-of-00002.safetensors",
        "scheduler/scheduler_config.json", "tokenizer/merges.txt", "tokenizer/run.py", "safety_checker/config.json",
    ]  # fmt: skip
    assert needed_files(listed, ["unet", "vae", "text_encoder"]) == [
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.fp16-00001-of-00002.safetensors",
        "text_encoder/model.fp16-00002-of-00002.safetensors",
        "text_encoder/model.safetensors.index.fp16.json",
        "tokenizer/merges.txt",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.fp16.bin",
    ]
    assert needed_files(["config.json", "diffusion_pytorch_model.bin", "README.md"], [""]) == [
        "config.json",
        "diffusion_pytorch_model.bin",
    ]
    with pytest.raises(BackendUnavailableError, match="no weights of unet"):
        needed_files(["unet/config.json"], ["unet"])


def test_offline_fetches_nothing(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BackendUnavailableError, match="HF_HUB_OFFLINE"):
        fetch("zero123-xl")


def test_the_next_mirror_is_tried_and_all_failures_are_one_line(monkeypatch):
    tried = []

    def look_up(hub, repository, **options):
        tried.append((repository, options["revision"]))
        raise OSError(f"404 for {repository}\nlong story")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", look_up)
    with pytest.raises(BackendUnavailableError, match="cannot be fetched") as caught:
        fetch("zero123-xl")
    assert tried == [
        ("bennyguo/zero123-xl-diffusers", catalogue()["zero123-xl"].revision),
        ("ashawkey/zero123-xl-diffusers", None),
    ]
    assert "\n" not in str(caught.value)


def test_overrides(tmp_path):
    assert parse_overrides([f"zero123-xl={tmp_path}"]) == {"zero123-xl": tmp_path}
    assert locate("zero123-xl", {"zero123-xl": tmp_path}) == tmp_path
    with pytest.raises(UsageError, match="NAME=PATH"):
        parse_overrides(["zero123-xl"])
    with pytest.raises(UsageError, match="no folder"):
        parse_overrides(["zero123-xl=/nowhere/at/all"])
    with pytest.raises(ConfigError, match="Did you mean"):
        parse_overrides([f"zero123xl={tmp_path}"])


def test_importing_the_priors_loads_no_model_library():
    code = (
        "import sys, a4d.commands.weights; assert 'torch' not in sys.modules;"
        "import a4d.priors.schedule, a4d.priors.protocol, a4d.priors.exact, a4d.priors.catalogue, "
        "a4d.priors.loading, a4d.priors.released.mvdream, a4d.objectives.score_distillation;"
        "print([m for m in ('diffusers', 'transformers', 'huggingface_hub') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout.strip() == "[]"
