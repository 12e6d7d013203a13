"""What avatars are worth on a person of whom everything is known: pictures, poses, and time.

python tests/bench/avatar.py [exact branch noise speed] [--size 256] [--texels 192] [--scale 1.0]

`exact` fits a film with the true poses, and renders held-out moments and motions that were not in it; `branch` goes on
with what depends on the pose; `noise` begins with poses of which every joint is off; `speed` poses and draws 40,000
Gaussians. `--scale` shortens all schedules. Needs the recorded motions.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from a4d.runtime import prepare_process

prepare_process()

import torch  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "scenes"))

from synthetic_person import Person, camera_in_front, filmed, likeness, noisy, recorded  # noqa: E402

from a4d.config import load_yaml  # noqa: E402
from a4d.geometry.bodies.tracked_body import TrackedBody  # noqa: E402
from a4d.objectives import build_objectives  # noqa: E402
from a4d.optimise import LoopConfig, Problem, optimise  # noqa: E402
from a4d.randomness import generator  # noqa: E402
from a4d.render.footprint import pixel_sizes, render_fitted  # noqa: E402
from a4d.runtime import Runtime  # noqa: E402
from a4d.scenes import begin_from  # noqa: E402
from a4d.scenes.avatar.scene import AvatarScene  # noqa: E402
from a4d.scenes.seed import Seed  # noqa: E402
from a4d.views import build_views  # noqa: E402

PROFILES = ROOT / "stages" / "profiles"
MOMENTS = 64
NOVEL = {"dab": 12, "walk": 12}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["exact", "branch", "noise", "speed"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--texels", type=int, default=None)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    bench = Bench(options.size, options.texels, options.scale)
    for part in options.parts:
        getattr(bench, part)()


class Bench:
    """The film, and what is fitted to it.

    Args:
        size: pixels along a side of its frames.
        texels: of the avatar's texture; None is the profile's.
        scale: of the schedules.
    """

    def __init__(self, size: int, texels: int | None, scale: float) -> None:
        self.size, self.texels, self.scale = size, texels, scale
        self.truth = recorded("jumping_jacks", MOMENTS, turns=1.0)
        self.frames = filmed(self.truth, size)
        self.held = self.frames.select("test")
        self.fitted: AvatarScene | None = None

    def exact(self) -> None:
        """True poses, which stay."""
        self.fitted = self.fit(self.truth.tracked, without=("turns", "shifts"))
        self.report("exact poses", self.fitted)

    def branch(self) -> None:
        """What depends on the pose, on top of it."""
        if self.fitted is None:
            self.exact()
        assert self.fitted is not None
        spec = self.profile("refine-avatar")
        refined = begin_from(self.fitted, spec["scene"], generator(0, "begin"))
        assert isinstance(refined, AvatarScene)
        self.optimised(refined, spec)
        self.report("with the branch", refined)

    def noise(self) -> None:
        """Poses that are off, corrected, and frozen as they were."""
        for radians, metres in ((0.06, 0.02), (0.12, 0.03)):
            guess = noisy(self.truth.tracked, radians, metres, generator(0, "noise"))
            print(f"noise of {radians} rad: {joint_error(guess, self.truth, self.train):.1f} mm")
            for name, without in (("corrected", ()), ("frozen", ("turns", "shifts"))):
                scene = self.fit(guess, without)
                error = joint_error(scene.fitted(), self.truth, self.train)
                print(f"  {name}: {error:.1f} mm")
                self.report(f"  {name}, true poses", at(scene, self.truth.tracked))

    @torch.no_grad()
    def speed(self) -> None:
        """Frames per second of 40,000 Gaussians at 512x512, by part."""
        scene = begun(self.truth.tracked, {"kind": "avatar", "texels": 258})
        camera, count = camera_in_front(512), 20
        scene.see_pixels(float(pixel_sizes(camera)))
        spent = dict.fromkeys(("kinematics", "skinning", "drawing"), 0.0)
        for index in range(count + 2):
            moment = index / (count + 2)
            parts = [time.perf_counter()]
            scene.transforms(moment)
            parts.append(time.perf_counter())
            gaussians = scene.gaussians(moment)
            parts.append(time.perf_counter())
            render_fitted(gaussians, camera, torch.ones(3), scene.footprint)
            parts.append(time.perf_counter())
            if index >= 2:  # The first compile and warm up.
                for name, before, after in zip(spent, parts, parts[1:], strict=False):
                    spent[name] += 1000 * (after - before) / count
        spent["skinning"] -= spent["kinematics"]
        total = sum(spent.values())
        each = ", ".join(f"{name} {value:.1f} ms" for name, value in spent.items())
        print(f"{len(scene.points)} Gaussians at 512x512: {1000 / total:.1f} frames per second ({each})")

    @property
    def train(self) -> list[int]:
        return self.frames.select("train")

    def profile(self, name: str) -> dict[str, Any]:
        """A profile's settings, its schedules scaled."""
        settings: dict[str, Any] = scaled(load_yaml(PROFILES / f"{name}.yaml"), self.scale)
        return settings

    def fit(self, body: TrackedBody, without: Sequence[str]) -> AvatarScene:
        """An avatar of a body, but for the groups that are not to learn."""
        spec = self.profile("fit-dynamic-body")
        spec["optimiser"]["sparse"] = [name for name in spec["optimiser"]["sparse"] if name not in without]
        rates = {name: rate for name, rate in spec["optimiser"]["rates"].items() if name not in without}
        spec["optimiser"]["rates"] = rates
        if self.texels is not None:
            spec["scene"]["texels"] = self.texels
        scene = begun(body, spec["scene"])
        self.optimised(scene, spec)
        return scene

    def optimised(self, scene: AvatarScene, spec: dict[str, Any]) -> None:
        """Fit a scene to the film in place."""
        views = build_views(spec["views"])
        scene.see_pixels(min(each.finest_pixel(self.frames, 0) for each in views.values()))
        problem = Problem(scene, views, build_objectives(spec["objectives"]), self.frames)
        loop = LoopConfig(
            iterations=spec["iterations"], optimiser=spec["optimiser"], checkpoint_seconds=1e9, preview_seconds=1e9
        )
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            figures = optimise(problem, loop, Path(folder), Runtime())
        seconds = time.process_time() - began
        print(f"{len(scene.points)} Gaussians, {spec['iterations']} steps in {seconds:.0f} s: {figures['psnr']:.2f} dB")

    def report(self, what: str, scene: AvatarScene) -> None:
        """Held-out moments and motions that were not in the film: white, foreground, folds; beside a grey body."""
        shown: list[tuple[str, Person, list[int]]] = [("held out", self.truth, self.held)]
        shown += [(name, recorded(name, count), list(range(count))) for name, count in NOVEL.items()]
        for name, truth, moments in shown:
            posed = scene if truth is self.truth else at(scene, truth.tracked)
            found = likeness(posed, truth, self.size, moments)
            grey = likeness(posed, truth, self.size, moments, "flat")
            print(
                f"{what}, {name}: white {found.white:.2f} dB, foreground {found.foreground:.2f}, folds "
                f"{found.folds:.2f}; a grey body {grey.white:.2f}, {grey.foreground:.2f}"
            )


def begun(body: TrackedBody, spec: dict[str, Any]) -> AvatarScene:
    """A new avatar."""
    return AvatarScene.begin(spec, Seed(body=body), generator(0, "begin"))


def at(scene: AvatarScene, body: TrackedBody) -> AvatarScene:
    """The avatar in the poses of its body that are given."""
    animated = replace(body.animated, body=scene.body)
    return scene.changed(scene.config, replace(body, animated=animated))


def joint_error(guess: TrackedBody, truth: Person, moments: Sequence[int]) -> float:
    """Millimetres between joints of the limbs and the spine and where they are, the root's place aligned; mean."""
    names = truth.body.names
    limbs = [
        names.index(f"{name}.{side}")
        for name in ("upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot")
        for side in "LR"
    ]
    found, known = (each.at(moments).animated.posed().joints for each in (guess, truth.tracked))
    relative = [joints[:, limbs] - joints[:, :1] for joints in (found, known)]
    return 1000 * float((relative[0] - relative[1]).norm(dim=-1).mean())


def scaled(value: Any, scale: float) -> Any:
    """Settings with all numbers of steps scaled."""
    if isinstance(value, dict):
        steps = ("steps", "iterations", "delay")
        return {
            key: max(1, round(item * scale)) if key in steps and isinstance(item, int) else scaled(item, scale)
            for key, item in value.items()
        }
    return [scaled(item, scale) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
