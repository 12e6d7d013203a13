import itertools
from pathlib import Path

import pytest
import torch
from gltf_files import gltf_files
from gltf_reference import Reference

from a4d.errors import InvalidInputError
from a4d.geometry.assets.posing import deform, pose
from a4d.io.assets.gltf.reader import read_gltf


def largest_deviation(path: Path, clips: int, fractions: tuple[float, ...]) -> tuple[float, float]:
    """Between our vertices and the reference's over rest and clips; and the largest coordinate."""
    asset, reference = read_gltf(path), Reference(path)
    moments = [(None, 0.0)]
    moments += [
        (n, f * asset.clips[n].duration) for n, f in itertools.product(range(min(clips, len(asset.clips))), fractions)
    ]
    worst = size = 0.0
    for clip, time in moments:
        expected = torch.tensor(reference.vertices(clip, time), dtype=torch.float64)
        posed = deform(asset, None if clip is None else asset.clips[clip], time)
        worst = max(worst, float((posed.vertices - expected).abs().max()))
        size = max(size, float(expected.abs().max()))
    return worst, size


def test_khronos_assets_match_the_reference_at_any_time(real_data: Path) -> None:
    files = gltf_files(real_data / "gltf_khronos")
    assert len(files) >= 16
    for path in files:
        worst, _ = largest_deviation(path, 3, (0.0, 0.213, 0.77, 1.2))
        assert worst < 1e-5, path


@pytest.mark.slow
def test_other_rigs_match_the_reference(real_data: Path) -> None:
    for folder in ("gltf_blenderio_roundtrip", "rigged_quaternius", "rigged_kaykit", "rigged_momentum"):
        for path in gltf_files(real_data / folder):
            if read_gltf(path).instances:
                worst, size = largest_deviation(path, 20, (0.37, 0.8))
                assert worst < 1e-5 * max(1, size / 100), path


def test_all_assets_of_others_load_and_pose(real_data: Path) -> None:
    folders = (
        "gltf_blenderio_roundtrip",
        "rigged_quaternius",
        "rigged_kaykit",
        "rigged_momentum",
        "meshes_trimesh_models",
    )
    for path in itertools.chain.from_iterable(gltf_files(real_data / folder) for folder in folders):
        asset = read_gltf(path)
        for clip in (None, *asset.clips[:2]):
            assert pose(asset, clip, 0.5).world_from_node.isfinite().all(), path
            if any(asset.meshes[instance.mesh].primitives for instance in asset.instances):
                posed = deform(asset, clip, 0.5)
                assert posed.vertices.isfinite().all(), path
                assert int(posed.faces.max()) < len(posed.vertices), path
                lengths = posed.normals[posed.faces.unique()].norm(dim=1)
                assert ((lengths - 1).abs() < 1e-4).float().mean() > 0.95, path


def test_fbx_of_others_is_refused(real_data: Path) -> None:
    with pytest.raises(InvalidInputError, match="Blender"):
        read_gltf(real_data / "rigged_momentum" / "animations" / "simple_anim.fbx")
