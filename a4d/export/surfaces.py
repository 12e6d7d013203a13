"""Surfaces as GLB, OBJ and sequences of files, each read back and compared before it counts as written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from a4d.errors import QualityError
from a4d.export.subject import Subject, Surface
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.material import PICTURE_FIELDS, Material
from a4d.geometry.assets.placement import placed
from a4d.geometry.assets.posing import deform
from a4d.geometry.mesh import Mesh, is_closed_across_seams, stretched_share
from a4d.geometry.transforms import transform_points
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.assets.obj import MaterialLibrary, write_obj, write_textured_obj
from a4d.io.assets.ply import write_ply_mesh
from a4d.metrics import psnr
from a4d.render.asset import AssetRenderer
from a4d.render.shading import decode_srgb, encode_srgb
from a4d.render.texture import MipMap
from a4d.scenes.extraction import turntable_cameras
from a4d.scenes.protocols import Articulated

COMPARED_MOMENTS = 12
"""Of a clip, at which a rig is compared with the scene of loose bones that it was made of, and with its rest."""

TORN = 2.0
"""Times its length at rest, beyond which an edge is pulled apart: by their own clips bodies have few such edges."""

CHECKED_MOMENTS = 5
"""Of an animation that is read back, evenly spread and between the keys."""

LIKENESS_SIZE = 256
"""Pixels of a side of the renders by which a file is compared with the scene."""

LARGEST_DEVIATION = 1e-5
"""Of a vertex that is read back, as a share of the surface's size."""


def write_glb(path: Path, subject: Subject) -> dict[str, Any]:
    """One binary glTF file with materials, pictures and motion.

    Returns:
        `faces`, and whether it is `closed`; of a moving one `keys` of its animation, and `bones` or `morph_targets`;
        of one whose own faces change how its `registration` went; of one of loose bones how far its joints take the
        surface from where the scene has it; of one that another motion drives which share is `stretched`; and of one
        that was made of what the scene shows `glb_psnr` in dB, which says how much the file's surface looks like it.

    Raises:
        QualityError: what is read back differs.
    """
    asset = subject.asset
    write_asset(path, asset)
    check_glb(path, asset)
    posed = deform(asset)
    facts = {"faces": len(posed.faces), "closed": is_closed_across_seams(posed.mesh), **_described_motion(asset)}
    facts |= _described_registration(subject) | _described_rig(subject) | _described_stretch(subject)
    return facts | ({"glb_psnr": _likeness(path, subject)} if subject.is_likeness else {})


def _likeness(path: Path, subject: Subject) -> float:
    """PSNR in dB, over black, of the file against the scene, from four sides at the first moment."""
    asset, time = read_gltf(path), subject.moments.times[0]
    if subject.mesh_from_world is not None:
        asset = placed(asset, torch.linalg.inv(subject.mesh_from_world))
    renderer, surface = AssetRenderer(asset), deform(asset, asset.clips[0] if asset.clips else None)
    cameras = turntable_cameras(subject.viewing.radius_at(time), 4, 15.0, LIKENESS_SIZE)
    pairs = [
        (renderer.render(surface, cameras[index]).rgba, subject.viewing.picture(cameras[index], time))
        for index in range(len(cameras))
    ]
    shown, truth = (torch.stack([rgba[..., :3] * rgba[..., 3:] for rgba in side]) for side in zip(*pairs, strict=True))
    return min(psnr(shown, truth), 99.0)


def check_glb(path: Path, asset: Asset) -> None:
    """Compare a file with the asset that it should hold, by our own reader over time and by trimesh at rest.

    Raises:
        QualityError: a vertex, a clip, a material or a face is not what it should be.
    """
    again = read_gltf(path)
    clips = [clip for clip in asset.clips if clip.channels]
    if [clip.name for clip in again.clips] != [clip.name for clip in clips]:
        raise QualityError(f"{path.name} reads back with {len(again.clips)} of {len(clips)} animations")
    for clip, read in zip([None, *clips], [None, *again.clips], strict=True):
        moments = [0.0] if clip is None else np.linspace(0, clip.duration, CHECKED_MOMENTS).tolist()
        for moment in moments:
            before, after = deform(asset, clip, moment), deform(again, read, moment)
            _require_equal(path, before.vertices, after.vertices)
            _require_same_materials(path, Surface(before, asset.materials), Surface(after, again.materials))
    _check_faces(path, len(before.faces))


def write_obj_file(path: Path, subject: Subject) -> dict[str, Any]:
    """One OBJ file of the first moment, with a material library and pictures where there are any.

    Raises:
        QualityError: what is read back differs.
    """
    surface = subject.surface_at(0)
    _write_obj(path, surface, _library(path.with_suffix(".mtl"), surface.materials))
    _check_faces(path, len(surface.posed.faces))
    return {"faces": len(surface.posed.faces)}


def write_sequence(folder: Path, subject: Subject, suffix: Literal[".obj", ".ply"]) -> dict[str, Any]:
    """A numbered file per moment; OBJ files of one topology share their materials and pictures.

    Returns:
        `obj_frames` or `ply_frames`, and whether all have the `same_topology`.

    Raises:
        QualityError: a file that is read back differs.
    """
    library, count = None, 0
    for count, surface in enumerate(subject.surfaces(), start=1):
        path = folder / f"frame_{count - 1:05d}{suffix}"
        if suffix == ".ply":
            write_ply_mesh(path, coloured(surface))
        else:
            if library is None or library.materials is not surface.materials:
                name = "materials" if subject.has_fixed_topology else path.stem
                library = _library(folder / f"{name}.mtl", surface.materials)
            _write_obj(path, surface, library)
        if count in (1, len(subject.moments.times)):
            _check_faces(path, len(surface.posed.faces))
    return {f"{suffix[1:]}_frames": count, "same_topology": subject.has_fixed_topology}


def _described_motion(asset: Asset) -> dict[str, Any]:
    if not asset.clips:
        return {}
    keys = max((len(channel.curve.times) for clip in asset.clips for channel in clip.channels), default=0)
    facts: dict[str, Any] = {"animations": len(asset.clips), "keys": keys}
    if asset.skins:
        facts["bones"] = max(len(skin.joints) for skin in asset.skins)
    targets = max((len(mesh.morph_names) for mesh in asset.meshes), default=0)
    return facts | ({"morph_targets": targets} if targets else {})


def _described_registration(subject: Subject) -> dict[str, Any]:
    """Per moment and in all: distances in percent of the diagonal, and shares that are flipped or lie double."""
    if subject.registration is None:
        return {}
    fits, faces = subject.registration.fits, len(subject.registration.template.faces)
    return {
        "registration": [{"moment": moment, **asdict(fit)} for moment, fit in enumerate(fits)],
        "registration_p95": max(max(fit.covering, fit.covered) for fit in fits),
        "registration_flipped": max(fit.flipped for fit in fits) / faces,
        "registration_doubled": max(fit.doubled for fit in fits),
    }


@torch.no_grad()
def _described_rig(subject: Subject) -> dict[str, Any]:
    """`rig_mean` and `rig_p99` over vertices and some moments, in shares of the diagonal at rest."""
    if not isinstance(subject.scene, Articulated) or not subject.asset.skins:
        return {}
    frame = torch.eye(4, dtype=torch.float64) if subject.mesh_from_world is None else subject.mesh_from_world
    rest, moments = deform(subject.asset).vertices.double(), subject.moments
    chosen = np.unique(np.linspace(0, len(moments.times) - 1, COMPARED_MOMENTS).round().astype(int)).tolist()
    bones = subject.scene.bones().radii
    at_rest = transform_points(torch.linalg.inv(frame), rest).to(bones)
    truth = subject.scene.warped(at_rest, [moments.times[index] for index in chosen]).double().cpu()
    posed = [deform(subject.asset, subject.clip, index * moments.seconds_per_frame).vertices for index in chosen]
    apart = (torch.stack(posed) - transform_points(frame, truth)).norm(dim=-1) / (rest.amax(0) - rest.amin(0)).norm()
    return {"rig_mean": float(apart.mean()), "rig_p99": float(np.quantile(apart.numpy(), 0.99))}


def _described_stretch(subject: Subject) -> dict[str, Any]:
    """`stretched`: the share of the surface's edges that another motion makes much longer than at rest."""
    if not subject.is_driven or subject.clip is None:
        return {}
    rest = deform(subject.asset).mesh
    moments = np.linspace(0, subject.clip.duration, COMPARED_MOMENTS).tolist()
    posed = (deform(subject.asset, subject.clip, time).vertices for time in moments)
    return {"stretched": max(stretched_share(rest, vertices, TORN) for vertices in posed)}


def _library(path: Path, materials: tuple[Material, ...]) -> MaterialLibrary | None:
    """Written where there is a picture: otherwise colours of vertices say more than a material."""
    return MaterialLibrary.write(path, materials) if any(map(_has_pictures, materials)) else None


def _write_obj(path: Path, surface: Surface, library: MaterialLibrary | None) -> None:
    if library is not None:
        write_textured_obj(path, surface.posed, library)
    else:
        write_obj(path, coloured(surface))


def _has_pictures(material: Material) -> bool:
    maps = (material.base_colour_map, material.metallic_roughness_map, material.normal_map, material.emission_map)
    return any(picture is not None for picture in maps)


def coloured(surface: Surface) -> Mesh:
    """The surface with the base colours of its materials at its vertices: factor, picture and vertex colour."""
    posed = surface.posed
    linear = decode_srgb(posed.colours[:, :3])
    for index, material in enumerate(surface.materials):
        used = posed.faces[posed.materials == index].unique()
        factor = linear.new_tensor(material.base_colour[:3]).expand(len(used), 3)
        picture = material.base_colour_map
        if picture is not None and picture.uv_set < len(posed.uvs):
            transform = picture.transform.to(posed.uvs)
            places = posed.uvs[picture.uv_set, used] @ transform[:, :2].T + transform[:, 2]
            texels = MipMap.of(decode_srgb(picture.image[..., :3].to(linear)))
            factor = factor * texels.sample(places, torch.zeros(len(used)), picture.wrap)
        linear[used] = linear[used] * factor
    return Mesh(posed.vertices, posed.faces, encode_srgb(linear.clamp(0, 1)))


def _require_equal(path: Path, expected: Tensor, found: Tensor) -> None:
    if expected.shape != found.shape:
        raise QualityError(f"{path.name} reads back with {len(found)} of {len(expected)} vertices")
    size = float((expected.amax(0) - expected.amin(0)).norm())
    deviation = float((expected - found).norm(dim=1).max()) if len(expected) else 0.0
    if not deviation <= LARGEST_DEVIATION * max(size, 1e-12):
        raise QualityError(f"{path.name} reads back with vertices that are {deviation:.2g} from their places")


def _require_same_materials(path: Path, expected: Surface, found: Surface) -> None:
    used = expected.posed.materials.unique().tolist()
    for before, after in zip(used, found.posed.materials.unique().tolist(), strict=True):
        old, new = expected.materials[before], found.materials[after]
        for name in PICTURE_FIELDS:
            picture, again = getattr(old, name), getattr(new, name)
            is_lost = (picture is None) != (again is None)
            if is_lost or (picture is not None and picture.image.shape[:2] != again.image.shape[:2]):
                raise QualityError(f"{path.name} reads back with another {name.replace('_', ' ')}")
        if old.extensions.keys() != new.extensions.keys():
            raise QualityError(f"{path.name} reads back with other extensions of material {old.name!r}")


def _check_faces(path: Path, expected: int) -> None:
    import trimesh

    scene = trimesh.load_scene(path, process=False)
    faces = sum(len(part.faces) for part in scene.dump() if isinstance(part, trimesh.Trimesh))
    if faces != expected:
        raise QualityError(f"{path.name} reads back with {faces} of {expected} faces in trimesh")
