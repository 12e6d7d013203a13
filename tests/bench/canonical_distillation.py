"""Canonical score distillation against ideal priors: another subject on fitted bones, and the back of a one-sided film.

python tests/bench/canonical_distillation.py [--pixels 48] [--gaussians 2000] [--steps 300] [--only subject|film]

The prior knows rings of four views of a subject at every moment of its motion, and nothing else is told of it. Bones
are free. Each ablation stands beside what is asked for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "objectives"))

from hidden_subject import (  # noqa: E402
    Likeness,
    Size,
    extracted,
    fitted,
    generated,
    known_subject,
    likeness,
    mean_turn,
    other_subject,
    unseen_chamfer,
)

BONE, SKELETON = "bone-displacement", "skeleton-range"
ABLATIONS = {"full": (), "no L_bone": (BONE,), "no L_skel": (SKELETON,), "neither": (BONE, SKELETON)}


def row(name: str, found: Likeness, rest: str = "") -> str:
    """A line of the table."""
    timing = "in time" if found.is_in_time else "moments confused"
    return f"{name:12s} {found.psnr:6.2f} dB  IoU {found.iou:.3f}  {timing}  {rest}"


def another_subject(size: Size) -> None:
    """Print how like the hidden subject the fit is, and what becomes of it."""
    hidden = other_subject()
    fit = fitted(known_subject(), size)
    print(row("the fit", likeness(fit, hidden, size)), flush=True)
    for name, without in ABLATIONS.items():
        scene, seconds = generated(fit, hidden, size, without)
        rest = f"bones turned by {mean_turn(fit, scene):.1f} degrees, {seconds / size.steps:.2f} s a step"
        print(row(name, likeness(scene, hidden, size), rest), flush=True)


def one_sided_film(size: Size) -> None:
    """Print how far the side that the film does not show is from the truth."""
    subject = known_subject()
    for name, is_asked in (("none", False), ("as regulariser", True)):
        print(
            f"unseen side, {name}: {1000 * unseen_chamfer(extracted(subject, size, is_asked), subject):.1f} mm",
            flush=True,
        )


EXPERIMENTS = {"subject": another_subject, "film": one_sided_film}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in vars(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", choices=EXPERIMENTS)
    options = parser.parse_args()
    size = Size(options.pixels, options.gaussians, options.steps)
    for name in [options.only] if options.only else EXPERIMENTS:
        EXPERIMENTS[name](size)


if __name__ == "__main__":
    main()
