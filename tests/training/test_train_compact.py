"""Training the compact prior: from the command line, after an interruption, and long enough to learn something."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

from a4d.errors import ConfigError, ExitCode
from a4d.priors.catalogue import load_prior
from a4d.priors.compact.evaluation import Sampler, evaluate_video, evaluate_views
from a4d.priors.compact.examples import ProceduralBatches, Recipe
from a4d.priors.compact.network import CompactConfig
from a4d.priors.compact.weights import load_network
from a4d.priors.placement import Placement
from a4d.training.compact import MODEL, CompactTraining
from a4d.training.optimisers import choose_group

TINY = (
    "--set", "network={size: 32, fine_width: 16, width: 32, blocks: 1, heads: 2, embedding: 32, text_width: 32}",
    "--set", "data.size=32", "--batch", 16, "--device", "cpu",
)  # fmt: skip


def test_batches_are_a_pure_function_of_their_number():
    recipe = Recipe(images=32, size=32)
    one, other = ProceduralBatches(recipe, 0), ProceduralBatches(recipe, 0)
    late = one[7]
    other[3]
    again = other[7]
    assert set(late) == set(again)
    assert all(torch.equal(late[name], again[name]) for name in late)
    kinds = [float(one[index]["moving"][0]) for index in range(40)]
    assert 0.5 < sum(kinds) / 40 < 0.95
    assert not torch.equal(one[8]["words"][:1], one[7]["words"][:1])


def test_settings_follow_the_device_and_what_was_given():
    cpu, cuda = (MODEL.settings(device, False, ({"training": {"steps": 5}},)) for device in ("cpu", "cuda:1"))
    assert cpu.training.steps == cuda.training.steps == 5
    assert cuda.data.images > cpu.data.images
    assert cuda.training.workers > 0 == cpu.training.workers
    continued = MODEL.settings("cpu", True, ({"data": {"images": 8}},), ("data.moving_share=0.5",))
    assert continued.training.rates.scale < 1 < continued.training.rates.warm_up
    assert (continued.data.images, continued.data.moving_share) == (8, 0.5)
    with pytest.raises(ConfigError, match="moving_share"):
        MODEL.settings("cpu", False, ({"data": {"moving_shar": 1}},))


def test_muon_trains_the_hidden_matrices_and_adam_the_rest():
    settings = MODEL.settings("cpu", False, ())
    assert isinstance(settings, CompactTraining)
    trainee, _ = MODEL.start(settings, None, 0)
    kinds = {
        name: choose_group(name, settings.training.groups).optimiser for name, _ in trainee.module.named_parameters()
    }
    assert kinds["blocks.0.conv.first.weight"] == kinds["blocks.1.attention.to_qkv.weight"] == "muon"
    assert kinds["text.layers.0.self_attn.in_proj_weight"] == "muon"
    assert kinds["velocity_head.weight"] == kinds["text.table.weight"] == kinds["blocks.0.conv.first.bias"] == "adam"
    muon = [p for name, p in trainee.module.named_parameters() if kinds[name] == "muon"]
    assert all(parameter.ndim >= 2 for parameter in muon)
    assert sum(p.numel() for p in muon) > 0.7 * sum(p.numel() for p in trainee.module.parameters())
    assert 2 * sum(p.numel() for p in trainee.module.parameters()) < 10e6


def test_the_command_trains_goes_on_and_serves_its_own_weights(a4d, tmp_path):
    run = ("train-prior", "compact", "--output", "run", *TINY)
    result = a4d(*run, "--steps", 2, "--json")
    assert result.code == 0, result.err
    assert result.json["figures"]["PSNR repeated"] > 10
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]["images"] == 16
    assert len(list((tmp_path / "run" / "previews").glob("*.png"))) == 1
    assert a4d(*run, "--steps", 3).code == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 3]
    network, _ = load_network(tmp_path / "run" / "weights.safetensors")
    assert network.config == CompactConfig(
        size=32, fine_width=16, width=32, blocks=1, heads=2, embedding=32, text_width=32
    )
    prior = load_prior("compact-video", Placement(overrides={"compact-video": tmp_path / "run"}))
    assert prior.clean_frames == 1
    other = ("train-prior", "compact", "--output", "other", *TINY, "--from", "run/weights.safetensors")
    assert a4d(*other, "--steps", 1, "-q").code == 0
    before, after = (load_file(tmp_path / name / "weights.safetensors") for name in ("run", "other"))
    changes = [float((before[name].float() - after[name].float()).abs().max()) for name in before]
    assert 0 < max(changes) < 1e-2
    result = a4d("train-prior", "compact", "--output", "run", "--evaluate", "--objects", 1, "--device", "cpu", "--json")
    assert result.code == 0, result.err
    assert {"sampled_psnr", "repeat_psnr", "nearest_motion", "mirror_iou"} <= result.json["figures"].keys()
    _, facts = load_network(tmp_path / "run" / "weights.safetensors")
    assert facts["figures"] == result.json["figures"]
    assert "gate" in facts["limits"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--steps", 3), ExitCode.USAGE, "--output"),
        (("--output", "run"), ExitCode.USAGE, "--steps or --hours"),
        (("picture.png", "--output", "run", "--steps", 1), ExitCode.USAGE, "no files"),
        (("--output", "run", "--steps", 1, "--dry-run"), ExitCode.USAGE, "--dry-run is for what is learnt"),
        (("--output", "run", "--steps", 1, "--set", "data.imags=3"), ExitCode.INVALID, "Did you mean 'images'"),
        (
            ("--output", "run", "--steps", 1, "--from", "nothing.safetensors"),
            ExitCode.UNAVAILABLE,
            "nothing.safetensors",
        ),
    ],
)
def test_mistakes_are_one_line_and_leave_no_folder(a4d, tmp_path, arguments, code, words):
    result = a4d("train-prior", "compact", *arguments, "--device", "cpu")
    assert (result.code, len(result.err.splitlines())) == (code, 1)
    assert words in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_stopped_run_leaves_a_checkpoint_and_exit_code_75(tmp_path):
    def command(folder, steps):
        arguments = ["train-prior", "compact", "--output", folder, *TINY, "--steps", steps]
        return [sys.executable, "-m", "a4d", *map(str, arguments)]

    subprocess.run(command(tmp_path / "whole", 30), check=True, timeout=300)
    running = subprocess.Popen(command(tmp_path / "parts", 30))
    while not (tmp_path / "parts" / "metrics.jsonl").exists():
        time.sleep(0.2)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=120) == ExitCode.INTERRUPTED
    assert (tmp_path / "parts" / "state.safetensors").is_file()
    subprocess.run(command(tmp_path / "parts", 30), check=True, timeout=300)
    whole, parts = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.slow
def test_two_minutes_teach_one_motion(tmp_path):
    """With one motion and little else to learn, sampled clips soon beat repeating the picture at rest."""
    from a4d.console import make_console
    from a4d.datasets.procedural import vocabulary
    from a4d.priors.compact import evaluation, examples
    from a4d.runtime import Runtime
    from a4d.training.trainer import Trainer

    torch.manual_seed(0)
    only = {"jump": vocabulary.MOTIONS["jump"]}
    with pytest.MonkeyPatch.context() as patch:
        for module in (examples, evaluation):
            patch.setattr(module, "MOTIONS", only)
        given = {
            "training": {"steps": 150, "rates": {"decay_from": 0.3}},
            "data": {"images": 32, "moving_share": 1.0, "frames": [1]},
        }
        settings = MODEL.settings("cpu", False, (given,))
        trainee, batches = MODEL.start(settings, None, 0)
        trainee.validation_batches = 1
        Trainer(trainee, batches, settings.training, tmp_path, Runtime(console=make_console(quiet=True))).run()
        network, _ = load_network(tmp_path / "weights.safetensors")
        figures = evaluation.evaluate_video(network, 4, evaluation.Sampler(4, 1.0))
    assert figures["sampled_psnr_foreground"] > figures["repeat_psnr_foreground"] + 1.5


def test_the_weights_that_ship_do_what_their_card_says():
    """Held-out objects; asserted with margin to the model card's figures."""
    network = load_prior("compact", Placement()).network
    video = evaluate_video(network, 8, Sampler(1, 1.0))
    assert video["one_step_psnr_foreground"] > video["repeat_psnr_foreground"] + 1
    assert video["nearest_motion"] > 0.25
    views = evaluate_views(network, 4, Sampler())
    assert views["mirror_iou"] > 0.6
    assert views["image_to_views_iou"] > 0.6
