"""A prior's camera-guided adapter learns in one run of the command line and goes on in the next."""

import json
from pathlib import Path

import pytest
import tiny_models
import yaml
from safetensors.torch import load_file

PRIOR = "stable-diffusion-1.5"
ASK = {"views": "around", "prior": PRIOR, "view_prompts": "sectors", "t": [0.02, 0.5]}
SETTINGS = {
    "scene": {
        "kind": "field",
        "encoding": {"levels": 2, "table": 512, "base_resolution": 4, "finest_resolution": 8},
        "sampling": {"steps": 16},
        "occupancy": {"resolution": 8},
    },
    "views": {"around": {"kind": "orbit", "size": 16, "batch": 2}},
    "objectives": [
        {"kind": "score-distillation", "guidance_scale": 7.5, **ASK},
        {"kind": "attention-mask", "weight": 0.1, **ASK},
        {"kind": "denoising", "turns": {"every": 2}, **ASK},
    ],
    "iterations": 3,
    "optimiser": {"rates": {"encoding": 1e-2, f"{PRIOR}/lora": 1e-2, f"{PRIOR}/camera": 1e-3}},
}


def settings(**prior: object) -> dict[str, object]:
    return {**SETTINGS, "priors": {PRIOR: {"learns": {"kind": "cg-lora", "camera_features": 16}, **prior}}}


def test_an_adapter_learns_in_a_run_and_the_next_goes_on_with_it(a4d, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tiny_models.save_all_but_the_unet(tmp_path / "images")
    tiny_models.unet().save_pretrained(folder / "unet")
    Path("paper.yaml").write_text(
        yaml.safe_dump({"distill": settings(), "refine": settings(adapters=["distill"], samples_at_once=1)})
    )
    given = ("--config", "paper.yaml", "--weights", f"{PRIOR}={folder}", "--json")
    begun = a4d("distill", "a dog and a cat", *given)
    assert begun.code == 0, begun.err
    assert begun.err.count("several subjects") == 1
    assert 0 < begun.json["metrics"][f"attention-mask/{PRIOR}/around"] < 1
    workspace = Path(begun.json["workspace"])
    done = a4d("refine", workspace, "--from", "distill", *given)
    assert done.code == 0, done.err
    learnt, continued = (
        load_file(workspace / f"adapters/{name}/{PRIOR}/cg_lora.safetensors") for name in ("distill", "refine")
    )
    assert learnt.keys() == continued.keys()
    for name, value in continued.items():
        change = float((value - learnt[name]).abs().max())
        # Adam's first steps are about as long as the rate, from where the former run ended.
        assert 0 < change < 0.05, name
    record = json.loads((workspace / "stages/refine/record.json").read_text())
    assert f"adapters/distill/{PRIOR}/cg_lora.safetensors" in {entry["path"] for entry in record["inputs"]}
