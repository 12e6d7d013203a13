import math

import torch

from a4d.scenes.gaussians.density_control import DensityControl, adapt

CONTROL = DensityControl(gradient_threshold=1.0, split_scale=0.1, prune_opacity=0.1, prune_scale=1.0, most=100)


def parameters(scales: list[float], opacities: list[float]) -> dict[str, torch.Tensor]:
    count = len(scales)
    return {
        "means": torch.arange(count * 3, dtype=torch.float32).view(count, 3),
        "quaternions": torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        "log_scales": torch.tensor(scales).log()[:, None].repeat(1, 3),
        "opacity_logits": torch.logit(torch.tensor(opacities)),
        "sh_base": torch.rand(count, 1, 3),
    }


def run(scales: list[float], opacities: list[float], gradients: list[float], control: DensityControl = CONTROL):
    values = parameters(scales, opacities)
    grown, origin = adapt(values, torch.tensor(gradients), control, torch.Generator().manual_seed(0))
    return values, grown, origin


def test_small_gaussians_with_a_high_gradient_are_cloned_in_place() -> None:
    before, after, origin = run([0.01, 0.01], [0.5, 0.5], [2.0, 0.0])
    assert origin.tolist() == [0, 1, -1]
    for name, value in after.items():
        assert torch.equal(value[2], before[name][0])


def test_large_gaussians_are_split_into_two_smaller_ones_near_the_first() -> None:
    before, after, origin = run([0.5, 0.01], [0.5, 0.5], [2.0, 0.0])
    assert origin.tolist() == [1, -1, -1]
    assert torch.allclose(after["log_scales"][1:].exp(), torch.full((2, 3), 0.5 / 1.6))
    offset = after["means"][1:] - before["means"][0]
    assert float(offset.norm(dim=-1).min()) > 0
    assert float(offset.norm(dim=-1).max()) < 5 * 0.5
    assert not torch.equal(after["means"][1], after["means"][2])


def test_halves_scatter_with_the_covariance_of_the_whole() -> None:
    count = 4000
    values = parameters([0.2] * count, [0.5] * count)
    values["means"] = torch.zeros(count, 3)
    values["log_scales"] = torch.tensor([0.3, 0.03, 0.003]).log().repeat(count, 1)
    half = math.radians(90) / 2
    values["quaternions"] = torch.tensor([math.cos(half), 0, 0, math.sin(half)]).repeat(count, 1)
    control = CONTROL.model_copy(update={"most": 10**6})
    grown, _ = adapt(values, torch.full((count,), 2.0), control, torch.Generator().manual_seed(0))
    assert torch.allclose(grown["means"].std(dim=0), torch.tensor([0.03, 0.3, 0.003]), rtol=0.05)


def test_transparent_and_huge_gaussians_are_removed_but_never_all() -> None:
    _, _, origin = run([0.01, 2.0, 0.01], [0.05, 0.9, 0.9], [0.0, 0.0, 0.0])
    assert origin.tolist() == [2]
    _, _, origin = run([0.01, 0.01], [0.02, 0.05], [0.0, 0.0])
    assert origin.tolist() == [1]


def test_misplaced_gaussians_are_removed_but_never_all() -> None:
    values = parameters([0.01] * 3, [0.5] * 3)
    draws = torch.Generator().manual_seed(0)
    _, origin = adapt(values, torch.zeros(3), CONTROL, draws, lambda means: means[:, 0] < 2)
    assert origin.tolist() == [1, 2]
    _, origin = adapt(values, torch.zeros(3), CONTROL, draws, lambda means: means[:, 0] < 99)
    assert origin.tolist() == [0]


def test_growth_stops_at_the_limit_and_prefers_the_strongest_gradients() -> None:
    control = CONTROL.model_copy(update={"most": 4})
    _, _, origin = run([0.01] * 3, [0.5] * 3, [2.0, 9.0, 3.0], control)
    assert origin.tolist() == [0, 1, 2, -1]
