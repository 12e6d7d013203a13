"""The surface of a scene, one and the same for whoever asks: export writes it, and evaluation judges it."""

from __future__ import annotations

from dataclasses import replace

from a4d.contents.front_picture import front_picture
from a4d.export.made_surface import MadeSurface
from a4d.export.moments import Moments
from a4d.export.surface_options import TEXTURED_FACES, SurfaceOptions
from a4d.export.texturing import FrontPicture
from a4d.geometry.mesh import Mesh
from a4d.render.footprint import pixel_sizes
from a4d.scenes.extraction import extent
from a4d.scenes.protocols import Skinned, Splatting, has_mesh, is_moving
from a4d.scenes.scene import Scene
from a4d.workspace.workspace import Workspace

PHOTOGRAPHED = ("images", "capture")
"""Kinds of sources whose scenes are fitted to pictures from several sides."""


def is_photographed(workspace: Workspace) -> bool:
    """Whether its scenes are fitted to pictures from several sides."""
    source = workspace.metadata.source
    return source is not None and source.kind in PHOTOGRAPHED


def shows_pictures(scene: Scene) -> bool:
    """Whether a scene has no surface but that which its pictures tell of."""
    return isinstance(scene, Splatting) and not isinstance(scene, Skinned) and not has_mesh(scene)


def as_pictures_tell(
    workspace: Workspace,
    scene: Scene,
    wanted: SurfaceOptions,
    picture: FrontPicture | None,
    is_textured: bool = True,
) -> SurfaceOptions:
    """How a still scene becomes a surface that holds what the pictures that it was fitted to tell.

    Args:
        workspace: of the scene.
        scene: without a surface of its own.
        wanted: what is decided already.
        picture: the one that the scene was fitted to; None of several.
        is_textured: whether the surface carries a picture, else colours of its vertices.
    """
    texel = None
    if picture is not None and is_textured:
        texel, wanted = float(pixel_sizes(picture.camera)), replace(wanted, faces=wanted.faces or TEXTURED_FACES)
    elif is_photographed(workspace) and isinstance(scene, Splatting) and scene.footprint is not None:
        texel = scene.footprint if is_textured else None
        wanted = wanted.as_fine_as_photographs(scene.footprint, extent(scene))
    return replace(wanted, texel=texel)


def surface_of(workspace: Workspace, scene: Scene, time: float) -> Mesh:
    """The scene's own mesh, or the one that export makes where nothing else is asked for; on the CPU.

    Args:
        workspace: of the scene.
        scene: still or moving.
        time: in [0, 1] of the clip.

    Raises:
        InvalidInputError: the scene shows no surface.
    """
    options = SurfaceOptions()
    if shows_pictures(scene) and not is_moving(scene):
        options = as_pictures_tell(workspace, scene, options, front_picture(workspace))
    return MadeSurface(workspace.name, scene, Moments((time,)), options).mesh
