import struct
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from a4d.errors import InvalidInputError, MissingInputError, UsageError
from a4d.geometry.assets.file_frames import UpAxis
from a4d.geometry.cameras import Cameras, turntable
from a4d.geometry.gaussians import Gaussians
from a4d.io.gaussian_ply import gaussian_properties, read_gaussian_ply, write_gaussian_ply
from a4d.io.gaussian_reader import read_gaussians
from a4d.io.ply.tables import read_ply_table
from a4d.io.splat import read_splat, write_splat
from a4d.render.gaussians import render_gaussians


def random_gaussians(count: int, degree: int) -> Gaussians:
    generator = torch.Generator().manual_seed(degree)
    shapes = {
        "means": (3,),
        "quaternions": (4,),
        "log_scales": (3,),
        "opacity_logits": (),
        "sh": ((degree + 1) ** 2, 3),
    }
    return Gaussians(**{name: torch.randn(count, *shape, generator=generator) for name, shape in shapes.items()})


def test_ply_bytes_are_those_of_the_reference_layout(tmp_path):
    gaussians = Gaussians(
        means=torch.tensor([[1.0, 2.0, 3.0]]),
        quaternions=torch.tensor([[0.5, -0.5, 0.25, 2.0]]),
        log_scales=torch.tensor([[-1.0, -2.0, -3.0]]),
        opacity_logits=torch.tensor([4.0]),
        sh=torch.tensor([[[0.1, 0.2, 0.3]]]),
    )
    write_gaussian_ply(tmp_path / "one.ply", gaussians, up="y")
    header = (
        b"ply\nformat binary_little_endian 1.0\nelement vertex 1\n"
        b"property float x\nproperty float y\nproperty float z\n"
        b"property float nx\nproperty float ny\nproperty float nz\n"
        b"property float f_dc_0\nproperty float f_dc_1\nproperty float f_dc_2\n"
        b"property float opacity\n"
        b"property float scale_0\nproperty float scale_1\nproperty float scale_2\n"
        b"property float rot_0\nproperty float rot_1\nproperty float rot_2\nproperty float rot_3\n"
        b"comment a4d up y\nend_header\n"
    )
    body = struct.pack("<17f", 1, 2, 3, 0, 0, 0, 0.1, 0.2, 0.3, 4, -1, -2, -3, 0.5, -0.5, 0.25, 2)
    assert (tmp_path / "one.ply").read_bytes() == header + body


def test_higher_harmonics_are_stored_channel_after_channel(tmp_path):
    gaussians = random_gaussians(2, degree=3)
    write_gaussian_ply(tmp_path / "three.ply", gaussians, up="y")
    columns = read_ply_table(tmp_path / "three.ply", "vertex").columns
    assert len(columns) == 62
    # Coefficient 7 of green: 15 reds come first, then coefficients 1 to 6 of green.
    assert columns["f_rest_21"][1] == gaussians.sh[1, 7, 1].item()
    assert columns["f_rest_44"][0] == gaussians.sh[0, 15, 2].item()


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_ply_round_trip_is_exact(tmp_path, degree):
    gaussians = random_gaussians(100, degree)
    write_gaussian_ply(tmp_path / "g.ply", gaussians, up="y")
    back = read_gaussian_ply(tmp_path / "g.ply")
    assert back.sh_degree == degree
    for name in ("means", "quaternions", "log_scales", "opacity_logits", "sh"):
        assert torch.equal(getattr(back, name), getattr(gaussians, name))


def look(gaussians: Gaussians, cameras: Cameras) -> torch.Tensor:
    return render_gaussians(gaussians, cameras).rgb


@pytest.mark.parametrize("up", [*get_args(UpAxis), None])
@pytest.mark.parametrize("suffix", ["ply", "splat"])
def test_a_scene_comes_back_upright_whatever_axis_is_up_in_its_file(tmp_path, up, suffix):
    path = tmp_path / f"scene.{suffix}"
    gaussians = random_gaussians(60, degree=3 if suffix == "ply" else 0)
    gaussians = replace(gaussians, log_scales=0.4 * gaussians.log_scales - 2, sh=0.3 * gaussians.sh)
    write = write_gaussian_ply if suffix == "ply" else write_splat
    write(path, gaussians, **({} if up is None else {"up": up}))
    # A PLY file says what is up in it; of a splat it is the custom, or must be told.
    back = read_gaussians(path, None if suffix == "ply" else up)
    cameras = turntable(3, 20.0, 6.0, 40.0, 48)
    torch.testing.assert_close(look(back, cameras), look(gaussians, cameras), atol=0.02, rtol=0)
    stored = read_gaussians(path, "y")
    heights = stored.means[:, "xyz".index((up or "-y")[-1])] * (-1 if (up or "-y").startswith("-") else 1)
    torch.testing.assert_close(heights.sort().values, gaussians.means[:, 1].sort().values)
    assert float(look(gaussians, cameras).std()) > 0.05


def test_viewers_turn_files_upright_by_half_a_turn_about_z(tmp_path):
    """SuperSplat's rule, with which +X, +Y and +Z of the scene are back where they were."""
    gaussians = random_gaussians(20, degree=1)
    for path, write in ((tmp_path / "s.ply", write_gaussian_ply), (tmp_path / "s.splat", write_splat)):
        write(path, gaussians)
        shown = read_gaussians(path, "y").means * torch.tensor([-1.0, -1.0, 1.0])
        assert torch.equal(shown[shown[:, 0].argsort()], gaussians.means[gaussians.means[:, 0].argsort()])


def test_what_other_programs_note_of_axes_is_not_believed(tmp_path):
    gaussians = random_gaussians(5, degree=0)
    write_gaussian_ply(tmp_path / "ours.ply", gaussians)
    content = (tmp_path / "ours.ply").read_bytes()
    (tmp_path / "theirs.ply").write_bytes(content.replace(b"comment a4d up -y", b"comment Vertical axis: y"))
    torch.testing.assert_close(read_gaussian_ply(tmp_path / "theirs.ply").means, gaussians.means)


@pytest.mark.parametrize("encoding", ["ascii", "binary_big_endian"])
def test_ply_reader_goes_by_name(tmp_path, encoding):
    gaussians = random_gaussians(5, degree=1)
    write_gaussian_ply(tmp_path / "g.ply", gaussians, up="y")
    columns = read_ply_table(tmp_path / "g.ply", "vertex").columns
    names = [name for name in reversed(gaussian_properties(1)) if name not in ("nx", "ny", "nz")]
    lines = ["ply", f"format {encoding} 1.0", "comment other writers order differently", "element vertex 5"]
    lines += ["property uchar selected", *(f"property float {name}" for name in names), "end_header"]
    content = ("\r\n".join(lines) + "\r\n").encode()
    for i in range(5):
        row = [float(columns[name][i]) for name in names]
        is_ascii = encoding == "ascii"
        content += " ".join(map(str, [7, *row, "\n"])).encode() if is_ascii else struct.pack(f">B{len(row)}f", 7, *row)
    (tmp_path / "h.ply").write_bytes(content)
    back = read_gaussian_ply(tmp_path / "h.ply", up="y")
    for name in ("means", "quaternions", "log_scales", "opacity_logits", "sh"):
        assert torch.equal(getattr(back, name), getattr(gaussians, name))


def test_unusable_gaussian_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "g.ply"
    write_gaussian_ply(path, random_gaussians(4, degree=0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(InvalidInputError, match="truncated"):
        read_gaussian_ply(path)
    path.write_bytes(whole[:-4] + struct.pack("<f", float("nan")))
    with pytest.raises(InvalidInputError, match="1 rotation values"):
        read_gaussian_ply(path)
    path.write_bytes(whole.replace(b"opacity", b"opacitx"))
    with pytest.raises(InvalidInputError, match="without Gaussians: no property 'opacity'"):
        read_gaussian_ply(path)
    path.write_bytes(b"ply\nformat ascii 1.0\nelement vertex 1\nproperty uint packed_position\nend_header\n5\n")
    with pytest.raises(UsageError, match="splat-transform"):
        read_gaussian_ply(path)
    path.write_bytes(b"not a PLY file at all")
    with pytest.raises(InvalidInputError, match="not a PLY file"):
        read_gaussian_ply(path)
    with pytest.raises(MissingInputError):
        read_gaussian_ply(tmp_path / "absent.ply")
    with pytest.raises(InvalidInputError):
        read_gaussian_ply(tmp_path)


def test_gaussians_that_are_not_finite_are_not_written(tmp_path):
    gaussians = random_gaussians(4, degree=0)
    gaussians.means[2, 1] = float("inf")
    for write in (write_gaussian_ply, write_splat):
        with pytest.raises(InvalidInputError, match=r"1 .* not finite"):
            write(tmp_path / "g.ply", gaussians)
    assert not list(tmp_path.iterdir())


def test_splat_bytes_are_those_of_the_viewer(tmp_path):
    gaussians = Gaussians(
        means=torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        quaternions=torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0]]),
        log_scales=torch.tensor([[0.5, 0.25, 0.125], [2.0, 2.0, 2.0]]).log(),
        opacity_logits=torch.tensor([0.2, 0.6]).logit(),
        sh=torch.tensor([[[-10.0, 0.0, 10.0]], [[0.0, 0.0, 0.0]]]),
    )
    write_splat(tmp_path / "two.splat", gaussians, up="y")
    second, first = np.frombuffer((tmp_path / "two.splat").read_bytes(), np.uint8).reshape(2, 32)
    # The larger and more opaque comes first.
    assert second[24:].tolist() == [128, 128, 128, 153, 128, 128, 0, 128]
    assert first[24:].tolist() == [0, 128, 255, 51, 255, 128, 128, 128]
    np.testing.assert_allclose(first[:24].view("<f4"), [1, 2, 3, 0.5, 0.25, 0.125], rtol=1e-6)


def test_splat_round_trip_within_its_quanta(tmp_path):
    gaussians = random_gaussians(200, degree=0)
    write_splat(tmp_path / "g.splat", gaussians)
    order = torch.argsort(gaussians.log_scales.sum(-1).exp() * gaussians.opacities, descending=True)
    expected, back = gaussians[order], read_splat(tmp_path / "g.splat")
    torch.testing.assert_close(back.means, expected.means, rtol=0, atol=0)
    torch.testing.assert_close(back.log_scales, expected.log_scales, rtol=0, atol=1e-6)
    torch.testing.assert_close(back.colours, expected.colours, rtol=0, atol=0.51 / 255)
    torch.testing.assert_close(back.opacities, expected.opacities, rtol=0, atol=0.51 / 255)
    unit = torch.nn.functional.normalize(expected.quaternions, dim=-1)
    assert (back.quaternions * unit).sum(-1).abs().min() > 0.9998


def test_splats_of_other_programs(real_data):
    folder = real_data / "golden_splat_io" / "splat"
    gaussians = read_gaussians(folder / "minimal.splat")
    assert len(gaussians) == 4
    torch.testing.assert_close(gaussians.scales, torch.full((4, 3), 0.1))
    torch.testing.assert_close(gaussians.opacities, torch.full((4,), 230 / 255))
    torch.testing.assert_close(gaussians.colours[1], torch.tensor([170.0, 85.0, 128.0]) / 255)
    for name in ("minimal-v3.spz", "minimal.ksplat"):
        with pytest.raises(UsageError, match="splat-transform"):
            read_gaussians(folder / name)


def test_a_foreign_file_is_no_splat(tmp_path):
    path = tmp_path / "x.splat"
    for content in (b"", b"x" * 33, struct.pack("<6f8B", 0, 0, 0, -1, 1, 1, *range(8))):
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match=r"no \.splat file"):
            read_splat(path)
