"""A film of a body through the command line: fitted, refined, driven; the paper's file with small numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic_smpl
import tiny_models as tiny
import torch
import yaml
from safetensors.torch import save_file
from small_avatar import filmed, tracked, write_workspace
from torch import Generator

from a4d.config import overlaid
from a4d.contents.bodies import load_tracked_body
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.rigged_character import rigged_character
from a4d.geometry.bodies.tracked_body import TrackedBody, in_shape
from a4d.geometry.cameras import orbit
from a4d.io.assets.asset_reader import read_asset
from a4d.io.bodies.smpl import read_smpl
from a4d.scenes import load_scene
from a4d.scenes.avatar.scene import AvatarScene
from a4d.scenes.seed import Seed
from a4d.workspace.workspace import Workspace

RECIPES = Path(__file__).parents[2] / "recipes" / "gaussian_avatar"
SMALL = {
    "fit-dynamic": {
        "scene": {
            "texels": 24,
            "appearance": {"resolution": 8, "channels": 4, "smoothing": 1, "width": 8},
        },
        "iterations": 6,
        # Poses move from the third step on.
        "optimiser": {"rates": {name: {"steps": 2} for name in ("turns", "shifts")}},
    },
    "refine": {"scene": {"branch": {"resolution": 32, "channels": 4, "width": 2}}, "iterations": 4},
}


@pytest.fixture
def film(tmp_path: Path) -> Path:
    body = tracked(6)
    return write_workspace(tmp_path / "figure.a4d", filmed(body, 40), body)


def small_paper(folder: Path) -> Path:
    """The paper's file with small numbers, and LPIPS from the second step on."""
    values = overlaid(yaml.safe_load((RECIPES / "paper.yaml").read_text()), SMALL)
    for section in values.values():
        for objective in section.get("objectives", ()):
            if objective["kind"] == "perceptual":
                objective["turns"] = {"start": 1}
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.fixture(scope="module")
def lpips(tmp_path_factory) -> Path:
    """A folder with a thin LPIPS of random numbers."""
    folder = tmp_path_factory.mktemp("lpips")
    (folder / "LPIPS").mkdir()
    save_file(tiny.alexnet_lpips([4, 6, 8, 8, 6]), folder / "LPIPS" / "alexnet.safetensors")
    return folder


def changed(before, after) -> set[str]:
    """The groups of two scenes that differ, all of them finite."""
    found = set()
    for name, parameters in after.groups().items():
        assert all(parameter.isfinite().all() for parameter in parameters)
        former = before.groups().get(name)
        if former is None or not all(map(torch.equal, parameters, former)):
            found.add(name)
    return found


def test_the_paper_s_file_leads_from_a_film_to_an_avatar_whose_looks_depend_on_its_pose(
    a4d, tmp_path, film, lpips
) -> None:
    missing = a4d("fit-dynamic", film, "--config", small_paper(tmp_path))
    assert (missing.code, "lpips-alexnet" in missing.err) == (5, True)
    assert (
        a4d("fit-dynamic", film, "--config", small_paper(tmp_path), "--set", "without=[perceptual]", "--dry-run").code
        == 0
    )
    settings = ("--config", small_paper(tmp_path), "--weights", f"lpips-alexnet={lpips}")
    chain = [("fit-dynamic", film, *settings), ("refine", film, "--from", "fit-dynamic", *settings)]
    for arguments in chain:
        done = a4d(*arguments, "--json")
        assert done.code == 0, done.err
    assert all(a4d(*arguments, "--json").json["status"] == "up to date" for arguments in chain)
    record = Workspace.open(film).read_records()["fit-dynamic"]
    assert record.metrics["perceptual/film"] > 0
    assert [entry.id for entry in record.weights] == ["lpips-alexnet"]
    fitted, refined = (load_scene(film / "scenes" / name) for name in ("fit-dynamic", "refine"))
    assert set(fitted.groups()) == {"features", "decoder", "turns", "shifts"}
    assert all(parameter.isfinite().all() for parameter in fitted.parameters())
    frames = tracked(6)
    moved = (fitted.fitted().animated.rotations - frames.animated.rotations).abs().amax((1, 2, 3)) > 1e-6
    # One frame in four is held out.
    assert moved.tolist() == [True, True, True, False, True, True]
    assert changed(fitted, refined) == {"decoder", "pose_encoder"}


def test_a_body_chooses_the_profile_and_its_file_decides_what_is_up_to_date(a4d, film) -> None:
    command = ("fit-dynamic", film, "--iterations", 3, "--set", "scene.texels=24", "--json")
    assert a4d(*command).json["status"] == "done"
    config = yaml.safe_load((film / "stages" / "fit-dynamic" / "config.yaml").read_text())
    assert (config["profile"], config["scene"]["kind"]) == ("fit-dynamic-body", "avatar")
    assert a4d(*command).json["status"] == "up to date"
    body = load_tracked_body(Workspace.open(film))
    assert len(load_scene(film / "scenes" / "fit-dynamic").tracked) == len(body)
    write_again(film, replace(body, is_tracked=~body.is_tracked))
    assert a4d(*command).json["status"] == "done"
    compact = ("--config", RECIPES / "compact.yaml", "--dry-run")
    for ask in (("fit-dynamic",), ("refine", "--from", "fit-dynamic")):
        done = a4d(ask[0], film, *ask[1:], *compact, "--name", "other")
        assert done.code == 0, done.err


def test_a_single_picture_of_a_body_makes_an_avatar(a4d, tmp_path) -> None:
    body = tracked(1)
    picture = write_workspace(tmp_path / "picture.a4d", filmed(body, 40), body)
    done = a4d("fit-dynamic", picture, "--iterations", 3, "--set", "scene.texels=24")
    assert done.code == 0, done.err
    scene = load_scene(picture / "scenes" / "fit-dynamic")
    assert not scene.is_moving
    assert "colours" in changed(
        AvatarScene.begin({"kind": "avatar", "texels": 24}, Seed(body=body), Generator()), scene
    )


def test_an_avatar_that_misses_its_film_is_not_gone_on_with(a4d, film) -> None:
    body = load_tracked_body(Workspace.open(film))
    command = ("fit-dynamic", film, "--iterations", 3, "--set", "scene.texels=24")
    assert a4d(*command, "--name", "good").code == 0
    beside = body.animated.translation + torch.tensor([0.6, 0.0, 0.0])
    write_again(film, replace(body, animated=replace(body.animated, translation=beside)))
    missed = a4d(*command, "--name", "beside")
    assert (missed.code, "outlines at time" in missed.err) == (7, True)


def write_again(film: Path, body: TrackedBody) -> None:
    from a4d.io.bodies.tracked_body import write_tracked_body

    write_tracked_body(film / "body.npz", body)


def test_a_run_that_was_cut_off_ends_with_the_same_bytes(a4d, film, monkeypatch) -> None:
    command = ("fit-dynamic", film, "--iterations", 12, "--set", "scene.texels=24", "--checkpoint-seconds", 1e-6)
    assert a4d(*command, "--name", "whole").code == 0
    steps = []

    def cut(self, step, optimisers, generator) -> None:
        steps.append(step)
        if len(steps) == 7:
            raise KeyboardInterrupt
        after_step(self, step, optimisers, generator)

    after_step = AvatarScene.after_step
    monkeypatch.setattr(AvatarScene, "after_step", cut)
    assert a4d(*command, "--name", "cut").code != 0
    assert a4d(*command, "--name", "cut").code == 0
    assert steps == [0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11]
    for file in ("tensors.safetensors", "body.npz", "gaussians.ply"):
        whole, resumed = (film / "scenes" / name / file for name in ("whole", "cut"))
        assert whole.read_bytes() == resumed.read_bytes()


def smpl_shaped(folder: Path) -> TrackedBody:
    np.savez(folder / "SMPL_NEUTRAL.npz", **synthetic_smpl.model())
    body = in_shape(read_smpl(folder / "SMPL_NEUTRAL.npz"))
    return standing(body, "smpl")


def standing(body, model: str) -> TrackedBody:
    rotations = torch.eye(3).repeat(2, len(body.names), 1, 1)
    animated = AnimatedBody(body, body.default_shape, rotations, torch.zeros(2, 3), 0.5)
    return TrackedBody(animated, torch.tensor([0.0, 1.0]).double(), torch.ones(2).bool(), model, torch.zeros(0))


def mannequin(real_data: Path) -> TrackedBody:
    file = next((real_data / "rigged_kaykit").rglob("manny_med_mod.gltf"))
    return standing(rigged_character(read_asset(file)), "rig")


@pytest.mark.parametrize("kind", ["smpl", "rig"])
def test_bodies_of_other_origins_go_through_the_same_file(a4d, request, tmp_path, kind) -> None:
    body = smpl_shaped(tmp_path) if kind == "smpl" else mannequin(request.getfixturevalue("real_data"))
    vertices = body.animated.posed().vertices[0]
    middle = (vertices.amax(0) + vertices.amin(0)) / 2
    rest = replace(body.animated, translation=body.animated.translation - middle)
    body = replace(body, animated=rest)
    film = write_workspace(tmp_path / "body.a4d", filmed(body, 48), body)
    command = ("fit-dynamic", film, "--config", RECIPES / "compact.yaml", "--set", "scene.texels=96")
    done = a4d(*command, "--iterations", 30, "--json")
    assert done.code == 0, done.err
    scene = load_scene(film / "scenes" / "fit-dynamic")
    assert scene.skeleton.names == body.animated.body.names
    camera = orbit(torch.zeros(1), torch.zeros(1), 2.4, 40.0, 48, 48)
    with torch.no_grad():
        covered = scene.render(camera, torch.zeros(1)).alpha[0, ..., 0] > 0.5
    truth = filmed(body, 48).rgba[0][..., 3] > 0.5
    assert float((covered & truth).sum() / (covered | truth).sum()) > 0.7
