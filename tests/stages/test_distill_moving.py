"""A hidden object that moves is found by asking exact priors of clips, from one side or from four at once."""

from pathlib import Path

import distilled_animal
import pytest
import torch
import yaml
from blender_capture import write_blender_capture
from distilled_animal import rings

from a4d.contents.frames import load_frames
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature, paint
from a4d.scenes import load_scene
from a4d.workspace.workspace import Workspace

MOMENTS = 5


def swinging() -> list[Mesh]:
    """An animal whose head and tail turn to opposite sides, at moments of half a swing."""
    still = paint(creature())
    x, y, z = still.vertices.unbind(-1)
    bent = []
    for moment in torch.linspace(-1, 1, MOMENTS):
        angle = 1.6 * moment * z
        bent.append(still.with_vertices(torch.stack([x + z * angle.sin(), y, z * angle.cos()], dim=-1)))
    return bent


FIELD = {
    "kind": "field",
    "encoding": {"levels": 6, "table": 16384, "base_resolution": 8, "finest_resolution": 48},
    "time": {"kind": "grid-4d", "table": 32768, "base_resolution": 4, "finest_resolution": 32},
    "density": {"bias": -1.0, "blob": 3.0, "blob_radius": 0.4},
    "sampling": {"steps": 64},
    "occupancy": {"resolution": 24, "threshold": 1.0, "bins": MOMENTS, "every": 4},
}
FIELD_RATES = {"encoding": (2e-2, 2e-3), "time": (2e-2, 2e-3), "network": (5e-3, 5e-4)}


def settings(views: int, steps: int, rates: dict[str, tuple[float, float]]) -> dict:
    """Distillation against exact priors of clips seen from as many sides at once, over black and white."""
    clip = views * MOMENTS
    values = distilled_animal.settings(steps, 0, clip, clip)
    for prior in values["priors"].values():
        prior |= {"views": views, "frames": MOMENTS}
    falling = {
        name: {"from": first, "to": last, "steps": steps, "curve": "exponential"}
        for name, (first, last) in rates.items()
    }
    return values | {"scene": FIELD, "optimiser": {"rates": falling}}


def errors_by_moment(workspace: Workspace) -> torch.Tensor:
    """(M, M) mean squares between renders at all moments (rows) and what a held-out camera saw at all moments."""
    frames, scene = load_frames(workspace), load_scene(workspace.scene("distill"))
    test = frames.select("test")[:MOMENTS]
    with torch.no_grad():
        rendered = [scene.render(frames.cameras[i], frames.times[i : i + 1]).rgb[0] for i in test]
    seen = [frames.rgba[i][..., :3] * frames.rgba[i][..., 3:] for i in test]
    return torch.stack([torch.stack([(mine - true).square().mean() for true in seen]) for mine in rendered])


@pytest.mark.parametrize(
    ("views", "steps"),
    [pytest.param(1, 150, id="clips"), pytest.param(4, 150, id="clips from four sides", marks=pytest.mark.slow)],
)
def test_a_hidden_object_and_its_motion_are_found(a4d, views: int, steps: int) -> None:
    capture = Path("swing.a4d")
    cameras = {"train": rings(32, (10.0,), (0.0, 45.0)), "test": rings(32, (20.0,), (20.0,))[:2]}
    write_blender_capture(Path("swing"), swinging(), cameras)
    assert a4d("preprocess", "swing", "-q").code == 0
    Path("moving.yaml").write_text(yaml.safe_dump(settings(views, steps, FIELD_RATES)))
    result = a4d("distill", capture, "--config", "moving.yaml", "--json")
    assert result.code == 0, result.err
    figures = a4d("evaluate", capture, "--json").json
    assert figures["psnr"] > 22
    assert figures["iou"] > 0.85
    # What it is like at a moment resembles that moment more than any other.
    assert errors_by_moment(Workspace.open(capture)).argmin(1).tolist() == list(range(MOMENTS))
