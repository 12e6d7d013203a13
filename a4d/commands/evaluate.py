"""`a4d evaluate`: how well a scene agrees with held-out views, with another workspace, or with a known mesh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a4d.console import format_value, print_json, print_result, print_table
from a4d.errors import MissingInputError, UsageError

if TYPE_CHECKING:
    from a4d.geometry.mesh import Mesh
    from a4d.scenes.scene import Scene
    from a4d.views import Frames


def evaluate(
    workspace: Annotated[Path, typer.Argument(help="A workspace with a scene.")],
    scene: Annotated[str | None, typer.Option(help="Which scene; the newest if not given.")] = None,
    split: Annotated[
        str, typer.Option(help="Which frames: test, train or all; auto is test where there are any.")
    ] = "auto",
    against: Annotated[
        Path | None, typer.Option(help="A workspace whose frames, or a mesh file whose shape, to compare with.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Distance in metres up to which a surface point is right.")] = 0.02,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Score a scene: PSNR, SSIM and mask IoU per view, or Chamfer distance and F-score against a mesh."""
    from a4d.runtime import resolve_device
    from a4d.scenes import load_scene
    from a4d.workspace.journal import open_for_reading
    from a4d.workspace.workspace import METADATA

    opened = open_for_reading(workspace)
    folder = opened.scene(scene)
    loaded = load_scene(folder, resolve_device(device))
    facts: dict[str, Any] = {"workspace": str(workspace), "scene": folder.name}
    if against is not None and not (against / METADATA).is_file():
        from a4d.io.mesh_reader import read_mesh

        facts |= {"against": str(against), **compare_shapes(loaded, read_mesh(against), threshold)}
    else:
        from a4d.workspace.frames import load_frames

        source = opened if against is None else open_for_reading(against)
        facts |= {"against": str(source.path), **compare_views(loaded, load_frames(source), split)}
    if json:
        print_json(facts)
    else:
        _print(facts)


def compare_views(scene: Scene, frames: Frames, split: str = "auto") -> dict[str, Any]:
    """Render each frame's camera and compare over black.

    Args:
        scene: on any device.
        frames: the truth.
        split: `test`, `train`, `all`, or `auto` for test where there are any, else all.

    Returns:
        `split`, means `psnr` in dB, `ssim` and `iou`, and `views` with the same per frame.

    Raises:
        UsageError: there is no such split.
        MissingInputError: the split is empty.
    """
    import torch

    from a4d.metrics import mask_iou, psnr, ssim

    if split not in ("auto", "test", "train", "all"):
        raise UsageError(f"there is no split '{split}'", "Choose from auto, test, train and all")
    if split == "auto":
        split = "test" if frames.select("test") else "all"
    indices = frames.select(split)
    if not indices:
        raise MissingInputError(f"there are no frames of split '{split}'", "Choose another --split")
    device = next(scene.parameters()).device
    views: list[dict[str, Any]] = []
    for index in indices:
        time = None if frames.times is None else frames.times[index : index + 1].to(device)
        with torch.no_grad():
            render = scene.render(frames.cameras[index].to(device), time)
        rgb, alpha = render.rgb[0].clamp(0, 1).cpu(), render.alpha[0].cpu()
        truth = frames.rgba[index]
        views.append(
            {
                "name": frames.names[index],
                "psnr": min(psnr(rgb, truth[..., :3] * truth[..., 3:]), 99.0),
                "ssim": ssim(rgb, truth[..., :3] * truth[..., 3:]),
                "iou": mask_iou(alpha[..., 0], truth[..., 3]),
            }
        )
    means = {key: sum(float(view[key]) for view in views) / len(views) for key in ("psnr", "ssim", "iou")}
    return {"split": split, **means, "views": views}


def compare_shapes(scene: Scene, reference: Mesh, threshold: float) -> dict[str, Any]:
    """Distances between the scene's surface and a mesh in the same frame, in metres."""
    from a4d.metrics import surface_distances
    from a4d.scenes.extraction import extract_surface

    own = scene.mesh()
    distances = surface_distances(extract_surface(scene) if own is None else own, reference, threshold)
    return {
        "chamfer": distances.chamfer,
        "accuracy": distances.accuracy,
        "completeness": distances.completeness,
        "f_score": distances.f_score,
        "normal_consistency": distances.normal_consistency,
        "threshold": threshold,
    }


def _print(facts: dict[str, Any]) -> None:
    views = facts.pop("views", None)
    if views is None:
        print_table(["figure", "value"], [[key, format_value(value)] for key, value in facts.items()])
        return
    columns = ["name", "psnr", "ssim", "iou"]
    rows = [[format_value(view[column]) for column in columns] for view in views]
    mean = ["mean", *(format_value(facts[column]) for column in columns[1:])]
    print_result(f"scene {facts['scene']} against the {facts['split']} frames of {facts['against']}")
    print_table(columns, [*rows, mean])
