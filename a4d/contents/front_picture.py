"""The picture that a workspace was made from, as fine as its file has it, in the frame of its camera."""

from __future__ import annotations

import numpy as np
import torch

from a4d.contents.frames import load_frames
from a4d.export.texturing import FrontPicture
from a4d.framing import Crop, cut
from a4d.io.pictures.images import read_image
from a4d.pixels import Array, resample
from a4d.workspace.workspace import Workspace

FINEST = 4
"""Times as many pixels along a side as the frame has, at the most: what preprocess has seen of the picture."""


def front_picture(workspace: Workspace) -> FrontPicture | None:
    """The one picture of a workspace with its camera; None where it was made of something else, or has no camera."""
    source = workspace.metadata.source
    if source is None or source.kind != "image" or not (workspace.path / "transforms.json").is_file():
        return None
    frames = load_frames(workspace)
    rgba, camera = frames.rgba[0].numpy(), frames.cameras[0]
    crop = Crop.model_validate(workspace.metadata.notes["crop"])
    size = min(round(crop.side), FINEST * crop.size)
    if size > crop.size and rgba.shape[0] == crop.size:
        rgba = _finer(rgba, crop, read_image(workspace.source_path(), max_size=FINEST * crop.size), size)
    return FrontPicture(torch.from_numpy(rgba), camera.resized(rgba.shape[1], rgba.shape[0]))


def _finer(frame: Array, crop: Crop, picture: Array, size: int) -> Array:
    """(size, size, 4) the frame in the colours of the picture, with the frame's own alpha."""
    whole = np.concatenate([picture[..., :3], np.ones_like(picture[..., :1])], axis=-1)
    finer = cut(whole, crop.model_copy(update={"size": size}))
    finer[..., 3] = np.clip(resample(frame, (size, size))[..., 3], 0, 1)
    return finer
