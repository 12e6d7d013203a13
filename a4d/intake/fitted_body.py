"""The body that a film shows, fitted to its keypoints and masks: its shape, its poses, and a camera for each frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.console import progress
from a4d.errors import MissingInputError, UsageError
from a4d.estimation.bodies.active_body import find_active_joints
from a4d.estimation.bodies.figures import Agreement, agreement, coverage, outlined
from a4d.estimation.bodies.fit import STEPS, Fit, fit_body
from a4d.estimation.bodies.landmarks import find_landmarks
from a4d.estimation.bodies.shapes import GENDERS, ShapePrior, phenotype_of_age, shape_prior
from a4d.estimation.bodies.sightings import Sightings, height_of
from a4d.estimation.bodies.silhouettes import TALL
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.phenotypes import PhenotypeBody
from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.intake.chosen_body import chosen_body, model_of
from a4d.intake.followed_body import FRAMES_PER_SECOND, FollowedBody
from a4d.intake.pose_settings import ADULT, PoseSettings
from a4d.intake.poses import imported_capture
from a4d.intake.taken_images import as_taken_in, film_size, filmed_rectangle, staged_names, taken_images, with_splits
from a4d.io.bodies.tracked_body import BODY_FILE, write_tracked_body
from a4d.io.captures.canonical_frame import transform_capture
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import read_transforms, write_transforms
from a4d.io.keypoints import KEYPOINTS_FILE, Keypoints, read_keypoints
from a4d.io.pictures.images import read_image, write_image
from a4d.running.quality import Gate, judge
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

PREVIEWS = 6

FACING = np.diag([1.0, -1.0, -1.0, 1.0])
"""world_from_camera of a camera of which nothing is known: at the origin, its up ours."""

GATES = (
    Gate("reprojection_percent", 2.5, 6.0, "the body misses its keypoints by {value:.1f} % of its height"),
    Gate("silhouette_iou", 0.75, 0.5, "the body and its masks overlap by only {value:.2f}", at_least=True),
    Gate("tracked_share", 0.8, 0.3, "only {tracked} of {frames} frames show the body", at_least=True),
)


def estimate_body(work: Transaction, config: PoseSettings, runtime: Runtime) -> dict[str, Any]:
    """Write `body.npz` and `transforms.json` of the person that the frames show.

    Raises:
        MissingInputError: there are no keypoints, no file of the body, or no masks.
        UsageError: frames come from several sides or through a bent lens, or what is said of a body does not apply to
            it.
        InvalidInputError: the body lacks limbs, or its file is damaged.
        QualityError: no frame shows a trunk.
    """
    workspace = work.workspace
    images = taken_images(workspace)
    keypoints = read_keypoints(_keypoints(workspace), len(images))
    capture, up = _cameras(work, config, images)
    if work.note("straightened"):
        raise UsageError(
            "the cameras are those of straightened images, and the keypoints of images as a bent lens took them",
            f"Straighten the film before `a4d preprocess {workspace.argument} --force`",
        )
    body = chosen_body(config.body)
    sightings = _sightings(workspace, images, keypoints, capture)
    with _told(runtime) as told:
        fit = fit_body(body, _prior(body, config), sightings, told)
    unit = np.diag([fit.unit, fit.unit, fit.unit, 1.0])
    measured = transform_capture(_staged(work, images, capture), unit)
    followed = _followed(body, fit, sightings, torch.from_numpy(measured.world_from_camera))
    world = followed.upright_from_world(up)
    seconds = 1 / (workspace.metadata.fps or FRAMES_PER_SECOND)
    seen = sightings.is_seen.nonzero()[:, 0]
    tracked, _ = followed.moved(world).filled(seen, len(images), seconds)
    placed = replace(transform_capture(measured, world.numpy()), times=tracked.times.numpy())
    if up is None:
        placed = replace(placed, world_from_source=None)
    write_tracked_body(work.output(BODY_FILE), tracked)
    write_transforms(work.output("transforms.json"), with_splits(placed, config.test_every, tracked.is_tracked))
    figures = _figures(body, fit.shape, tracked, replace(sightings, cameras=placed.cameras()))
    judge(work, figures, GATES)
    _write_previews(work, images, tracked, placed)
    return {"cameras": len(images), "method": "body", **figures}


def _keypoints(workspace: Workspace) -> Path:
    argument = workspace.argument
    return workspace.require(
        KEYPOINTS_FILE,
        "Find them with `a4d preprocess FILM --matting person --weights blazepose=FOLDER`, take over a file's with "
        f"`a4d preprocess {argument} --keypoints FILE --force`, or import another program's bodies with "
        f"`a4d estimate-pose {argument} --tracks FILE`",
    )


def _cameras(work: Transaction, config: PoseSettings, images: list[Path]) -> tuple[PosedCapture, Tensor | None]:
    """A camera of each image, and the (3,) up of its world where that is known.

    Raises:
        UsageError: an image has no camera of its own, several were taken at once, or the images show a mesh.
    """
    workspace, source = work.workspace, work.workspace.metadata.source
    upward = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    if config.cameras is not None:
        return _of_one_film(imported_capture(work, config), images), upward
    if source is not None and source.kind == "mesh":
        raise UsageError("the frames show a mesh, whose joints are known", "Fit a body to a film or to photographs")
    if source is not None and source.kind == "capture":
        path = workspace.require("transforms.json", f"Run `a4d preprocess {workspace.argument}` first")
        return _of_one_film(read_transforms(path), images), upward
    size = film_size(workspace, images)
    focal = max(size) / 2 / math.tan(math.radians(config.fov) / 2)
    count = len(images)
    whole = PosedCapture(
        images=tuple(images),
        world_from_camera=np.tile(FACING, (count, 1, 1)),
        intrinsics=np.tile(np.array([focal, focal, size[0] / 2, size[1] / 2]), (count, 1)),
        sizes=np.array([size] * count, np.int64),
    )
    return as_taken_in(workspace, images, whole), None


def _staged(work: Transaction, images: list[Path], capture: PosedCapture) -> PosedCapture:
    """The same with the files as `transforms.json` will name them; masks are the images' alpha."""
    depths, folder = capture.depths, work.output("transforms.json").parent / "depth"
    if depths is not None:
        depths = tuple(None if depth is None else folder / depth.name for depth in depths)
    return replace(capture, images=staged_names(work, images), depths=depths, masks=None)


def _of_one_film(capture: PosedCapture, images: list[Path]) -> PosedCapture:
    """A capture's cameras in the order of the images.

    Raises:
        UsageError: an image has no camera, or several were taken at once.
    """
    places = {image.name: place for place, image in enumerate(capture.images)}
    missing = [image.name for image in images if image.name not in places]
    if missing:
        raise UsageError(f"{missing[0]} has no camera", "Give a camera of every frame, or none")
    ordered = capture.subset([places[image.name] for image in images])
    if ordered.times is not None and len(np.unique(ordered.times)) < len(ordered):
        raise UsageError("the frames were taken from several sides at once", "Give the film of one camera")
    return ordered


def _prior(body: Body, config: PoseSettings) -> ShapePrior:
    """What the user says of the person.

    Raises:
        UsageError: gender or age of a body that knows of neither.
    """
    if isinstance(body, PhenotypeBody):
        return shape_prior(body, {"gender": GENDERS[config.gender], "age": phenotype_of_age(config.age)})
    if config.gender != "neutral" or config.age != ADULT:
        raise UsageError(f"--gender and --age say nothing of {config.body}", "They apply to --body anny")
    return shape_prior(body, {})


def _sightings(workspace: Workspace, images: list[Path], keypoints: Keypoints, capture: PosedCapture) -> Sightings:
    points = torch.from_numpy(keypoints.points)
    confidence = torch.from_numpy(keypoints.visibility) * torch.from_numpy(keypoints.found)[:, None]
    scale = min(1.0, TALL / height_of(points, confidence))
    return Sightings(
        cameras=capture.cameras(),
        names=keypoints.names,
        points=points,
        confidence=confidence,
        space=None if keypoints.world is None else torch.from_numpy(keypoints.world),
        masks=torch.from_numpy(np.stack([_mask(image, scale) for image in images])),
        filmed=filmed_rectangle(workspace, capture),
    )


def _mask(image: Path, scale: float) -> NDArray[np.float32]:
    """(h, w) the alpha of an image, reduced.

    Raises:
        MissingInputError: it has none.
    """
    picture = read_image(image)
    if picture.shape[2] < 4:
        raise MissingInputError(
            f"{image} does not tell the person from what is around them",
            "Give masks, or film them and cut them out: `a4d preprocess FILM --matting person`",
        )
    alpha = picture[..., 3]
    size = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
    return cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32)


@contextmanager
def _told(runtime: Runtime) -> Iterator[Callable[[int, float], None]]:
    """Shows how far a fit has come."""
    with progress(runtime.console) as bar:
        task = bar.add_task("fit body", total=STEPS)
        yield lambda done, loss: bar.update(task, completed=done, losses=f"loss {loss:.3f}")


def _followed(body: Body, fit: Fit, sightings: Sightings, world_from_camera: Tensor) -> FollowedBody:
    """The fitted body in the frames that show it."""
    seen = sightings.is_seen
    animated = AnimatedBody(body, fit.shape, fit.rotations[seen], fit.translation[seen], 1.0)
    return FollowedBody(animated, torch.linalg.inv(world_from_camera[seen]), model_of(body))


def _figures(body: Body, shape: Tensor, tracked: TrackedBody, sightings: Sightings) -> dict[str, Any]:
    """How the body agrees with the frames: over all, and in each."""
    active = find_active_joints(body)
    landmarks = find_landmarks(body, active, sightings.names)
    seen = sightings.of(landmarks.names)
    animated = tracked.animated
    points = landmarks.body.posed(animated.rotations[:, active.joints], shape, animated.translation).vertices
    found = agreement(animated, points, seen)
    reprojection = float(found.reprojection.nanmean())
    return {
        "frames": len(seen),
        "tracked": int(seen.is_seen.sum()),
        "tracked_share": float(seen.is_seen.float().mean()),
        "reprojection_px": reprojection,
        "reprojection_percent": 100 * reprojection / seen.height,
        "silhouette_iou": float(found.overlap.nanmean()),
        "moments": _moments(tracked, found),
    }


def _moments(tracked: TrackedBody, found: Agreement) -> list[dict[str, float]]:
    columns = (tracked.times.tolist(), found.reprojection.tolist(), found.overlap.tolist())
    return [
        {"time": time, "reprojection_px": missed, "silhouette_iou": overlap}
        for time, missed, overlap in zip(*columns, strict=True)
    ]


def _write_previews(work: Transaction, images: list[Path], tracked: TrackedBody, capture: PosedCapture) -> None:
    """Draw the body's outline over some of the frames."""
    cameras = capture.cameras()
    for frame in dict.fromkeys(np.linspace(0, len(images) - 1, PREVIEWS).round().astype(int).tolist()):
        covered = coverage(tracked.animated, cameras[frame], frame)
        write_image(work.previews / f"body_{frame:05d}.png", outlined(read_image(images[frame]), covered))
