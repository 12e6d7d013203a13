"""Training MV-VDM: what the loss looks at, what learns, resumption, several processes, and the data set it reads."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny_models as tiny
import torch
from safetensors.torch import load_file
from tiny_mv_vdm import mv_vdm, save_mv_vdm
from written_clips import write_dataset

from a4d.console import make_console
from a4d.errors import ConfigError, InvalidInputError, MissingInputError, UsageError
from a4d.geometry.cameras import orbit
from a4d.io.captures.multi_view_dataset import MultiViewClip, read_entries
from a4d.io.films.video import read_video, write_video
from a4d.priors.catalogue import load_prior
from a4d.priors.placement import Placement
from a4d.randomness import generator
from a4d.runtime import Runtime
from a4d.training.mv_vdm import MODEL, ClipBatches, ClipData, start, tokens_of
from a4d.training.trainer import Trainer

FILM_VIEWS, FILM_FRAMES, SIDE = 4, 6, 32


def write_data_set(folder, clips=3):
    """Films of a square that moves, whose grey tells the view and whose row tells the frame."""
    information = {}
    for index in range(clips):
        uid, number = f"object{index // 2}", f"{index % 2:02d}"
        entry = {
            "text_prompt": f"a square moves {('left', 'right', 'up')[index % 3]}",
            "angle": {"elv": 10.0 * index, "azi_start": 5.0},
        }
        information.setdefault(uid, {"source": "drawn"})[number] = entry
        films = folder / "videos" / uid / number
        films.mkdir(parents=True)
        for view in range(FILM_VIEWS):
            frames = np.full((FILM_FRAMES, SIDE, SIDE, 3), 0.5, np.float32)
            for frame in range(FILM_FRAMES):
                frames[frame, 4 * frame : 4 * frame + 8, 8:24] = (view + 1) / 5
            write_video(films / f"view_{view}.mp4", iter(frames), 24.0)
    (folder / "uid_info_dict.json").write_text(json.dumps(information))
    return folder


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_mv_vdm(tmp_path_factory.mktemp("weights"), mv_vdm())


def settings(data_set, weights, **training):
    given = {
        "data": {"path": str(data_set), "frames": 3, "stride": 2, "size": SIDE, "held_out": 1},
        "validation": {"clips": 1, "steps": 2},
        "weights": {name: str(path) for name, path in weights.items()},
        "training": {"steps": 3, "dtype": "float32", "log_every": 1, **training},
    }
    return MODEL.settings("cpu", False, [given])


def train(config, folder, steps=None):
    trainee, batches = start(config, None, 7)
    runtime = Runtime("cpu", 7, make_console(quiet=True))
    wanted = config.training if steps is None else config.training.model_copy(update={"steps": steps})
    trainer = Trainer(trainee, batches, wanted, folder, runtime)
    return trainer, trainer.run()


def batches_of(data_set, **data):
    values = {"frames": 3, "stride": 2, "size": 16, **data}
    return ClipBatches(read_entries(data_set), ClipData(**values), tiny.tokenizer(), 0)


def test_batches_are_functions_of_their_number_in_the_order_of_priors(data_set):
    batches = batches_of(data_set, samples=2)
    batch, again = batches[3], batches_of(data_set, samples=2)[3]
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert batch["rgb"].shape == (2 * 4 * 3, 16, 16, 3)
    assert batch["rgb"].dtype == torch.uint8
    assert batch["poses"].shape == (8, 4, 4)
    rgb = batch["rgb"].float().view(2, 4, 3, 16, 16, 3) / 255
    for view in range(4):
        for frame in range(3):
            image = rgb[0, view, frame, :, 8, 0]
            row = int((image - (view + 1) / 5).abs().argmin())
            assert abs(float(image[row]) - (view + 1) / 5) < 0.05
            centre = (4 * (2 * frame) + 4) / 2
            assert abs(row - centre) <= 4


def test_words_are_dropped_in_their_share_and_views_must_divide(data_set):
    dropped = batches_of(data_set, text_dropout=1.0)[0]["tokens"]
    assert torch.equal(
        dropped, tiny.tokenizer()("", padding="max_length", max_length=77, return_tensors="pt").input_ids
    )
    assert not torch.equal(batches_of(data_set, text_dropout=0.0)[0]["tokens"], dropped)
    with pytest.raises(ConfigError, match="3 cannot be evenly taken"):
        batches_of(data_set, views=3)[0]
    with pytest.raises(InvalidInputError, match="give 3 of 5 frames"):
        batches_of(data_set, frames=5)[0]


def test_poses_are_the_films_own(data_set, tmp_path):
    """The angles of MV-Video's index, or the cameras that our own data sets have beside the films."""
    order = {name: 10.0 * index for index, name in enumerate(("left", "right", "up"))}
    batches = batches_of(data_set, text_dropout=0.0)
    words = {name: tokens_of(tiny.tokenizer(), f"a square moves {name}") for name in order}
    for number in range(4):
        batch = batches[number]
        (elevation,) = (order[name] for name, tokens in words.items() if torch.equal(tokens, batch["tokens"]))
        ring = orbit(torch.tensor([5.0, 95.0, 185.0, 275.0]), torch.full((4,), elevation), 3.0, 40.0, 32, 32)
        torch.testing.assert_close(batch["poses"], ring.world_from_camera)
    cameras = orbit(torch.tensor([10.0, 20, 90, 200]), torch.tensor([0.0, 10, 20, 30]), 2.0, 35.0, SIDE, SIDE)
    rgba = torch.zeros(4, FILM_FRAMES, SIDE, SIDE, 4, dtype=torch.uint8)
    rgba[..., 8:24, 8:24, :] = torch.tensor([255, 0, 0, 255], dtype=torch.uint8)
    clips = [MultiViewClip(f"mine{index}", 0, rgba, cameras, "a square", 15.0, 0.0) for index in range(2)]
    write_dataset(tmp_path, clips, with_images=True)
    batch = batches_of(tmp_path)[0]
    torch.testing.assert_close(batch["poses"], cameras.world_from_camera, atol=1e-5, rtol=0)
    assert batch["rgb"][:, 0, 0].unique().tolist() in ([127], [128])
    assert batch["rgb"][:, 8, 8].tolist() == [[255, 0, 0]] * 12


@pytest.fixture
def trainee(data_set, weights):
    return start(settings(data_set, weights), None, 0)


def test_the_loss_is_that_of_the_noise_in_all_frames_but_the_first(trainee, monkeypatch):
    """What the network says of frame 0 is not looked at, and frame 0 reaches it clean, the others at one level."""
    model, batches = trainee
    batch, seen = batches[0], {}
    first = torch.arange(12) % 3 == 0
    original = model.prior.predict

    def predict(latents, t, conditioning, cameras):
        seen["latents"], seen["t"] = latents, t
        output = original(latents, t, conditioning, cameras)
        return torch.where(first.view(-1, 1, 1, 1), output + seen.get("error", 0.0), output)

    monkeypatch.setattr(model.prior, "predict", predict)
    _, loss = model.loss(batch, generator(1))
    seen["error"] = 100.0
    _, same = model.loss(batch, generator(1))
    torch.testing.assert_close(same, loss)
    assert len(seen["t"]) == 1
    clean = model.prior.encode(batch["rgb"].float() / 255, generator(1)).detach()
    torch.testing.assert_close(seen["latents"][first], clean[first])
    level = model.prior.schedule.sigma(seen["t"], clean)
    difference = seen["latents"][~first] - model.prior.schedule.alpha(seen["t"], clean) * clean[~first]
    assert abs(float(difference.std()) - float(level)) < 0.1 * float(level)


@pytest.fixture(scope="module")
def whole(data_set, weights, tmp_path_factory):
    """A run from beginning to end, with its figures and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return *train(settings(data_set, weights), folder), folder


def test_only_what_the_patterns_name_learns(data_set, weights, whole):
    config, (trainer, figures, folder) = settings(data_set, weights), whole
    before = {name: value.clone() for name, value in start(config, None, 7)[0].module.state_dict().items()}
    after = trainer.trainee.module.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("i2v." in name or "motion_modules." in name for name in moved)
    parameters = {name for name, _ in trainer.trainee.module.named_parameters()}
    named = {name for name in parameters if "i2v." in name or "motion_modules." in name}
    # The queries of a branch whose output is still zero get their first gradient with the second step.
    assert named - moved == set()
    assert set(figures) == {"loss 0.2", "loss 0.5", "loss 0.9", "PSNR sampled"}
    assert all(np.isfinite(value) for value in figures.values())
    assert len(list((folder / "previews").glob("*.mp4"))) == 1
    frozen = start(config, None, 7)[0].prior
    for mine, theirs in (
        (trainer.trainee.prior.encoder.vae, frozen.encoder.vae),
        (trainer.trainee.prior.text.model, frozen.text.model),
    ):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


def test_saved_weights_load_into_the_prior(weights, whole):
    trainer, _, folder = whole
    overrides = {**weights, "mv-vdm": folder.parent / "trained"}
    overrides["mv-vdm"].mkdir()
    shutil.copy(folder / "weights.safetensors", overrides["mv-vdm"])
    loaded = load_prior("mv-vdm", Placement(overrides=overrides))
    for name, value in trainer.average.items():
        torch.testing.assert_close(loaded.unet.state_dict()[name], value)


def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_bits(data_set, weights, whole, tmp_path):
    config, (trainer, _, folder) = settings(data_set, weights), whole
    train(config, tmp_path / "resumed", steps=2)
    resumed, _ = train(config, tmp_path / "resumed")
    assert resumed.done == trainer.done == 3
    for name, value in trainer.masters.items():
        assert torch.equal(value, resumed.masters[name]), name
    mine, theirs = (load_file(each / "weights.safetensors") for each in (folder, tmp_path / "resumed"))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_recomputing_activations_changes_nothing(trainee):
    model, batches = trainee
    parameters = {name: value for name, value in model.module.named_parameters() if "motion_modules." in name}
    losses, gradients = [], []
    for recompute in (False, True):
        model.module.recompute_activations = recompute
        for parameter in parameters.values():
            parameter.requires_grad_().grad = None
        _, loss = model.loss(batches[1], generator(0))
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append({name: parameter.grad.clone() for name, parameter in parameters.items()})
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-8, rtol=1e-4, msg=name)
    assert any(gradient.any() for gradient in gradients[0].values())


def test_what_make_dataset_writes_is_learnt_from_and_a_run_goes_on(a4d, weights, tmp_path):
    """Eight films of each of three procedural objects, of which every other is taken; bfloat16, as on a GPU."""
    views = ("--views", 8, "--frames", 6, "--size", SIDE, "--workers", 1)
    made = a4d("make-dataset", "--procedural", 3, "--output", "set", *views)
    assert made.code == 0, made.err
    entries = read_entries(tmp_path / "set")
    assert [len(entry.videos) for entry in entries] == [8, 8, 8]

    def lines():
        return [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]

    arguments = command("set", weights, "run", "--set", "training.dtype=bfloat16")[1:]
    assert a4d(*arguments).code == 0
    first = lines()
    assert [line["step"] for line in first if "clips" in line] == [1, 2]
    assert set(first[-1]["validation"]) == {"loss 0.2", "loss 0.5", "loss 0.9", "PSNR sampled"}
    assert a4d(*arguments, "--steps", 3).code == 0
    assert [line for line in lines() if "clips" in line][:2] == [line for line in first if "clips" in line]
    assert [line["step"] for line in lines() if "validation" in line] == [2, 3]
    previews = sorted(path.name for path in (tmp_path / "run" / "previews").iterdir())
    assert previews == ["step_000002_clip_0.mp4", "step_000003_clip_0.mp4"]
    shown = next(read_video(tmp_path / "run" / "previews" / previews[1]).frames)
    assert shown.shape[:2] == (2 * SIDE, 4 * SIDE)


def test_training_lowers_the_loss_on_one_clip(data_set, weights):
    config = settings(data_set, weights)
    model, batches = start(config, None, 0)
    for name, parameter in model.module.named_parameters():
        parameter.requires_grad_("i2v." in name or "motion_modules." in name)
    chosen = [parameter for parameter in model.module.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(chosen, lr=1e-2)
    batch, losses = batches[0], []
    for _ in range(12):
        _, loss = model.loss(batch, generator(0), torch.tensor([500]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def command(data_set, weights, output, *more):
    names = ",".join(f"{name}={path}" for name, path in weights.items())
    sizes = {"data.frames": 3, "data.stride": 2, "data.size": SIDE, "data.held_out": 1, "validation.clips": 1,
             "validation.steps": 1, "training.dtype": "float32", "training.log_every": 1}  # fmt: skip
    sets = [part for key, value in sizes.items() for part in ("--set", f"{key}={value}")]
    return ["a4d", "train-prior", "mv-vdm", str(data_set), "--output", str(output), "--weights", names, "--steps", "2",
            "--device", "cpu", "-q", *sets, *more]  # fmt: skip


def test_mistakes_are_one_line(data_set, weights, tmp_path):
    from a4d.commands.train_network import NetworkTraining, train_network

    def run(data, **given):
        settings = ({"training": {"steps": 1}, **given},)
        wanted = NetworkTraining(tmp_path / "run", data, None, settings, (), "cpu", 0, False, 1, False, True)
        train_network("mv-vdm", wanted)

    with pytest.raises(UsageError, match="data set"):
        run(None)
    with pytest.raises(MissingInputError, match="uid_info_dict"):
        run(tmp_path)
    with pytest.raises(ConfigError, match="held out"):
        run(data_set)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_processes_train_one_model(data_set, weights, tmp_path, launcher):
    """Started as the README says; both see other clips and end with the same weights."""
    launch = {
        "torchrun": ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29517"],
        # With --cpu it starts a single process; this is how it starts one per GPU, were there any.
        "accelerate": ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
                       "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "29518"],
    }[launcher]  # fmt: skip
    pytest.importorskip(launch[0].partition(".")[0])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [sys.executable, "-m", *launch, "-m", *command(data_set, weights, tmp_path / "run")]
    done = subprocess.run(started, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "clips" in line] == [1, 2]
    alone = tmp_path / "alone"
    single = subprocess.run(
        [sys.executable, "-m", *command(data_set, weights, alone)], env=environment, capture_output=True, text=True
    )
    assert single.returncode == 0, single.stderr[-2000:]
    two, one = (load_file(each / "weights.safetensors") for each in (tmp_path / "run", alone))
    assert two.keys() == one.keys()
    assert any(not torch.equal(two[name], one[name]) for name in two)
