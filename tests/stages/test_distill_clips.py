"""4D-SDS through the command line: a multi-view video model judges a moving scene from four sides at once."""

from pathlib import Path

import pytest
import torch
import yaml
from tiny_mv_vdm import mv_vdm, save_mv_vdm

from a4d.geometry.primitives import creature, paint
from a4d.randomness import generator
from a4d.scenes import load_scene
from a4d.scenes.gaussian_motion.scene import GaussianMotionScene
from a4d.scenes.seed import Seed
from a4d.workspace.workspace import Workspace

FRAMES, STEPS = 3, 2

SETTINGS = {
    "views": {
        "ring": {
            "kind": "orbit", "ring": 4, "batch": 4, "frames": FRAMES, "elevation": [0, 30], "fov": [15, 60],
            "radius": [0.8, 1.0], "relative": True, "size": 64, "background": "grey",
        }
    },
    "objectives": [
        {
            "kind": "score-distillation", "views": "ring", "prior": "mv-vdm", "form": "x0", "guidance_scale": 5,
            "guidance": "from-conditional", "x0_rescale": 0.25, "t": [0.02, 0.2],
        }
    ],
    "iterations": STEPS,
    "optimiser": {"rates": {"grids": 1e-2, "heads": 1e-3, "global": 1e-3}},
}  # fmt: skip


@pytest.mark.slow
def test_a_moving_scene_is_asked_about_and_its_first_moment_stays(a4d, tmp_path: Path) -> None:
    folders = save_mv_vdm(tmp_path / "weights", mv_vdm())
    motion = {"kind": "hexplane", "planes": {"features": 4, "resolutions": [[8, 8, 8, FRAMES]]}}
    config = {"kind": "gaussian_motion", "count": 200, "motion": motion}
    still = GaussianMotionScene.begin(config, Seed(mesh=paint(creature())), generator(0, "begin"))
    assert a4d("preprocess", "a fox is running", "--name", "fox", "-q").code == 0
    workspace = next(iter(Path.cwd().glob("*.a4d")))
    (workspace / "scenes" / "still").mkdir(parents=True)
    still.save(workspace / "scenes" / "still")
    Path("clips.yaml").write_text(yaml.safe_dump(SETTINGS))
    weights = ",".join(f"{name}={path}" for name, path in folders.items())
    arguments = ("distill", workspace, "--config", "clips.yaml", "--from", "still", "--prompt", "a fox", "--json")
    result = a4d(*arguments, "--weights", weights)
    assert result.code == 0, result.err
    scene = load_scene(Workspace.open(workspace).scene("distill"))
    first, last = (scene.mesh(time).vertices.detach() for time in (0.0, 1.0))
    torch.testing.assert_close(first, still.mesh(0.0).vertices.detach())
    assert float((last - first).abs().max()) > 0
    missing = a4d(*arguments, "--name", "other", "--weights", f"mv-vdm={folders['mv-vdm']}")
    assert missing.code == 5
    assert "a4d weights fetch mvdream-1.5" in missing.err
    assert len(missing.err.strip().splitlines()) == 1
