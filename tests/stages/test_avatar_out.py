"""An avatar leaves a workspace in every form, moves as something else does, and is judged, by the command line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from glb_rules import checked_glb
from rigged_body import skeleton, waving, write_bvh
from small_avatar import colours, figure, filmed, tracked, write_workspace

from a4d.geometry.assets.posing import deform
from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.geometry.cameras import concatenate
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.signed_distance import nearest_faces
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.array_files import read_arrays
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.films.video import read_video
from a4d.io.gaussian_reader import read_gaussians
from a4d.randomness import generator
from a4d.scenes.avatar.scene import AvatarScene
from a4d.scenes.seed import Seed

MOMENTS, SIZE, DEPTH, PIXEL = 5, 96, 0.012, 0.01


def turned(shown: TrackedBody, radians: float, *joints: str) -> TrackedBody:
    """The same with joints turned further about the direction of the view, at all moments."""
    rotations = shown.animated.rotations.clone()
    places = [shown.animated.body.names.index(joint) for joint in joints]
    rotations[:, places] = rotation_from_axis_angle(torch.tensor([0.0, 0.0, radians])) @ rotations[:, places]
    return replace(shown, animated=replace(shown.animated, rotations=rotations))


def painted(path: Path, body: TrackedBody, shown: TrackedBody | None = None) -> Path:
    """A workspace with an avatar in the figure's own colours, a little below its surface, and a film of the avatar.

    Args:
        path: of the workspace.
        body: the figure as it was tracked.
        shown: as it stands in the film; None is as it was tracked.
    """
    scene = AvatarScene.begin({"kind": "avatar", "texels": 96}, Seed(body=body), generator(0, "avatar"))
    with torch.no_grad():
        texels, corners = scene.points.texels, colours(scene.body)[scene.body.faces]
        scene.appearance.colours.copy_((corners[texels.faces] * texels.barycentric[..., None]).sum(1))
        scene.appearance.offsets.copy_(-DEPTH * scene.points.normals)
        scene.see_pixels(PIXEL)
        frames = filmed(body, SIZE)
        renders = scene.in_poses_of(shown or body).render(concatenate(frames.cameras), frames.times)
    straight = (renders.rgb / renders.alpha.clamp_min(1e-3)).clamp(0, 1)
    write_workspace(path, replace(frames, rgba=list(torch.cat([straight, renders.alpha], dim=-1))), body)
    (path / "scenes/fit-dynamic").mkdir(parents=True)
    scene.save(path / "scenes/fit-dynamic")
    return path


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    return painted(tmp_path / "person.a4d", tracked(MOMENTS))


def test_an_avatar_leaves_in_every_form_moved_by_motion_capture(a4d, avatar: Path, tmp_path: Path) -> None:
    motion = write_bvh(tmp_path / "wave.bvh", waving(skeleton(scale=100.0), (500.0, 0.0, 300.0), 100.0))
    formats = "glb,obj,obj-sequence,ply,ply-sequence,splat,canonical,mp4,png"
    options = ("--formats", formats, "--films", "sweep", "--size", 48, "--texture", 128, "--motion", motion)
    result = a4d("export", avatar, *options, "--up", "y", "--moments", 5, "--json")
    assert result.code == 0, result.err
    exports, metrics = avatar / "exports", result.json["metrics"]
    assert {path.name for path in exports.iterdir()} == {
        "person.glb", "person.mtl", "person.obj", "person_surface_base_colour.png", "person.ply", "person.splat",
        "person_obj", "person_ply", "person_canonical.ply", "person_canonical.npz", "person_sweep.mp4",
        "person_sweep_frames",
    }  # fmt: skip
    checked_glb((exports / "person.glb").read_bytes())
    assert trimesh.load_scene(exports / "person.glb").dump()[0].visual.material.baseColorTexture.size == (128, 128)
    asset = read_gltf(exports / "person.glb")
    joints = asset.skeleton(0)
    assert joints.names == figure().names
    for moment in (0, 2, 4):
        posed = deform(asset, asset.clips[0], moment / 30)
        gaussians = read_gaussians(exports / f"person_ply/frame_{moment:05d}.ply")
        centres, seen = gaussians.means, 2 * (gaussians.scales[:, 0] ** 2 + 0.3 * PIXEL**2).sqrt()
        distances = nearest_faces(centres, Mesh(posed.vertices, posed.faces))[0]
        # The mesh is where Gaussians are seen, two deviations of their splats above their centres.
        assert float(distances.median()) == pytest.approx(float(seen.median()), abs=5e-3)
    # The figure walks ahead with its feet on the ground, and waves.
    assert float(posed.vertices[:, 1].min()) == pytest.approx(0.0, abs=0.02)
    assert metrics["glb_psnr"] > 25
    assert len(list(read_video(exports / "person_sweep.mp4").frames)) == 5
    assert a4d("validate", avatar).code == 0
    assert a4d("export", avatar, *options, "--up", "y", "--moments", 5, "--json").json["status"] == "up to date"


def test_the_canonical_files_alone_pose_the_gaussians(a4d, avatar: Path) -> None:
    result = a4d("export", avatar, "--formats", "canonical,ply-sequence", "--moments", 3, "--scale", 2, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["canonical_deviation"] < 1e-5
    exports = avatar / "exports"
    rest = read_gaussians(exports / "person_canonical.ply", "y").means
    names = ("joint_names", "joint_parents", "joints", "influences", "weights", "posed_from_rest", "seconds_per_frame")
    skin = read_arrays(exports / "person_canonical.npz", names, "skin")
    assert skin["posed_from_rest"].shape == (3, 9, 4, 4)
    assert float(skin["seconds_per_frame"]) == pytest.approx(0.5)
    weights, influences, moved = (torch.from_numpy(skin[name]) for name in ("weights", "influences", "posed_from_rest"))
    for moment in range(3):
        there = read_gaussians(exports / f"person_ply/frame_{moment:05d}.ply", "y").means
        torch.testing.assert_close(
            linear_blend_skinning(rest, weights, moved[moment], influences), there, atol=1e-4, rtol=0
        )
    assert (
        float((there - rest).norm(dim=1).max())
        < 1e-3
        < float((read_gaussians(exports / "person_ply/frame_00001.ply", "y").means - rest).norm(dim=1).max())
    )


def test_a_motion_travels_or_stays(a4d, avatar: Path, tmp_path: Path) -> None:
    motion = write_bvh(tmp_path / "walk.bvh", waving(skeleton()))
    ahead = {}
    for root in ("travel", "stay"):
        named = ("--name", root, "--stem", root, "--motion-root", root)
        result = a4d("export", avatar, "--formats", "glb", "--texture", 32, "--motion", motion, *named)
        assert result.code == 0, result.err
        asset = read_gltf(avatar / f"exports/{root}.glb")
        places = [deform(asset, asset.clips[0], time).vertices.mean(0) for time in (0.0, 4 / 30)]
        ahead[root] = (places[1] - places[0]).tolist()
    assert ahead["travel"][2] > 0.2
    assert abs(ahead["stay"][2]) < 0.05


def test_another_workspace_moves_an_avatar_as_it_stands_there(a4d, avatar: Path, tmp_path: Path) -> None:
    other = painted(tmp_path / "other.a4d", turned(tracked(MOMENTS), 0.5, "Spine"))
    named = ("--formats", "ply-sequence", "--moments", MOMENTS, "--up", "y")
    assert a4d("export", avatar, *named, "--motion", other).code == 0
    assert a4d("export", other, *named).code == 0
    for moment in (0, 2):
        here, there = (
            read_gaussians(path / f"exports/{path.stem}_ply/frame_{moment:05d}.ply").means for path in (avatar, other)
        )
        # It stands on the ground, whatever the height of the hips there.
        torch.testing.assert_close(here - here.mean(0), there - there.mean(0), atol=1e-4, rtol=0)


def test_novel_poses_are_judged_against_another_film(a4d, avatar: Path, tmp_path: Path) -> None:
    other = painted(tmp_path / "other.a4d", turned(tracked(MOMENTS), 0.7, "LeftArm"))
    compared = ("evaluate", avatar, "--against", other, "--split", "all", "--background", "white", "--json")
    novel, own = a4d(*compared).json, a4d(*compared, "--poses", "own").json
    assert (novel["poses"], own["poses"]) == ("against", "own")
    assert novel["foreground_psnr"] > 30 > own["foreground_psnr"] + 10
    assert "poses" in a4d("evaluate", avatar, "--split", "all").out
    table = write_workspace(tmp_path / "rig.a4d", filmed(tracked(2), SIZE), renamed(tracked(2)))
    refused = a4d("evaluate", avatar, "--against", table)
    assert (refused.code, len(refused.err.strip().splitlines())) == (3, 1)
    assert "a body with other joints" in refused.err


def renamed(body: TrackedBody) -> TrackedBody:
    names = tuple(f"joint {index}" for index in range(len(body.animated.body.names)))
    return replace(body, animated=replace(body.animated, body=replace(body.animated.body, names=names)))


def test_poses_are_fitted_to_the_compared_frames_only_when_asked_for(a4d, tmp_path: Path) -> None:
    truth = tracked(4)
    wrong = turned(truth, 0.15, "LeftArm", "RightArm")
    avatar = painted(tmp_path / "person.a4d", wrong, truth)
    before = (avatar / "scenes/fit-dynamic/tensors.safetensors").read_bytes()
    plain = a4d("evaluate", avatar, "--json").json
    refined = a4d("evaluate", avatar, "--refine-poses", 40, "--json").json
    assert "refine_poses" not in plain
    assert refined["refine_poses"] == 40
    assert refined["foreground_psnr"] > plain["foreground_psnr"] + 5
    assert "fitted to these very frames" in a4d("evaluate", avatar, "--refine-poses", 1).out
    assert (avatar / "scenes/fit-dynamic/tensors.safetensors").read_bytes() == before


def test_what_moves_nothing_is_one_line(a4d, avatar: Path, tmp_path: Path) -> None:
    wave = write_bvh(tmp_path / "wave.bvh", waving(skeleton()))
    (tmp_path / "cut.bvh").write_text(wave.read_text()[:-200])
    stranger = skeleton(names={name: f"bone{index}" for index, name in enumerate(figure().names)})
    np.savez(tmp_path / "depth.npz", depth=np.zeros((3, 3)))
    cases = [
        (("glb", "--motion", tmp_path / "cut.bvh"), 3, "cut.bvh holds"),
        (("glb", "--motion", write_bvh(tmp_path / "odd.bvh", waving(stranger))), 3, "match those of the body"),
        (("glb", "--motion", tmp_path / "depth.npz"), 3, "depth.npz"),
        (("glb", "--motion", tmp_path / "none.npz"), 4, "none.npz does not exist"),
        (("glb", "--joints", wave), 3, "joints: there is no motion"),
    ]
    for options, code, message in cases:
        result = a4d("export", avatar, "--formats", *options)
        assert (result.code, len(result.err.strip().splitlines())) == (code, 1), (options, result.err)
        assert message in result.err
