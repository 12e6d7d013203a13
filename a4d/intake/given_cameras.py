"""Where the cameras of films stand: a file says it, in the workspace's world or the mesh's own, or they form a ring."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from a4d.errors import InvalidInputError, UsageError
from a4d.geometry.cameras import Y_UP_FROM_Z_UP, Cameras, orbit
from a4d.geometry.mesh import Mesh
from a4d.intake.mesh_views import PlacedMesh
from a4d.intake.settings import GivenViews
from a4d.io.captures.multi_view_dataset import stored_cameras
from a4d.io.captures.multi_view_folder import MultiViewFolder
from a4d.io.files import read_json
from a4d.pixels import Array
from a4d.render.mesh import render_mesh

logger = logging.getLogger(__name__)

ELEVATION = 15.0
"""Degrees above the subject of cameras of which nobody says it: Animate3D's."""

HALF = 0.5
"""Alpha of an outline."""

CLEARER = 0.02
"""By which outlines must overlap more before cameras are taken to be in a mesh's own frame, unasked."""


@dataclass(frozen=True)
class ShownViews:
    """Films, as they are at their first moment.

    Args:
        clip: the films.
        size: width, height in pixels.
        at_rest: (H, W) alpha by view.
    """

    clip: MultiViewFolder
    size: tuple[int, int]
    at_rest: Mapping[int, Array]

    def overlaps(self, surface: Mesh, cameras: Cameras) -> dict[int, float]:
        """Intersection over union of a surface's outlines and the films', by view."""
        shares = {}
        for view, alpha in self.at_rest.items():
            seen = render_mesh(surface, cameras[view]).alpha[0, ..., 0].numpy() > HALF
            shown = alpha > HALF
            shares[view] = float((seen & shown).sum() / max((seen | shown).sum(), 1))
        return shares

    def mean_overlap(self, surface: Mesh, cameras: Cameras) -> float:
        """The mean over the views."""
        return sum(self.overlaps(surface, cameras).values()) / len(self.at_rest)


def given_cameras(config: GivenViews, shown: ShownViews, mesh: PlacedMesh | None) -> Cameras:
    """The cameras of all films, in the workspace's world: of the user's file, else of the clip's own, else on a ring.

    Args:
        config: says the file and its frame, or the ring.
        shown: what tells the frame where nobody says it.
        mesh: whose motion the films show; None where there is none.

    Returns:
        of a clip's own file, unless the user says otherwise, around the unit ball, as data sets have them.

    Raises:
        UsageError: the settings contradict each other.
        InvalidInputError: the file is damaged, or not of these views.
    """
    file = config.cameras or shown.clip.camera_file
    if config.cameras_frame is not None and (file is None or mesh is None):
        raise UsageError("--cameras-frame speaks of cameras in a file, beside a mesh", "Give --cameras and --videos")
    if file is None:
        return _ring(config, shown)
    stated = _stated_up(file)
    is_of_data_set = config.cameras is None and config.cameras_frame is None
    if mesh is None or is_of_data_set or config.cameras_frame == "world":
        _tell_up(file, stated, "+z is assumed, as nerfstudio has it")
        return _stored(file, shown)
    in_mesh = _stored(file, shown, _source_from_file(stated, mesh)).moved(mesh.world_from_source)
    if config.cameras_frame is None:
        in_world = _stored(file, shown)
        around, own = (shown.mean_overlap(mesh.surface, cameras) for cameras in (in_world, in_mesh))
        is_own = own > around + CLEARER
        logger.info(
            "%s is taken to be %s: outlines overlap by %.0f %%, else by %.0f %%; --cameras-frame says it otherwise",
            file, "in the mesh's own coordinates" if is_own else "around the unit ball",
            100 * (own if is_own else around), 100 * (around if is_own else own),
        )  # fmt: skip
        if not is_own:
            _tell_up(file, stated, "+z is assumed, as nerfstudio has it")
            return in_world
    _tell_up(file, stated, f"the mesh's own axes are assumed, {mesh.orientation.up} up")
    return in_mesh


def _stated_up(file: Path) -> str | None:
    up = read_json(file).get("up_axis")
    return up if up in ("+y", "+z") else None


def _tell_up(file: Path, stated: str | None, assumed: str) -> None:
    if stated is None:
        logger.info("%s does not say up_axis: %s", file, assumed)


def _source_from_file(stated: str | None, mesh: PlacedMesh) -> Tensor:
    """(4, 4) rotation from the axes that a file states to those of the mesh's file, which are taken to be the same."""
    turn = torch.eye(4, dtype=torch.float64)
    if stated is not None and stated != mesh.orientation.up:
        turn[:3, :3] = mesh.orientation.world_from_source.T
        turn = turn if stated == "+y" else turn @ Y_UP_FROM_Z_UP.double()
    return turn


def _stored(file: Path, shown: ShownViews, turn: Tensor | None = None) -> Cameras:
    """The file's cameras of the films that are there; it may have those of the whole ring."""
    clip = shown.clip
    if clip.ring > len(clip.views):
        try:
            return stored_cameras(file, clip.ring, *shown.size, turn)[torch.tensor(clip.places)]
        except InvalidInputError:
            logger.debug("%s has no cameras of %d views", file, clip.ring)
    return stored_cameras(file, len(clip.views), *shown.size, turn)


def _ring(config: GivenViews, shown: ShownViews) -> Cameras:
    if config.elevations is not None and len(config.elevations) > 1:
        raise UsageError("films have one ring of cameras", "Give one elevation, or the cameras with --cameras")
    told = shown.clip.angles() or (ELEVATION, 0.0)
    elevation = told[0] if config.elevations is None else config.elevations[0]
    azimuth = told[1] if config.azimuth is None else config.azimuth
    turns = azimuth + torch.tensor(shown.clip.places) * (360 / shown.clip.ring)
    elevations = torch.full((len(turns),), elevation)
    return orbit(turns, elevations, config.radius, config.fov, *shown.size)
