"""Noise schedules agree with diffusers' schedulers, and the three predictions with each other."""

import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.priors.schedule import noise_schedule, schedule_from_diffusers

CONFIGS = [
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "squaredcos_cap_v2"},
    {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
    },
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c["beta_schedule"])
@pytest.mark.parametrize("name", ["DDPMScheduler", "DDIMScheduler"])
def test_alphas_and_noise_agree_with_diffusers(config, name):
    import diffusers

    scheduler = getattr(diffusers, name)(**config)
    schedule = schedule_from_diffusers(dict(scheduler.config))
    torch.testing.assert_close(schedule.alphas_cumprod, scheduler.alphas_cumprod.double(), atol=2e-6, rtol=2e-5)
    clean, noise = torch.randn(5, 4, 8, 8), torch.randn(5, 4, 8, 8)
    t = torch.tensor([0, 20, 500, 980, 998])
    torch.testing.assert_close(
        schedule.add_noise(clean, noise, t), scheduler.add_noise(clean, noise, t), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        schedule.velocity(clean, noise, t), scheduler.get_velocity(clean, noise, t), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize(("config", "kind"), [("epsilon", "epsilon"), ("v_prediction", "v"), ("sample", "x0")])
def test_clean_prediction_agrees_with_a_ddim_step(config, kind):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**CONFIGS[0], prediction_type=config, clip_sample=False)
    schedule = noise_schedule(prediction=kind)
    output, noisy = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    scheduler.set_timesteps(50)
    expected = scheduler.step(output, 481, noisy).pred_original_sample
    t = torch.tensor([481, 481])
    clean = schedule.clean_from_noise(noisy, schedule.noise_from_output(output, noisy, t), t)
    torch.testing.assert_close(clean, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
def test_a_perfect_model_returns_the_noise(prediction):
    schedule = noise_schedule(prediction=prediction)
    clean, noise = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    t = torch.tensor([1, 400, 999])
    noisy = schedule.add_noise(clean, noise, t)
    output = {"epsilon": noise, "v": schedule.velocity(clean, noise, t), "x0": clean}[prediction]
    torch.testing.assert_close(schedule.noise_from_output(output, noisy, t), noise)
    torch.testing.assert_close(schedule.clean_from_noise(noisy, noise, t), clean)
    torch.testing.assert_close(schedule.noise_from_clean(noisy, clean, t), noise)


def test_known_levels():
    linear = noise_schedule("linear").alphas_cumprod
    torch.testing.assert_close(
        linear[[0, 20, 200, 961, 999]],
        torch.tensor([0.99915, 0.979999, 0.673262, 0.002478, 0.001579], dtype=torch.float64),
        atol=1e-6,
        rtol=1e-4,
    )
    assert noise_schedule(zero_terminal_snr=True).alphas_cumprod[-1] == 0
    assert noise_schedule(zero_terminal_snr=True).alphas_cumprod[0] == pytest.approx(1 - 0.00085)


def test_shares_of_the_schedule():
    schedule = noise_schedule()
    assert [schedule.timestep(s) for s in (0, 0.02, 0.29, 0.57, 0.98, 1)] == [0, 20, 290, 570, 980, 999]


def test_weights():
    schedule = noise_schedule()
    t, like = torch.tensor([20, 500]), torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    a = schedule.alphas_cumprod[t]
    expected = {
        "uniform": torch.ones(2, dtype=torch.float64),
        "variance": 1 - a,
        "signal-variance": a.sqrt() * (1 - a),
        "inverse-variance": 1 / (1 - a),
        "noise-to-signal": ((1 - a) / a).sqrt(),
    }
    for name, value in expected.items():
        weight = schedule.weight(name, t, like)
        assert weight.shape == (2, 1, 1, 1)
        torch.testing.assert_close(weight.flatten(), value)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(InvalidInputError, match="sigmoid"):
        schedule_from_diffusers({"beta_schedule": "sigmoid"})
