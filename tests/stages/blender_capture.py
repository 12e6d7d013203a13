"""Generated objects as data sets of the kind that Blender NeRF renders."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from a4d.geometry.cameras import Y_UP_FROM_Z_UP, Cameras, opencv_from_opengl
from a4d.geometry.mesh import Mesh
from a4d.io.pictures.images import write_image
from a4d.render.mesh import render_mesh


def write_blender_capture(
    folder: Path, subject: Mesh | Sequence[Mesh], cameras: dict[str, Cameras], fov_degrees: float = 40.0
) -> Path:
    """Pictures of a mesh with alpha, by split, from square cameras that share a field of view.

    A subject that moves is a mesh per moment, and every camera sees all of them.
    """
    moments = [subject] if isinstance(subject, Mesh) else list(subject)
    for split, batch in cameras.items():
        frames = []
        for index in range(len(batch) * len(moments)):
            camera, moment = divmod(index, len(moments))
            render = render_mesh(moments[moment], batch[camera])
            rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1)[0]
            write_image(folder / split / f"r_{index}.png", rgba.clamp(0, 1).numpy())
            pose = Y_UP_FROM_Z_UP.T @ opencv_from_opengl(batch.world_from_camera[camera])
            time = {} if isinstance(subject, Mesh) else {"time": moment / (len(moments) - 1)}
            frames.append({"file_path": f"./{split}/r_{index}", "transform_matrix": pose.tolist(), **time})
        document = {"camera_angle_x": math.radians(fov_degrees), "frames": frames}
        (folder / f"transforms_{split}.json").write_text(json.dumps(document))
    return folder


def preprocess_capture(capture: Path) -> Path:
    """The workspace of a capture, beside it."""
    from a4d.__main__ import main

    here = Path.cwd()
    os.chdir(capture.parent)
    try:
        assert main(["preprocess", str(capture), "-q"]) == 0
    finally:
        os.chdir(here)
    return capture.with_suffix(".a4d")
