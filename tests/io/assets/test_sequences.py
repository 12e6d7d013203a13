import pytest
import torch

from a4d.errors import InvalidInputError, UsageError
from a4d.geometry.gaussians import Gaussians
from a4d.io.assets.sequences import sequence_files, write_gaussian_sequence
from a4d.io.gaussian_ply import read_gaussian_ply


def cloud(count, seed=0):
    random = torch.Generator().manual_seed(seed)
    shapes = ((count, 3), (count, 4), (count, 3), (count,), (count, 4, 3))
    return Gaussians(*(torch.randn(shape, generator=random) for shape in shapes))


def test_gaussians_come_back_frame_by_frame(tmp_path):
    frames = [cloud(5 + number % 2, number) for number in range(12)]
    paths = write_gaussian_sequence(tmp_path / "frames", iter(frames), up="y")
    assert [path.name for path in paths] == [f"frame_{number:05d}.ply" for number in range(12)]
    assert sequence_files(tmp_path / "frames") == paths
    for path, frame in zip(paths, frames, strict=True):
        back = read_gaussian_ply(path)
        assert torch.equal(back.means, frame.means)
        assert torch.equal(back.sh, frame.sh)


def test_frames_are_ordered_by_the_number_that_ends_their_names(tmp_path):
    names = ["b9.ply", "a10.ply", "frame_2.compressed.ply", "11.ply", "notes.txt", "last.ply", "v2_1.PLY"]
    for name in names:
        (tmp_path / name).touch()
    found = [path.name for path in sequence_files(tmp_path)]
    assert found == ["v2_1.PLY", "frame_2.compressed.ply", "b9.ply", "a10.ply", "11.ply"]
    assert sequence_files(tmp_path / "missing") == []


def test_frames_that_would_mix_with_others_are_refused(tmp_path):
    write_gaussian_sequence(tmp_path, [cloud(2)] * 3)
    with pytest.raises(UsageError, match="already holds"):
        write_gaussian_sequence(tmp_path, [cloud(2)])
    with pytest.raises(InvalidInputError, match="no frame"):
        write_gaussian_sequence(tmp_path / "other", [])
