"""A mesh and a motion in words through the command line: what the prior is shown, what is fitted, what leaves."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from gltf_reference import Reference
from PIL import Image

from a4d.contents.assets import world_from_source
from a4d.io.pictures.images import read_image
from a4d.scenes import load_scene
from a4d.workspace.workspace import Workspace

SETTINGS = Path(__file__).parents[2] / "recipes" / "animate3d" / "compact.yaml"
QUICK = (
    "--accept",
    "--config", SETTINGS, "--iterations", 8, "--set", "scene.count=600", "--set", "scene.motion.nodes=20",
    "--set", "sample.steps=1", "--set", "sample.size=64", "--set", "views.clip={kind: moments, chosen: 1}",
    "--set", "optimiser.rates={shifts: 2.0e-2, turns: 5.0e-2}",
)  # fmt: skip
SECONDS = 4 / 3


def write_odd_mesh(path: Path) -> None:
    """Two parts, textured and coloured by vertex; faces twice, without area, three at an edge; far away and large."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    box = trimesh.creation.box((1.0, 2.0, 1.0))
    box = trimesh.Trimesh(box.vertices, [*box.faces, box.faces[0], [0, 0, 1], [0, 1, 7]], process=False)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture, name="printed")
    box.visual = trimesh.visual.TextureVisuals(uv=box.vertices[:, :2] / 2 + 0.5, material=material)
    ball = trimesh.creation.icosphere(1, 0.5)
    ball.visual.vertex_colors = np.tile([255, 255, 255, 255], (len(ball.vertices), 1))
    scene, place = trimesh.Scene(), np.diag([300.0, 300.0, 300.0, 1.0])
    place[:3, 3] = 9000
    scene.add_geometry(box, "box", transform=place)
    scene.add_geometry(ball, "ball", transform=place @ trimesh.transformations.translation_matrix([0, 1.4, 0]))
    scene.export(path)


@pytest.fixture
def animated(a4d, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("a4d.priors.compact.words._reported", set())
    write_odd_mesh(tmp_path / "odd.glb")
    assert a4d("preprocess", "odd.glb", "--views", 2, "--test-views", 0, "--size", 32).code == 0
    done = a4d("fit-dynamic", "odd.a4d", "--name", "jumping", "--prompt", "a gizmo is jumping", *QUICK)
    assert done.code == 0, done.err
    assert "gizmo" in done.err
    return tmp_path / "odd.a4d"


def test_an_odd_mesh_moves_by_the_words_of_the_compact_prior(a4d, animated: Path, tmp_path: Path) -> None:
    assert_the_prior_sees_what_it_knows(animated / "stages" / "jumping" / "previews" / "sampled")
    export = ("--formats", "glb", "--frame", "source", "--tolerance", 0.002, "--from", "jumping")
    for animation in ("morph", "bones"):
        done = a4d("export", animated, *export, "--name", animation, "--stem", animation, "--animation", animation)
        assert done.code == 0, done.err
    files = [animated / "exports" / f"{name}.glb" for name in ("morph", "bones")]
    for file in files:
        assert_same_surface(tmp_path / "odd.glb", file)
    scene, matrix = load_scene(animated / "scenes" / "jumping"), world_from_source(Workspace.open(animated))
    size = float(torch.linalg.det(matrix[:3, :3]) ** (-1 / 3))
    morphed = Reference(files[0])
    rest = torch.tensor(morphed.vertices(0, 0.0))
    torch.testing.assert_close(torch.tensor(morphed.vertices(0, SECONDS)), rest, rtol=0, atol=1e-5 * size)
    for moment in range(1, 8):
        with torch.no_grad():
            moved = scene.moved_points("vertices", [moment / 8])[0].double()
        expected = (moved - matrix[:3, 3]) @ torch.linalg.inv(matrix[:3, :3]).T
        found = torch.tensor(morphed.vertices(0, SECONDS * moment / 8))
        assert float((found - expected).norm(dim=-1).max()) < 2.5e-3 * size
    assert float((found - rest).norm(dim=-1).max()) > 0.01 * size


def test_another_motion_of_the_same_mesh_costs_the_first_one_nothing(a4d, animated: Path) -> None:
    export = ("--formats", "glb", "--frame", "source")
    assert a4d("export", animated, *export, "--name", "e1", "--from", "jumping", "--stem", "jumping").code == 0
    first = (animated / "exports" / "jumping.glb").read_bytes()
    refused = a4d("fit-dynamic", animated, "--name", "jumping", "--prompt", "a thing is spinning", *QUICK)
    assert refused.code == 3
    assert "spinning" in refused.err
    done = a4d("fit-dynamic", animated, "--name", "spinning", "--prompt", "a thing is spinning", *QUICK)
    assert done.code == 0, done.err
    assert a4d("export", animated, *export, "--name", "e2", "--from", "spinning", "--stem", "spinning").code == 0
    assert (animated / "exports" / "jumping.glb").read_bytes() == first
    assert (animated / "exports" / "spinning.glb").read_bytes() != first
    again = a4d("export", animated, *export, "--name", "e1", "--from", "jumping", "--stem", "jumping")
    assert "up to date" in again.out
    assert a4d("export", animated, *export, "--stem", "../escaped").code == 3


def assert_the_prior_sees_what_it_knows(folder: Path) -> None:
    """At rest the longest side takes the share of the picture that it has in training, and nothing white is lost."""
    sides, covered = [], []
    for view in range(4):
        alpha = read_image(folder / f"view_{view}" / "00000.png")[..., 3] > 0.5
        rows, columns = (np.flatnonzero(alpha.any(axis)) for axis in (1, 0))
        sides.append((rows[-1] + 1 - rows[0]) / len(alpha))
        covered.append(alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean())
    assert 0.48 < max(sides) < 0.62
    assert min(covered) > 0.7
    assert len(list(folder.glob("view_*/*.png"))) == 32


def assert_same_surface(given: Path, result: Path) -> None:
    """Every triangle in its place with its corner's texture coordinates, and the same pixels in the pictures."""
    scenes = [trimesh.load_scene(path, process=False) for path in (given, result)]
    before, after = (sorted(scene.dump(), key=lambda part: len(part.faces)) for scene in scenes)
    faces = [np.concatenate([part.triangles for part in parts]) for parts in (before, after)]
    assert faces[0].shape == faces[1].shape
    np.testing.assert_allclose(faces[1], faces[0], atol=1e-5 * np.ptp(faces[0]))
    (printed,), (kept,) = ([p for p in parts if getattr(p.visual, "uv", None) is not None] for parts in (before, after))
    np.testing.assert_array_equal(kept.visual.uv[kept.faces], printed.visual.uv[printed.faces])
    pictures = [np.asarray(part.visual.material.baseColorTexture.convert("RGB")) for part in (printed, kept)]
    np.testing.assert_array_equal(*pictures)
