"""The memory that each stage of a paper's file takes at its sizes, counted: priors, scene and renders.

python tests/bench/stage_memory.py recipes/animate124/paper.yaml [--offload all]

Priors are counted as by `prior_memory.py`, in half precision. A scene is counted with its gradient and Adam's moments,
and renders with all that is kept for the way back: few rays are rendered on the CPU from the scene as it begins, and
those of a step are taken for as hungry. All view sets and priors of a stage count, whether or not they share a step.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from a4d.runtime import prepare_process

prepare_process()

import torch  # noqa: E402
from full_size import PRIORS  # noqa: E402
from prior_memory import GIGA, TensorMemory, step_memory  # noqa: E402

from a4d.commands.table import RUNS, STAGES, find_stage  # noqa: E402
from a4d.config import Spec, largest_value, load_yaml, overlaid  # noqa: E402
from a4d.fitting.settings import Fitting, complete_fitting  # noqa: E402
from a4d.geometry.cameras import turntable  # noqa: E402
from a4d.objectives.asking import PriorObjective  # noqa: E402
from a4d.objectives.priors import ReleasedPrior  # noqa: E402
from a4d.priors.placement import Offload, Placement  # noqa: E402
from a4d.randomness import generator  # noqa: E402
from a4d.render.field import RAYS  # noqa: E402
from a4d.running.sections import settings_of  # noqa: E402
from a4d.scenes import begin_from, scene_class  # noqa: E402
from a4d.scenes.field.scene import FieldScene  # noqa: E402
from a4d.scenes.seed import Seed  # noqa: E402

SIDE, VIEWS = 16, 4
"""Of the images that stand for all."""

GOING_ON = {"from_scene": "before", "prompt": "a thing"}


@dataclass(frozen=True)
class Count:
    """Bytes of a stage.

    Args:
        models: of priors, which lie on the device all the time.
        priors: what their steps take beside.
        scene: with its gradient and moments.
        renders: with their graphs.
    """

    models: int
    priors: int
    scene: int
    renders: int

    def __str__(self) -> str:
        parts = (self.models, self.priors, self.scene, self.renders)
        return "".join(f"{part / GIGA:9.2f}" for part in (*parts, sum(parts)))


def stages_of(file: Path) -> Iterator[tuple[str, Fitting, Spec]]:
    """The fits of a file in their order, and what the scene of each is made of."""
    scene: Spec = {}
    for name in load_yaml(file):
        if name not in STAGES or not issubclass(find_stage(name).config, Fitting):
            continue
        values = settings_of(file, name, None, RUNS)
        scene = overlaid(scene, values.get("scene") or {})
        given = {key: value for key, value in values.items() if key in Fitting.model_fields}
        yield name, complete_fitting(Fitting.model_validate({**given, **GOING_ON})), scene


def counted(config: Fitting, spec: Spec, offload: Offload) -> Count:
    """What a stage takes at the most."""
    parts = config.resolved
    models = steps = 0
    for name, prior in parts.priors.items():
        assert isinstance(prior, ReleasedPrior)
        placement = Placement(
            "cpu", torch.float16, offload=offload, images_at_once=prior.images_at_once,
            samples_at_once=prior.samples_at_once,
        )  # fmt: skip
        entry = PRIORS[prior.kind]
        resident, peak = step_memory(replace(entry, images=images_asked(config, name, entry.images)), placement)
        models, steps = models + resident, steps + peak - resident
    kind = scene_class(str(spec["kind"]))
    scene = kind.begin(spec, Seed(radius=1.0), generator(0, "begin"))
    assert isinstance(scene, FieldScene)
    renders = sum(bytes_of_render(scene, config, name) for name in parts.views)
    return Count(models, steps, kind.memory(scene.config), round(renders))


def images_asked(config: Fitting, prior: str, otherwise: int) -> int:
    """How many images of a step a prior is asked about at once; of clips it is the chosen frames."""
    for objective in config.resolved.objectives:
        if isinstance(objective, PriorObjective) and objective.prior == prior and isinstance(objective.frames, list):
            return len(objective.frames)
    return otherwise


def pixels(config: Fitting, name: str) -> int:
    """Of a step of a view set; an observed one is a single square picture."""
    views = config.resolved.views[name]
    return views.pixels_per_step(None) or round(largest_value(getattr(views, "size", None) or 0)) ** 2 * views.batch


def bytes_of_render(scene: FieldScene, config: Fitting, name: str) -> float:
    """What a step's render of a view set takes, in the shading that costs most, with the channels that are wanted.

    All rays keep what the way back needs, or one part of them where it is computed again; what is gone after a part was
    marched counts for one part.
    """
    wants = {channel for each in config.resolved.objectives if name in each.views_read for channel in each.needs}
    cameras = turntable(VIEWS, 10.0, 1.8, 40.0, SIDE)
    times = torch.full((VIEWS,), 0.3) if getattr(scene, "is_moving", False) else None
    plain = begin_from(scene, {"sampling": {"recompute": False}}, generator(0))
    count, few = pixels(config, name), VIEWS * SIDE**2
    part = min(count, RAYS)
    lasting = part if scene.config.sampling.recompute else count
    sizes = []
    for shading in config.resolved.views[name].shadings or (None,):
        with TensorMemory() as memory:
            render = plain.render_shaded(cameras, times, torch.ones(VIEWS, 3), shading, wants)
            kept, passing = memory.held / few, (memory.peak - memory.held) / few
        assert render.rgb.requires_grad
        sizes.append(kept * lasting + passing * part)
    return max(sizes)


def main() -> None:
    """Print a line per stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--offload", choices=get_args(Offload), default="none")
    options = parser.parse_args()
    print(f"{'GB':12s}" + "".join(f"{name:>9s}" for name in ("models", "steps", "scene", "renders", "in all")))
    for name, config, spec in stages_of(options.file):
        print(f"{name:12s}{counted(config, spec, options.offload)}", flush=True)


if __name__ == "__main__":
    main()
