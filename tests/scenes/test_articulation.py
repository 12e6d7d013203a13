"""Learnt poses: they begin at rest, find a known motion, and keep what no step has seen."""

import math
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from a4d.geometry.deformation.skeleton import Skeleton
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion
from a4d.optimisers import OptimiserConfig, adam
from a4d.scenes.articulation import ArticulationConfig, PoseNetwork, PoseNetworkConfig, PoseTable

FRAMES = 12


def chain() -> Skeleton:
    """A root that is turned at rest, an upper bone of one metre and the tip of a lower one of half."""
    tilt = rotation_from_quaternion(torch.tensor([0.9, 0.1, -0.3, 0.2]))
    rest = rigid_from_parts(
        torch.stack([tilt, torch.eye(3), torch.eye(3)]), torch.tensor([[0.1, 0.2, 0.3], [1.0, 0, 0], [0.5, 0, 0]])
    )
    return Skeleton(("upper", "lower", "tip"), torch.tensor([-1, 0, 1]), rest)


def swinging(times: torch.Tensor) -> torch.Tensor:
    """(T, 3, 4, 4): the root turns and travels, the lower bone bends by up to two thirds of a turn."""
    skeleton, local = chain(), chain().rest.expand(len(times), 3, 4, 4).clone()
    for joint, angle in ((0, 1.0 * torch.sin(2 * math.pi * times)), (1, 2.1 * torch.sin(2 * math.pi * times + 1.0))):
        zero = torch.zeros_like(times)
        turns = rotation_from_quaternion(torch.stack([(angle / 2).cos(), zero, zero, (angle / 2).sin()], dim=1))
        local[:, joint, :3, :3] = local[:, joint, :3, :3] @ turns
    local[:, 0, 0, 3] += 0.3 * torch.sin(2 * math.pi * times)
    return skeleton.world_from_joint(local)


def made(kind: str, **settings):
    if kind == "table":
        return PoseTable(chain(), FRAMES, ArticulationConfig(**settings))
    return PoseNetwork(chain(), PoseNetworkConfig(**settings), torch.Generator().manual_seed(0))


def moments(kind: str) -> torch.Tensor:
    return torch.arange(FRAMES) if kind == "table" else torch.arange(FRAMES) / FRAMES


@pytest.mark.parametrize("kind", ["table", "network"])
@pytest.mark.parametrize("shifted", ["roots", "all"])
def test_it_begins_exactly_at_rest_and_every_group_learns(kind: str, shifted: str) -> None:
    articulation = made(kind, shifted=shifted)
    poses = articulation.parent_from_joint(moments(kind))
    assert torch.equal(poses, chain().rest.expand_as(poses))
    (articulation.world_from_joint(moments(kind))[:, 2, :3, 3] - 1.0).square().sum().backward()
    for name, parameters in articulation.groups().items():
        assert any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in parameters), name
    assert articulation.motion(moments(kind), 0.1).parent_from_joint.shape == (FRAMES, 3, 4, 4)


@pytest.mark.parametrize(
    ("kind", "settings", "rate", "limit"),
    [("table", {}, 0.1, 0.05), ("network", {}, 0.01, 0.2), ("network", {"layers": 0, "period": 1}, 0.1, 0.05)],
)
def test_a_known_motion_is_found_by_gradient_descent(kind: str, settings: dict, rate: float, limit: float) -> None:
    articulation = made(kind, **settings)
    truth = swinging(torch.arange(FRAMES) / FRAMES)
    optimisers = adam(
        articulation.groups(), OptimiserConfig(rates=dict.fromkeys(articulation.groups(), rate), eps=1e-8)
    )

    def off() -> torch.Tensor:
        return (articulation.world_from_joint(moments(kind)) - truth)[..., :3, :]

    before = float(off().detach().abs().max())
    for step in range(200):
        for group in optimisers.groups():
            group["lr"] = rate * (1 - step / 200)
        optimisers.zero()
        off().square().mean().backward()
        optimisers.step()
    assert before > 1.0
    assert float(off().detach().abs().max()) < limit


def test_frames_that_no_step_sees_stay_with_a_sparse_optimiser() -> None:
    table = made("table")
    config = OptimiserConfig(rates={"turns": 0.1, "shifts": 0.1}, sparse=["turns", "shifts"])
    optimisers = adam(table.groups(), config)
    for frames in ([3, 5], [5], [5]):
        optimisers.zero()
        before = table.turns[3].detach().clone()
        (table.world_from_joint(torch.tensor(frames))[:, 2, :3, 3] - 1.0).square().sum().backward()
        optimisers.step()
        if frames == [5]:
            assert torch.equal(table.turns[3], before)
    assert table.turns[3].any()
    assert table.turns[5].any()
    others = [frame for frame in range(FRAMES) if frame not in (3, 5)]
    assert not table.turns[others].any()
    assert not table.shifts[others].any()


def test_a_table_may_begin_at_what_a_tracker_found() -> None:
    start = chain().rest.expand(FRAMES, 3, 4, 4).clone()
    start[:, 1, 0, 3] += torch.arange(FRAMES) / FRAMES
    table = PoseTable(chain(), FRAMES, ArticulationConfig(), start)
    assert torch.equal(table.parent_from_joint(torch.tensor([7, 2])), start[[7, 2]])


def test_a_periodic_network_repeats_and_another_does_not() -> None:
    times = torch.linspace(0, 0.5, 6)
    for period, repeats in ((0.5, True), (None, False)):
        network = made("network", period=period)
        torch.nn.init.normal_(network.network[-1].weight, 0, 0.3, generator=torch.Generator().manual_seed(1))
        poses, later = (network.parent_from_joint(each).detach() for each in (times, times + 0.5))
        assert torch.allclose(poses, later, atol=1e-4) == repeats
        assert float((poses[1] - poses[3]).abs().max()) > 0.05


def test_what_was_learnt_is_saved(tmp_path: Path) -> None:
    network = made("network", harmonics=3)
    network.save(tmp_path)
    assert yaml.safe_load((tmp_path / "scene.yaml").read_text())["harmonics"] == 3
    other = made("network", harmonics=3)
    torch.nn.init.ones_(other.network[0].weight)
    other.load_state_dict(load_file(tmp_path / "tensors.safetensors"))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
