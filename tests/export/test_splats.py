import pytest
import torch
from waving import Waving

from a4d.errors import UsageError
from a4d.export.moments import Moments
from a4d.export.splats import write_gaussian_file, write_gaussian_files
from a4d.export.subject import Subject
from a4d.geometry.assets.file_frames import move_gaussians
from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion
from a4d.io.gaussian_ply import read_gaussian_ply
from a4d.render.gaussians import render_gaussians
from a4d.scenes.gaussians.scene import GaussianScene, GaussianSceneConfig


def blobs(degree: int = 3, count: int = 40) -> Gaussians:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    sh = 0.3 * draw(count, (degree + 1) ** 2, 3)
    return Gaussians(0.4 * draw(count, 3), draw(count, 4), 0.4 * draw(count, 3) - 2, draw(count), sh)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_gaussians_that_move_with_their_cameras_look_the_same(degree):
    gaussians = blobs(degree)
    cameras = orbit(torch.tensor([20.0, 160.0]), torch.tensor([10.0, -30.0]), 3.0, 40.0, 48, 48)
    rotation = rotation_from_quaternion(torch.tensor([0.5, 0.1, -0.7, 0.3]).double())
    shift, scale = torch.tensor([3.0, -1.0, 2.0]).double(), 2.5
    moved = move_gaussians(gaussians, rigid_from_parts(scale * rotation, shift))
    poses = cameras.world_from_camera.double()
    turned = rigid_from_parts(rotation @ poses[:, :3, :3], scale * poses[:, :3, 3] @ rotation.T + shift).float()
    there = Cameras(turned, cameras.intrinsics, cameras.width, cameras.height)
    before, after = render_gaussians(gaussians, cameras), render_gaussians(moved, there)
    torch.testing.assert_close(after.rgb, before.rgb, rtol=0, atol=2e-4)
    torch.testing.assert_close(after.depth, scale * before.depth, rtol=0, atol=2e-3)
    assert float(before.rgb.std()) > 0.05


class Drifting(GaussianScene):
    """Gaussians that rise by a metre over the clip."""

    seconds = None
    is_periodic = False

    @property
    def is_moving(self) -> bool:
        return True

    def gaussians(self, time: float = 0.0) -> Gaussians:
        still = super().gaussians()
        return Gaussians(still.means + torch.tensor([0.0, time, 0.0]), *list(vars(still).values())[1:])


def test_a_sequence_has_the_gaussians_of_every_moment(tmp_path):
    scene = Drifting(GaussianSceneConfig(sh_degree=3, count=40), blobs())
    facts = write_gaussian_files(tmp_path / "frames", Subject("blobs", scene, None, Moments((0.0, 0.5, 1.0), 0.1)))
    assert facts["ply_frames"] == 3
    assert facts["ply_sequence_psnr"] > 60
    first = read_gaussian_ply(tmp_path / "frames/frame_00000.ply").means
    for frame, height in ((1, 0.5), (2, 1.0)):
        means = read_gaussian_ply(tmp_path / f"frames/frame_{frame:05d}.ply").means
        torch.testing.assert_close(means - first, torch.tensor([0.0, height, 0.0]).expand(40, 3))


def test_a_scene_without_gaussians_says_so(tmp_path):
    with pytest.raises(UsageError, match="'waving' has no Gaussians"):
        write_gaussian_file(tmp_path / "x.ply", Subject("ring", Waving()))
