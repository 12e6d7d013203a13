"""Hundreds of damaged versions of a file of every kind that is read: taken, or refused in words for people."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import tracker_files
import trimesh
from a4d.stages.fit_static import FitStatic
from fuzzing import fuzz
from gltf_files import two_bones
from PIL import Image
from safetensors.torch import save_file
from scipy.sparse import csc_matrix
from synthetic_smpl import model
from test_bvh import ARM
from test_captures import orbit_capture
from test_gaussian_files import random_gaussians
from tracker_files import Filmed

from a4d.config import load_yaml, parse
from a4d.geometry.primitives import icosphere
from a4d.io.assets.asset_files import asset_files
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.obj import write_obj
from a4d.io.assets.ply import read_point_cloud
from a4d.io.bodies.smpl import read_smpl
from a4d.io.captures.capture_reader import read_capture
from a4d.io.captures.colmap import write_colmap
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.films.video import read_video, write_video
from a4d.io.foreign_keypoints import read_foreign_keypoints
from a4d.io.gaussian_ply import write_gaussian_ply
from a4d.io.gaussian_reader import read_gaussians
from a4d.io.ground_truth import GroundTruth, read_ground_truth, write_ground_truth
from a4d.io.keypoints import COCO, Landmarks, gathered, read_keypoints, write_keypoints
from a4d.io.pictures.hdr import read_hdr
from a4d.io.pictures.images import read_depth, read_image
from a4d.io.splat import write_splat
from a4d.io.tensor_files import read_tensors
from a4d.io.trackers.track_reader import read_tracks
from a4d.io.weight_files import read_weights

NOISE = np.random.default_rng(0).integers(0, 255, (12, 10, 4), dtype=np.uint8)
BALL = icosphere(1.0, 1)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        write: makes a sound one at a path.
        read: reads it by the door that the commands use.
        names: one of which a refusal holds, where that is not the file's own name.
    """

    write: Callable[[Path], object]
    read: Callable[[Path], object]
    names: tuple[str, ...] = ()


def picture(mode: str = "RGBA", **options: object) -> Kind:
    return Kind(lambda path: Image.fromarray(NOISE).convert(mode).save(path, **options), read_image)


def deep_picture(path: Path) -> None:
    import cv2

    cv2.imwrite(str(path), NOISE[..., :3].astype(np.uint16) * 257)


def radiance(path: Path) -> None:
    import cv2

    cv2.imwrite(str(path), NOISE[..., :3].astype(np.float32) / 100)


def film(path: Path) -> None:
    write_video(path, [np.roll(NOISE, shift, axis=0)[..., :3] / np.float32(255) for shift in range(6)], 12.0)


def mesh(path: Path) -> None:
    content = trimesh.Trimesh(BALL.vertices.numpy(), BALL.faces.numpy()).export(
        file_type=path.suffix[1:], **({"encoding": "ascii"} if path.stem == "ascii" else {})
    )
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def textured(path: Path) -> None:
    """An OBJ file with a material and a picture."""
    write_obj(path, BALL)
    lines = [f"vt {u:.2f} {1 - u:.2f}" for u in np.linspace(0, 1, len(BALL.vertices))]
    path.write_text("mtllib m.mtl\nusemtl one\n" + path.read_text() + "\n".join(lines) + "\nf 1/1 2/2 3/3\n")
    (path.parent / "m.mtl").write_text("newmtl one\nKd 0.8 0.2 0.1\nd 0.9\nmap_Kd -s 1 1 1 p.png\n")
    Image.fromarray(NOISE).save(path.parent / "p.png")


def material(path: Path) -> None:
    textured(path.with_name("m.obj"))


def rigged(path: Path) -> None:
    two_bones().write(path)


def all_of_asset(path: Path) -> None:
    asset_files(path)
    read_asset(path)


def capture(kind: str) -> Callable[[Path], None]:
    """A capture of which the file at the path is a part."""

    def write(path: Path) -> None:
        root = path.parents[2] if path.parent.name == "0" else path.parent
        views = orbit_capture(root, count=2)
        if kind == "json":
            write_transforms(root / "transforms.json", views)
        else:
            write_colmap(root / "sparse" / "0", views, root / "images", is_binary=kind == "bin")

    return write


def captured(path: Path) -> None:
    read_capture(path.parents[2] if path.parent.name == "0" else path.parent)


def truth(path: Path) -> None:
    joints = np.tile(np.eye(4, dtype=np.float32), (2, 3, 1, 1))
    vertices = np.zeros((2, 4, 3), np.float32)
    names = np.array(["a", "b", "c"])
    faces = np.array([[0, 1, 2], [1, 2, 3]])
    write_ground_truth(path, GroundTruth(np.arange(2.0), vertices, faces, names, np.array([-1, 0, 1]), joints))


def keypoints(path: Path) -> None:
    one = Landmarks(np.ones((17, 2), np.float32), np.ones(17, np.float32), None)
    write_keypoints(path, gathered(COCO, [one, None, one]))


def people(name: str) -> Callable[[Path], None]:
    """What other programs tell of one person in two pictures, of whom the second shows nobody."""
    landmark = {"x": 0.25, "y": 0.5, "z": -0.1, "visibility": 0.9}
    annotation = {"image_id": 1, "category_id": 1, "keypoints": [10.5, 20.5, 0.5] * 17}
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 64, "height": 48} for number in (1, 2)]
    content = {
        "coco": {"images": images, "annotations": [annotation]},
        "openpose": {"version": 1.3, "people": [{"pose_keypoints_2d": [10.5, 20.5, 0.5] * 25}]},
        "blazepose": [{"poseLandmarks": [landmark] * 33, "poseWorldLandmarks": [landmark] * 33}, {}],
    }[name]
    return lambda path: path.write_text(json.dumps(content))


def body_model(path: Path) -> None:
    arrays = model(betas=2, parents=(-1, 0, 1))
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        path.write_bytes(pickle.dumps({**arrays, "J_regressor": csc_matrix(arrays["J_regressor"])}, 2))


def tensors(path: Path) -> None:
    save_file({"a": torch.zeros(3, 4), "b.c": torch.ones(5, dtype=torch.int64)}, path, metadata={"facts": "{}"})


def checkpoint(path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(3, 4), "b": torch.ones(2)}}, path)


def tracked(path: Path) -> object:
    return read_tracks(path, (96, 64))


def tram_track(path: Path) -> None:
    """A track in `hps/`, and its camera above."""
    shutil.rmtree(path.parents[1] / "tram", ignore_errors=True)
    tracker_files.tram(path.parents[1] / "tram", Filmed())
    (path.parents[1] / "tram/camera.npy").rename(path.parents[1] / "camera.npy")
    (path.parents[1] / "tram/hps/hps_track_0.npy").rename(path)


def pose_archive(path: Path) -> None:
    """Poses beside the camera that they are in the frame of."""
    tracker_files.instant_avatar(path.parent / "sequence", Filmed(is_moving=False))
    for name in ("poses.npz", "cameras.npz"):
        (path.parent / "sequence" / name).rename(path.parent / name)


def settings(path: Path) -> None:
    path.write_text(
        "profile: fit-static-image\nviews:\n  novel: {kind: orbit, size: 64, batch: 2, radius: [2, 3]}\n"
        "objectives:\n  - {kind: photometric, views: novel, weight: {from: 1, to: 0.5, steps: 10}}\n"
        "seed: {kind: ball}\nscene: {kind: gaussians, count: 300}\noptimiser: {rates: {means: 1.0e-3}}\niterations: 3\n"
    )


def configured(path: Path) -> None:
    from a4d.errors import ConfigError
    from a4d.fitting.settings import complete_fitting

    try:
        complete_fitting(parse(FitStatic, load_yaml(path)))
    except ConfigError as error:  # a value is told by its key
        raise ConfigError(f"{path.name} {error.problem}", error.remedy) from None


KINDS = {
    "a.png": picture(),
    "palette.png": picture("P"),
    "grey.png": picture("L"),
    "deep.png": Kind(deep_picture, read_image),
    "a.jpg": picture("RGB"),
    "a.webp": picture(),
    "a.gif": picture("RGB"),
    "a.bmp": picture("RGB"),
    "a.ppm": picture("RGB"),
    "a.tif": picture("RGB"),
    "lzw.tif": picture("RGB", compression="tiff_lzw"),
    "deep.tif": Kind(deep_picture, read_image),
    "depth.png": Kind(lambda path: Image.fromarray(NOISE[..., 0].astype(np.uint16) * 99).save(path), read_depth),
    "sky.hdr": Kind(radiance, read_hdr),
    "a.mp4": Kind(film, lambda path: list(read_video(path).frames)),
    "film.gif": Kind(film, lambda path: list(read_video(path).frames)),
    "film.webp": Kind(film, lambda path: list(read_video(path).frames)),
    "m.obj": Kind(textured, all_of_asset, ("m.obj", "m.mtl", "p.png")),
    "m.mtl": Kind(material, lambda path: all_of_asset(path.with_name("m.obj")), ("m.obj", "m.mtl", "p.png")),
    "ascii.ply": Kind(mesh, all_of_asset),
    "m.ply": Kind(mesh, all_of_asset),
    "m.stl": Kind(mesh, all_of_asset),
    "ascii.stl": Kind(lambda path: path.write_text(trimesh.creation.box().export(file_type="stl_ascii")), all_of_asset),
    "m.off": Kind(mesh, all_of_asset),
    "m.glb": Kind(rigged, all_of_asset),
    "m.gltf": Kind(rigged, all_of_asset),
    "m.bvh": Kind(lambda path: path.write_text(ARM), all_of_asset),
    "cloud.ply": Kind(lambda path: trimesh.PointCloud(BALL.vertices.numpy()).export(path), read_point_cloud),
    "g.ply": Kind(lambda path: write_gaussian_ply(path, random_gaussians(3, degree=1)), read_gaussians),
    "g.splat": Kind(lambda path: write_splat(path, random_gaussians(3, degree=1)), read_gaussians),
    "transforms.json": Kind(capture("json"), captured, ("transforms.json", "images", ".ply")),
    "points.ply": Kind(capture("json"), captured, ("points.ply",)),
    **{
        f"sparse/0/{name}.{form}": Kind(capture(form), captured, (f"{name}.{form}", "sparse", "images", "longer than"))
        for form in ("bin", "txt")
        for name in ("cameras", "images", "points3D")
    },
    "truth.npz": Kind(truth, read_ground_truth),
    "keypoints.npz": Kind(keypoints, read_keypoints),
    **{f"{name}.json": Kind(people(name), read_foreign_keypoints) for name in ("coco", "openpose", "blazepose")},
    "body.pkl": Kind(body_model, read_smpl),
    "body.npz": Kind(body_model, read_smpl),
    "w.safetensors": Kind(tensors, read_tensors),
    "v.safetensors": Kind(tensors, read_weights),
    "w.pt": Kind(checkpoint, read_weights),
    "walk.npz": Kind(lambda path: tracker_files.amass(path, Filmed(), 24), tracked),
    "poses.npz": Kind(pose_archive, tracked),
    "wham.pkl": Kind(lambda path: tracker_files.wham(path, Filmed()), tracked),
    "phalp.pkl": Kind(lambda path: tracker_files.phalp(path, Filmed()), tracked),
    "gvhmr.pt": Kind(lambda path: tracker_files.gvhmr(path, Filmed()), tracked),
    "hps/hps_track_0.npy": Kind(tram_track, tracked, ("hps_track_0.npy", "camera.npy")),
    "settings.yaml": Kind(settings, configured),
}

FILMS = {"a.mp4", "film.gif", "film.webp"}
"""Of which each version starts a program, or decodes many pictures."""

TOLERATED = {"m.mtl"}
"""Of which whatever cannot be read is left out."""


def check(path: Path, read: Callable[[], object], count: int, names: tuple[str, ...] = ()) -> None:
    findings = fuzz(path, read, count, names)
    assert findings.wrong == [], "\n".join([f"{len(findings.wrong)} of {count}", *findings.wrong])
    if count > 50 and path.name not in TOLERATED:
        assert findings.messages, "no version was refused"


@pytest.mark.parametrize("count", [5, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_taken_or_refused_in_words(tmp_path: Path, name: str, count: int) -> None:
    kind, path = KINDS[name], tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    kind.write(path)
    kind.read(path)
    check(path, lambda: kind.read(path), 2 if count == 5 and name in FILMS else count, kind.names)


class Refused(Exception):  # noqa: N818  (it is the expected end)
    """A command that ended with a user's error."""


def command(a4d: Callable[..., object], *arguments: object) -> Callable[[], None]:
    """Run a command line, whose refusal is an error like a reader's."""
    from a4d.errors import InvalidInputError

    def run() -> None:
        for made in Path().glob("*.a4d"):
            if made.name != arguments[1]:
                shutil.rmtree(made)
        result = a4d(*arguments)
        if result.code == 0:
            return
        if result.code not in (2, 3, 4, 5, 6):
            raise Refused(f"exit {result.code}: {result.err[-400:]}")
        raise InvalidInputError(result.err.strip().splitlines()[-1].removeprefix("a4d: "))

    return run


INPUTS = ("a.png", "a.jpg", "m.obj", "m.ply", "m.glb", "m.gltf", "m.bvh", "film.gif")


@pytest.mark.parametrize("count", [2, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", INPUTS)
def test_a_damaged_input_of_the_command_line_is_told_by_its_name(a4d, name: str, count: int) -> None:
    KINDS[name].write(Path(name))
    views = ("--views", 1, "--test-views", 0) if name[0] == "m" else ()
    check(Path(name), command(a4d, "preprocess", name, "--size", 16, *views, "-q"), count, KINDS[name].names)


@pytest.fixture(scope="module")
def finished(a4d_in, creature_picture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a picture, cameras and a scene."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(creature_picture, folder / "creature.png")
    result = a4d_in(folder, "fit-static", "creature.png", "--iterations", 1, "--set", "scene.count=50", "-q")
    assert result.code == 0, result.err
    return folder / "creature.a4d"


@pytest.fixture
def workspace(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(finished, tmp_path / "creature.a4d")
    return Path("creature.a4d")


PARTS = {
    "workspace.yaml": ("info",),
    "transforms.json": ("validate",),
    "stages/fit-static/record.json": ("info",),
    "stages/preprocess/record.json": ("validate",),
    "scenes/fit-static/scene.yaml": ("export", "--formats", "ply", "--force"),
    "scenes/fit-static/tensors.safetensors": ("export", "--formats", "ply", "--force"),
    "images/00000.png": ("validate",),
}


@pytest.mark.parametrize("count", [3, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_part_of_a_workspace_is_told_by_its_name(a4d, workspace: Path, part: str, count: int) -> None:
    name, *options = PARTS[part]
    check(workspace / part, command(a4d, name, "creature.a4d", *options), count, (Path(part).name, part, "creature"))


@pytest.mark.parametrize("count", [3, pytest.param(300, marks=pytest.mark.slow)])
def test_a_damaged_journal_is_told_by_its_name(a4d, workspace: Path, count: int) -> None:
    partial = workspace / "stages/fit-static.partial"
    kept = Path("kept.partial")
    shutil.copytree(workspace / "stages/fit-static", kept)
    (kept / "journal.json").write_text('{"moves": [["stages/fit-static.partial/outputs/a", "a"]], "removals": ["b"]}')

    def read() -> None:
        if partial.exists():
            shutil.rmtree(partial)
        shutil.copytree(kept, partial)
        command(a4d, "info", "creature.a4d")()

    findings = fuzz(kept / "journal.json", read, count)
    # What a journal moves stands in the run's partial folder, which its refusal names.
    assert [wrong for wrong in findings.wrong if "'.partial/outputs'" not in wrong.lower()] == []
