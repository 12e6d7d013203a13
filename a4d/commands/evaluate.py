"""`a4d evaluate`: how well a scene or a mesh agrees with held-out views, the truth, another scene or another mesh."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from a4d.console import format_value, print_json, print_result, print_table
from a4d.errors import MissingInputError, UsageError
from a4d.priors.catalogue import parse_overrides
from a4d.runtime import resolve_device
from a4d.scenes import load_scene
from a4d.scenes.scene import Scene
from a4d.workspace.entries import METADATA
from a4d.workspace.journal import open_for_reading
from a4d.workspace.remedies import naming_the_run
from a4d.workspace.source import SUFFIXES

if TYPE_CHECKING:
    from a4d.contents.shapes import ShapeSource
    from a4d.workspace.workspace import Workspace

BACKGROUNDS = {"black": 0.0, "white": 1.0}


@dataclass(frozen=True)
class ViewOptions:
    """How views are compared, and what is asked about them."""

    split: Annotated[str, typer.Option(help="Which frames: test, train or all; auto is test where there are any.")] = (
        "auto"
    )
    background: Annotated[
        Literal["black", "white"], typer.Option(help="Behind renders and frames, as published tables have it.")
    ] = "black"
    poses: Annotated[
        Literal["auto", "own", "against"],
        typer.Option(help="Of a body: as it was followed itself, or as the body of --against; auto is that if any."),
    ] = "auto"
    refine_poses: Annotated[
        int,
        typer.Option(
            min=0, max=10_000, help="Steps that fit a body's poses to the compared frames before, as many papers do."
        ),
    ] = 0
    judges: Annotated[
        str,
        typer.Option(
            help="Networks that look at the views: clip (CLIP-I, CLIP-F, and with --text CLIP-R), lpips, or models of "
            "the catalogue: clip-vit-b-32, clip-vit-l-14, clip-vit-bigg-14, lpips-alexnet, lpips-vgg16."
        ),
    ] = ""
    text: Annotated[
        list[str] | None,
        typer.Option(help="What the scene shows, then for CLIP-R, each by an option, what it is to be told from."),
    ] = None
    weights: Annotated[
        list[str] | None, typer.Option(help="A judge's folder: NAME=PATH; else that of the hub's cache.")
    ] = None


@dataclass(frozen=True)
class ShapeOptions:
    """How shapes are compared."""

    clip: Annotated[str | None, typer.Option(help="Name or number of an animation; the first if not given.")] = None
    moments: Annotated[
        int, typer.Option(min=1, max=10_000, help="At how many moments at most shapes are compared.")
    ] = 8
    align: Annotated[
        Literal["none", "rigid", "similarity", "axes"],
        typer.Option(help="Bring the first surface onto the truth before; axes, as ActionBench, with a size each."),
    ] = "none"
    frame: Annotated[
        Literal["source", "world"],
        typer.Option(help="Of mesh files: source is that of the mesh that the workspace was made from."),
    ] = "source"
    threshold: Annotated[
        float, typer.Option(min=0, max=1e6, help="Distance in metres up to which a surface point is right.")
    ] = 0.02
    protocol: Annotated[
        Literal["own", "banmo"],
        typer.Option(help="banmo adds its tables' figures, each moment as the workspace's camera sees it."),
    ] = "own"

    def require_compared(self, compare: str) -> None:
        """Refuse what is about shapes where none are compared.

        Raises:
            UsageError: BANMo's figures are asked of views.
        """
        if self.protocol == "banmo" and compare == "views":
            raise UsageError("--protocol banmo is about shapes", f"Leave it or --compare {compare} out")


def evaluate(
    *,
    target: Annotated[Path, typer.Argument(help="A workspace with a scene, or a mesh file.")],
    scene: Annotated[str | None, typer.Option(help="Which scene; the newest if not given.")] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="A workspace, a mesh file or a folder of numbered ones; the workspace's own frames if not given."
        ),
    ] = None,
    against_scene: Annotated[
        str | None, typer.Option(help="Compare with a scene of that workspace rather than with its frames.")
    ] = None,
    compare: Annotated[
        Literal["auto", "views", "shape", "turntable"],
        typer.Option(help="auto is all that the truth tells; turntable asks CLIP alone, of any scene."),
    ] = "auto",
    views: ViewOptions,
    shapes: ShapeOptions,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a scene or a mesh: its views, surfaces, paths of points, and joints.

    Of views:
    psnr, ssim, iou; foreground_psnr, foreground_ssim: where either covers
    flicker: change between a fixed camera's neighbouring frames beyond the truth's
    second_difference: of such frames, where there is no truth
    lpips, lpips_unscaled: of colours in [-1, 1] as it should be, and in [0, 1]
    poses: of a body, whose they are; refine_poses: steps that fitted them to the compared frames before
    clip_i: cosine of render and frame; clip_f: of neighbouring renders
    clip_r: share of renders to which their own text is the nearest

    Of a turntable, 24 views over the background:
    clip_score: 100 times the cosine of views and --text, or what the workspace says that it shows; clip_r

    Of shapes, in metres:
    chamfer, accuracy, completeness, f_score, normal_consistency: of surfaces
    cd_3d, cd_4d: ActionBench's; --align is by moment, or as for the first
    cd_m: of points kept together since the first moment
    trajectory_error, joint_error: of points, and of joints, that belong together
    arap_energy: how far from rigid neighbourhoods move
    banmo_chamfer_cm, banmo_chamfer_percent, banmo_f1, banmo_f2, banmo_f5: with --protocol banmo, after each moment was
        brought to the truth's depth, turned and shifted; percent is of the truth's longest side
    """
    place = resolve_device(device)
    if compare == "turntable":
        _require_unsaid({"against": against, "against_scene": against_scene}, views, shapes)
        facts = _turn_around(target, scene, views, place)
    else:
        shapes.require_compared(compare)
        own, given = _workspace(target), _workspace(against or target)
        sources = _shapes((target, own, scene), (against, given, against_scene), shapes)
        facts = {"workspace": str(target), "scene": own.scene(scene).name} if own else {"mesh": str(target)}
        facts["against"] = str(against or target)
        facts |= _compare((own, scene), given, sources, compare, (views, shapes), place)
    (print_json if json else _print)(facts)


def _compare(
    judged: tuple[Workspace | None, str | None],
    given: Workspace | None,
    sources: tuple[ShapeSource, ShapeSource | None],
    compare: Literal["auto", "views", "shape"],
    options: tuple[ViewOptions, ShapeOptions],
    device: str,
) -> dict[str, Any]:
    """All that is wanted and that the truth tells, of a scene or a mesh."""
    (own, scene), (candidate, reference), (views, shapes) = judged, sources, options
    is_known = reference is not None or _has_truth(given)
    if given is not None and not is_known and (compare == "shape" or own is None or shapes.protocol == "banmo"):
        raise MissingInputError(
            f"{given.path} holds no shape to compare with",
            "Give --against a mesh file or a workspace that was made from a mesh, or --against-scene",
        )
    facts: dict[str, Any] = {}
    with ExitStack() as stack:
        for workspace in filter(None, (own, given)):
            stack.enter_context(naming_the_run(workspace))
        if own is not None and given is not None and reference is None and compare != "shape":
            facts |= _compare_views((own, scene), given, views, device)
        elif compare == "views" or views.judges:
            raise UsageError("views are those of a workspace's frames", "Leave --compare, --judges or --against out")
        if is_known and compare != "views":
            facts |= _compare_shapes(candidate, reference, given, shapes, device)
    return facts


def _shapes(
    judged: tuple[Path, Workspace | None, str | None],
    truth: tuple[Path | None, Workspace | None, str | None],
    options: ShapeOptions,
) -> tuple[ShapeSource, ShapeSource | None]:
    """Sources of what is judged and of what it should be, each of a path, its workspace if it is one, and a scene.

    What it should be is None where that is for the workspace's frames and its recorded truth to say.
    """
    from a4d.contents.shapes import ShapeSource

    (target, own, scene), (against, given, against_scene) = judged, truth
    if own is None and against is None:
        raise UsageError(f"{target} alone can be compared with nothing", "Give --against a workspace or a mesh file")
    home = own or given
    candidate = ShapeSource(own, scene) if own else ShapeSource(home, None, target, options.clip, options.frame)
    if given is None:
        return candidate, ShapeSource(home, None, against, options.clip, options.frame)
    return candidate, None if against_scene is None else ShapeSource(given, against_scene)


def _has_truth(workspace: Workspace | None) -> bool:
    from a4d.contents.shapes import has_ground_truth

    return workspace is not None and has_ground_truth(workspace)


def _workspace(path: Path) -> Workspace | None:
    """The workspace at a path, or None for a mesh file, there or not, or a folder of them."""
    from a4d.io.assets.sequences import sequence_files

    if path.is_dir():
        is_mesh = not (path / METADATA).exists() and bool(sequence_files(path))
    else:
        is_mesh = path.is_file() or SUFFIXES.get(path.suffix.lower()) == "mesh"
    return None if is_mesh else open_for_reading(path)


def _compare_views(
    judged: tuple[Workspace, str | None], truth: Workspace, options: ViewOptions, device: str
) -> dict[str, Any]:
    from a4d.contents.frames import load_frames
    from a4d.contents.learnt_cameras import require_same_cameras
    from a4d.evaluation.judges import chosen_judges, load_judges
    from a4d.evaluation.pose_refinement import refine_poses
    from a4d.evaluation.views import chosen_frames, compare_views
    from a4d.scenes.protocols import is_moving

    own, name = judged
    names = chosen_judges(options.judges)
    judges = load_judges(names, options.text or (), parse_overrides(options.weights or ()), device)
    scene, frames = load_scene(own.scene(name), device), load_frames(truth)
    if truth.metadata.asset is not None and frames.times is not None and not is_moving(scene):
        # A still scene of an animated mesh is of its first moment, and owes the others nothing.
        frames = frames.at(0)
    if own.path.resolve() == truth.path.resolve():
        # What lens a scene has learnt, and how cameras stray, is that of its own film.
        require_same_cameras(own, own.scene(name), scene)
        frames = frames.seen_by(scene)
    scene, facts = _posed(scene, own, truth, options.poses)
    if options.refine_poses:
        refine_poses(scene, frames, chosen_frames(frames, options.split)[1], options.refine_poses)
        facts["refine_poses"] = options.refine_poses
    level = BACKGROUNDS[options.background]
    named = {f"{family}_model": name for family, name in names.items()}
    compared = compare_views(scene, frames, options.split, level, judges)
    return {**named, **facts, "background": options.background, **compared}


OF_TURNTABLES = ("background", "judges", "text", "weights")
"""The options that a turntable hears besides the scene."""


def _require_unsaid(comparison: Mapping[str, object], *parts: ViewOptions | ShapeOptions) -> None:
    """Refuse what a turntable, which is compared with nothing, would not hear.

    Raises:
        UsageError: an option is said that is about frames or shapes.
    """
    said = [name for name, value in comparison.items() if value is not None]
    for part in parts:
        told = {each.name: (getattr(part, each.name), each.default) for each in fields(part)}
        said += [name for name, (value, default) in told.items() if name not in OF_TURNTABLES and value != default]
    if said:
        raise UsageError(
            f"a turntable does not hear --{said[0].replace('_', '-')}", "Leave it or --compare turntable out"
        )


def _turn_around(target: Path, name: str | None, options: ViewOptions, device: str) -> dict[str, Any]:
    """What CLIP finds in a scene from all sides."""
    from a4d.evaluation.judges import FAMILIES, chosen_judges, load_judges
    from a4d.evaluation.turntable import turntable_figures

    own = _workspace(target)
    if own is None:
        raise UsageError(f"{target} is no workspace with a scene", "Leave --compare turntable out")
    names = chosen_judges(options.judges)
    texts = tuple(dict.fromkeys(options.text or ())) or tuple(filter(None, [own.metadata.subject]))
    if names.keys() != {"clip"}:
        raise UsageError("a turntable is judged by CLIP, and by nothing else", f"Give --judges {FAMILIES['clip'][0]}")
    if not texts:
        raise UsageError(f"nothing says what {target} shows", "Give --text")
    clip = load_judges(names, (), parse_overrides(options.weights or ()), device).clip
    assert clip is not None
    with naming_the_run(own):
        folder = own.scene(name)
        level = BACKGROUNDS[options.background]
        figures = turntable_figures(load_scene(folder, device), clip, texts, level)
    facts = {"workspace": str(target), "scene": folder.name, "text": texts[0], "clip_model": names["clip"]}
    return {**facts, "background": options.background, **figures}


def _posed(
    scene: Scene, own: Workspace, truth: Workspace, poses: Literal["auto", "own", "against"]
) -> tuple[Scene, dict[str, Any]]:
    """The scene in the poses that are meant, and whose they are where it has any."""
    from a4d.contents.bodies import has_tracked_body, load_tracked_body
    from a4d.evaluation.sources import require_embodied
    from a4d.scenes.protocols import Embodied

    if poses == "auto":
        is_other = own.path.resolve() != truth.path.resolve()
        has_poses = isinstance(scene, Embodied) and has_tracked_body(truth)
        poses = "against" if is_other and has_poses else "own"
    if poses == "own":
        return scene, {"poses": poses} if isinstance(scene, Embodied) else {}
    posed = require_embodied(scene, "--poses").in_poses_of(load_tracked_body(truth))
    assert isinstance(posed, Scene)
    return posed, {"poses": poses}


def _compare_shapes(
    candidate: ShapeSource, reference: ShapeSource | None, given: Workspace | None, options: ShapeOptions, device: str
) -> dict[str, Any]:
    """Against another scene or file, or where there is none against what the given workspace has recorded."""
    from a4d.contents.shapes import ShapeSource, centimetres_of, load_shape, moments_of, true_shape, views_at
    from a4d.evaluation.alignment import align
    from a4d.evaluation.banmo import banmo_scores
    from a4d.evaluation.comparison import compare_shapes

    if reference is not None:
        times = moments_of(reference, options.moments, device)
        truth = load_shape(reference, times, device)
    else:
        assert given is not None
        truth, times = true_shape(given, options.clip, options.moments)
    shape = load_shape(candidate, times, device)
    facts: dict[str, Any] = {}
    alignment = None if options.align == "none" else options.align
    if alignment is not None:
        matrix = align(shape.surfaces[0], truth.surfaces[0], alignment)
        shape, facts = shape.moved(matrix), {"alignment": matrix.tolist()}
    facts |= compare_shapes(shape, truth, options.threshold, alignment)
    if options.protocol == "banmo":
        source = ShapeSource(given, clip=options.clip) if reference is None else reference
        cameras = views_at(_filmed(given or candidate.workspace), options.clip if reference is None else None, times)
        facts |= banmo_scores(shape, truth, cameras, centimetres_of(source))
    return facts


def _filmed(workspace: Workspace | None) -> Workspace:
    """The workspace whose cameras look at what is compared."""
    if workspace is None:
        raise UsageError("BANMo's protocol looks through the cameras of a film", "Compare with or in a workspace")
    return workspace


def _print(facts: dict[str, Any]) -> None:
    views, moments, alignment = (facts.pop(key, None) for key in ("views", "moments", "alignment"))
    if views is not None:
        columns = list(views[0])
        rows = [[format_value(view[column]) for column in columns] for view in views]
        mean = ["mean", *(format_value(facts.pop(column)) for column in columns[1:])]
        split, background = facts.pop("split"), facts.pop("background")
        of_split = "all" if split == "all" else f"the {split}"
        print_result(f"scene {facts['scene']} against {of_split} frames of {facts['against']} over {background}")
        if steps := facts.pop("refine_poses", 0):
            print_result(f"its poses were fitted to these very frames before, by {steps} steps each")
        print_table(columns, [*rows, mean])
    if moments is not None:
        columns = ["moment", *moments[0]]
        print_table(
            columns, [[str(index), *map(format_value, scores.values())] for index, scores in enumerate(moments)]
        )
    if alignment is not None:
        facts["alignment"] = " / ".join(" ".join(f"{value:.4g}" for value in row) for row in alignment[:3])
    if views is None or facts.keys() - {"workspace", "scene", "against"}:
        print_table(["figure", "value"], [[key, format_value(value)] for key, value in facts.items()])
