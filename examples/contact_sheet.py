"""Use a4d as a library: open a workspace, render its newest scene from four sides, and write one picture.

python examples/contact_sheet.py creature.a4d sheet.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from a4d.contents.frames import load_frames
from a4d.io.pictures.images import write_image
from a4d.runtime import prepare_process
from a4d.scenes import load_scene
from a4d.scenes.extraction import extent, turntable_cameras
from a4d.workspace.workspace import Workspace

SIZE = 320


def main(folder: Path, picture: Path) -> None:
    """Lay the first observed image and four views of the scene side by side over white."""
    prepare_process()
    workspace = Workspace.open(folder)
    scene = load_scene(workspace.scene())
    cameras = turntable_cameras(extent(scene), count=8, elevation_degrees=15.0, size=SIZE)
    with torch.no_grad():
        views = [scene.render(cameras[index], background=torch.ones(3)).rgb[0] for index in (0, 1, 3, 5)]
    rgba = load_frames(workspace).rgba[0]
    observed = (rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]).permute(2, 0, 1)[None]
    first = torch.nn.functional.interpolate(observed, (SIZE, SIZE), mode="area")[0].permute(1, 2, 0)
    write_image(picture, torch.cat([first, *views], dim=1).clamp(0, 1).numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "sheet.png"))
