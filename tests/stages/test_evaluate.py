"""Shapes over time, scored by the command line against what a workspace has recorded of the mesh it was made from."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors.torch import save_file

from a4d.geometry.assets.assembly import primitive_from_mesh, skinned_asset
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.primitives import box, paint
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion
from a4d.io.assets.glb_asset import write_asset
from a4d.randomness import generator
from a4d.scenes.gaussian_motion.scene import GaussianMotionScene
from a4d.scenes.meshes.fixed_mesh import FixedMeshScene
from a4d.scenes.seed import Seed

FRAMES = 9


def arm(path: Path, degrees: float, size: float = 40.0) -> None:
    """A horn of 40 m, unlike itself from any two sides, that turns about z at its left end, with its one bone."""
    bar = box((size, size / 8, size / 8))
    x, y, z = (bar.vertices + torch.tensor([size / 2, 0.0, 0.0])).unbind(1)
    along = x / size
    vertices = torch.stack([x, (1.5 - along) * y, (1.5 - along) * z + 0.3 * along**2 * size], dim=1)
    influences = Influences(torch.zeros(len(vertices), 1, dtype=torch.int64), torch.ones(len(vertices), 1))
    half = torch.deg2rad(torch.linspace(0, degrees, FRAMES).double()) / 2
    zero = torch.zeros_like(half)
    turns = rotation_from_quaternion(torch.stack([half.cos(), zero, zero, half.sin()], dim=1))
    skeleton = Skeleton(("shoulder",), torch.tensor([-1]), torch.eye(4).double()[None])
    motion = Motion(skeleton, rigid_from_parts(turns, torch.zeros(FRAMES, 3).double())[:, None], 0.125)
    primitive = replace(primitive_from_mesh(bar.with_vertices(vertices)), influences=influences)
    write_asset(path, skinned_asset("arm", primitive, {"swing": motion}))


@pytest.fixture
def workspace(a4d) -> Path:
    arm(Path("arm.glb"), 60)
    result = a4d(
        "preprocess", "arm.glb", "--clip", "swing", "--frames", FRAMES, "--views", 2, "--test-views", 0, "--size", 32
    )
    assert result.code == 0, result.err
    return Path("arm.a4d")


def test_what_was_given_is_what_was_recorded(a4d, workspace: Path) -> None:
    for name in ("arm.glb", "exports/arm.glb"):
        path = Path(name) if "/" not in name else workspace / name
        if not path.exists():
            assert a4d("export", workspace, "--formats", "glb").code == 0
        facts = a4d("evaluate", path, "--against", workspace, "--moments", 3, "--json").json
        assert facts["chamfer_share"] < 1e-5
        assert facts["trajectory_share_of_static"] < 1e-3
        assert facts["joint_rotation_error"] < 0.05
        assert facts["joints"] == 1
        assert facts["cd_m"] < 1e-4
        assert len(facts["moments"]) == 3


def test_a_smaller_swing_has_the_error_of_its_lag(a4d, workspace: Path) -> None:
    arm(Path("lazy.glb"), 30)
    facts = a4d("evaluate", "lazy.glb", "--against", workspace, "--moments", FRAMES, "--json").json
    assert facts["joint_rotation_error"] == pytest.approx(15, abs=0.02)
    angles = [math.radians(60) * frame / (FRAMES - 1) for frame in range(FRAMES)]
    lag, still = (sum(2 * math.sin(angle * share / 2) for angle in angles) for share in (0.5, 1.0))
    assert facts["trajectory_share_of_static"] == pytest.approx(lag / still, abs=2e-3)
    assert [scores["chamfer"] for scores in facts["moments"]] == sorted(
        scores["chamfer"] for scores in facts["moments"]
    )


def test_another_size_and_other_axes_are_aligned_on_request(a4d, workspace: Path) -> None:
    arm(Path("small.glb"), 60, size=1.0)
    apart = a4d("evaluate", "small.glb", "--against", workspace, "--moments", 2, "--json").json
    assert apart["f_score"] < 0.2
    aligned = a4d(
        "evaluate", "small.glb", "--against", workspace, "--moments", 2, "--align", "similarity", "--json"
    ).json
    assert aligned["f_score"] > 0.99
    assert aligned["trajectory_share_of_static"] < 0.1
    assert len(aligned["alignment"]) == 4


def test_a_mesh_against_a_mesh_is_a_table(a4d, workspace: Path) -> None:
    arm(Path("lazy.glb"), 30)
    result = a4d("evaluate", "lazy.glb", "--against", "arm.glb", "--moments", 2)
    assert result.code == 0
    assert a4d("evaluate", "lazy.glb", "--against", "lazy.glb", "--moments", 1, "--json").json["chamfer"] < 1e-6
    for word in ("moment", "trajectory_share_of_static", "normal_consistency", "joint_rotation_error"):
        assert word in result.out


def test_judges_look_at_a_scene_over_the_background_that_is_chosen(a4d, workspace: Path, tmp_path: Path) -> None:
    seed = Seed(mesh=paint(box((0.5, 0.8, 0.3))))
    spec = {"kind": "gaussian_motion", "count": 200, "motion": {"kind": "nodes", "nodes": 6, "keys": 2}}
    place = workspace / "scenes" / "block"
    place.mkdir(parents=True)
    GaussianMotionScene.begin(spec, seed, generator(0, "begin")).save(place)
    eyes, lpips = tiny_models.save_clip(tmp_path / "clip"), tmp_path / "lpips"
    lpips.mkdir()
    save_file(tiny_models.alexnet_lpips([4, 6, 8, 5, 7]), lpips / "alexnet.safetensors")
    views = ("evaluate", workspace, "--compare", "views", "--background", "white")
    judges = ("--judges", "clip,lpips", "--weights", f"clip-vit-b-32={eyes}", "--weights", f"lpips-alexnet={lpips}")
    texts = ("--text", "a block", "--text", "a horn")
    facts = a4d(*views, *judges, *texts, "--json").json
    assert (facts["clip_model"], facts["lpips_model"]) == ("clip-vit-b-32", "lpips-alexnet")
    assert facts["lpips"] > facts["lpips_unscaled"] > 0
    assert facts["flicker"] < 0
    assert facts["clip_i"] < facts["clip_f"] == pytest.approx(1, abs=1e-3)
    assert facts["clip_r"] in (0, 1)
    assert (facts["background"], len(facts["views"])) == ("white", 2 * FRAMES)
    assert facts["views"][0]["lpips"] > 0
    table = a4d(*views, *judges)
    assert table.code == 0
    for word in ("foreground_psnr", "lpips_unscaled", "flicker", "clip_i", "clip-vit-b-32", "over white"):
        assert word in table.out
    missing = a4d(*views, "--judges", "clip-vit-bigg-14")
    assert (missing.code, len(missing.err.strip().splitlines())) == (5, 1)
    assert "a4d weights fetch clip-vit-bigg-14" in missing.err


def test_a_turntable_is_judged_by_what_the_workspace_says_that_it_shows(a4d, tmp_path: Path) -> None:
    assert a4d("preprocess", "a red block").code == 0
    workspace = Path("a-red-block.a4d")
    place = workspace / "scenes" / "block"
    place.mkdir(parents=True)
    FixedMeshScene.begin({"kind": "fixed_mesh"}, Seed(mesh=box()), generator(0, "begin")).save(place)
    turn = ("evaluate", workspace, "--compare", "turntable", "--background", "white")
    eyes = ("--weights", f"clip-vit-l-14={tiny_models.save_clip(tmp_path / 'clip')}")
    facts = a4d(*turn, "--judges", "clip-vit-l-14", *eyes, "--json").json
    assert (facts["text"], facts["scene"], facts["clip_model"]) == ("a red block", "block", "clip-vit-l-14")
    assert -100 <= facts["clip_score"] <= 100
    assert "clip_r" not in facts
    texts = ("--text", "a horn", "--text", "a red block")
    other = a4d(*turn, "--judges", "clip-vit-l-14", *eyes, *texts, "--json").json
    assert other["clip_score"] != facts["clip_score"]
    assert 0 <= other["clip_r"] <= 1
    lacking = a4d(*turn, "--judges", "lpips")
    assert (lacking.code, len(lacking.err.strip().splitlines())) == (2, 1)
    assert "--judges clip-vit-b-32" in lacking.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("arm.glb",), 2, "--against"),
        (("arm.glb", "--compare", "turntable"), 2, "no workspace with a scene"),
        (("arm.a4d", "--compare", "turntable", "--split", "test"), 2, "a turntable does not hear --split"),
        (("arm.a4d", "--compare", "turntable", "--align", "rigid"), 2, "a turntable does not hear --align"),
        (("arm.a4d", "--compare", "turntable", "--against", "arm.glb"), 2, "a turntable does not hear --against"),
        (("arm.glb", "--against", "arm.a4d", "--clip", "run"), 4, "no clip 'run'"),
        (("arm.glb", "--against", "arm.a4d", "--compare", "views"), 2, "views are those of"),
        (("arm.glb", "--against", "arm.a4d", "--judges", "clip"), 2, "views are those of"),
        (("arm.a4d", "--compare", "views", "--protocol", "banmo"), 2, "--protocol banmo is about shapes"),
        (("arm.a4d",), 4, "no scene yet"),
        (("arm.glb", "--against", "gone.a4d"), 4, "no workspace"),
        (("gone.glb", "--against", "arm.a4d"), 4, "does not exist"),
        (("arm.glb", "--against", "arm.a4d", "--against-scene", "x"), 4, "no scene 'x'"),
    ],
)
def test_what_cannot_be_compared_is_one_line(a4d, workspace: Path, arguments, code, message) -> None:
    result = a4d("evaluate", *arguments)
    assert (result.code, len(result.err.strip().splitlines())) == (code, 1), result.err
    assert message in result.err


def test_a_folder_of_meshes_is_a_truth_and_banmo_looks_through_the_film_s_cameras(a4d, workspace: Path) -> None:
    assert a4d("export", workspace, "--formats", "obj-sequence").code == 0
    folder = workspace / "exports/arm_obj"
    for pair in (("arm.glb", folder), (folder, "arm.glb")):
        facts = a4d("evaluate", pair[0], "--against", pair[1], "--moments", 3, "--json").json
        assert facts["chamfer_share"] < 1e-4
        assert len(facts["moments"]) == 3
    arm(Path("lazy.glb"), 30)
    scored = [
        a4d("evaluate", name, "--against", workspace, "--moments", 2, "--protocol", "banmo", "--json").json
        for name in ("arm.glb", "lazy.glb")
    ]
    assert scored[0]["banmo_chamfer_percent"] < 1e-2
    assert scored[0]["banmo_f1"] == 100
    # Turned as a whole it is the same arm; its size is 40 m, of which cm are the hundredth part.
    assert scored[1]["banmo_chamfer_percent"] < 1 < scored[1]["trajectory_share_of_static"] * 10
    assert 30 < scored[0]["banmo_chamfer_cm"] / scored[0]["banmo_chamfer_percent"] < 60
    alone = a4d("evaluate", "arm.glb", "--against", "arm.glb", "--protocol", "banmo")
    assert (alone.code, len(alone.err.strip().splitlines())) == (2, 1)
