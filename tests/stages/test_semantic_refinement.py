"""A moving field is refined from a file of settings alone: ControlNet-tile, a frozen scene and a token of one's own."""

import json
from pathlib import Path

import pytest
import tiny_models
import torch
import yaml
from safetensors.torch import load_file

WEIGHTS = ("stable-diffusion-1.5", "controlnet-tile")
CLIP = {"kind": "orbit", "frames": 4, "size": 16, "window": {"resolution": 16}}
SETTINGS = {
    "distill": {
        "scene": {
            "kind": "field",
            "encoding": {"levels": 2, "table": 512, "base_resolution": 4, "finest_resolution": 8},
            "time": {"kind": "grid-4d", "table": 512, "base_resolution": 4, "finest_resolution": 8},
            "sampling": {"steps": 16},
            "occupancy": {"resolution": 8, "bins": 4},
        },
        "views": {"clip": CLIP},
        "objectives": [
            {"kind": "score-distillation", "views": "clip", "prior": "stable-diffusion-1.5", "guidance_scale": 2}
        ],
        "iterations": 1,
        "optimiser": {"rates": {"encoding": 1e-2, "time": 1e-2}},
    },
    "train-prior": {"embedding": "learned_embeds.bin"},
    "refine": {
        "views": {"clip": CLIP},
        "priors": {
            "tile": {"kind": "controlnet-tile", "adapters": ["textual-inversion"], "size": [64, 64], "strength": 0.8}
        },
        "objectives": [
            {
                "kind": "score-distillation", "views": "clip", "prior": "tile", "frozen": "distill", "frames": [0, 2],
                "prompt": "a <token> is dancing", "form": "x0", "guidance": "from-conditional", "guidance_scale": 7.5,
                "t": [0.2, 0.8], "shared_t": True,
            }
        ],
        "iterations": 2,
        "optimiser": {"rates": {"encoding": 1e-2, "time": 1e-2}},
    },
}  # fmt: skip


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tiny_models.save_all_but_the_unet(tmp_path / "images")
    tiny_models.unet().save_pretrained(folder / "unet")
    tiny_models.controlnet().save_pretrained(tmp_path / "tile")
    return f"{WEIGHTS[0]}={folder},{WEIGHTS[1]}={tmp_path / 'tile'}"


def test_a_moving_field_is_refined_by_settings_alone(a4d, weights: str) -> None:
    Path("paper.yaml").write_text(yaml.safe_dump(SETTINGS))
    given = ("--config", "paper.yaml", "--weights", weights, "--json")
    begun = a4d("distill", "a panda is dancing", *given)
    assert begun.code == 0, begun.err
    workspace = Path(begun.json["workspace"])
    refine = ("refine", workspace, "--from", "distill", *given)
    missing = a4d(*refine)
    assert (missing.code, len(missing.err.splitlines())) == (5, 1)
    assert "holds no adapter" in missing.err
    torch.save({"_panda_": torch.linspace(-1, 1, tiny_models.WIDTH)}, "learned_embeds.bin")
    brought = a4d("train-prior", "textual-inversion", workspace, "--config", "paper.yaml")
    assert brought.code == 0, brought.err
    before = (workspace / "scenes/distill/tensors.safetensors").read_bytes()
    done = a4d(*refine)
    assert done.code == 0, done.err
    assert done.json["metrics"]["score-distillation/tile/clip"] > 0
    assert (workspace / "scenes/distill/tensors.safetensors").read_bytes() == before
    moved, still = (load_file(workspace / f"scenes/{name}/tensors.safetensors") for name in ("refine", "distill"))
    assert any(not torch.equal(moved[name], still[name]) for name in moved)
    record = json.loads((workspace / "stages/refine/record.json").read_text())
    assert {entry["id"] for entry in record["weights"]} == set(WEIGHTS)
    inputs = {entry["path"] for entry in record["inputs"]}
    assert "adapters/textual-inversion/learned_embeds.safetensors" in inputs
    assert a4d(*refine).json["status"] == "up to date"
