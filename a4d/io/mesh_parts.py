"""The surfaces of mesh files as trimesh reads them, with every failure turned into a refusal with its reason."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a4d.errors import A4DError, InvalidInputError, MissingInputError

SUFFIXES = (".glb", ".gltf", ".obj", ".off", ".ply", ".stl")
ADVICE = {
    ".fbx": "In Blender, import the FBX file and export it as glTF",
    ".blend": "In Blender, export it as glTF",
    ".zip": "Unpack it and name the mesh file inside",
}

# Without a handler Python prints a library's warnings to standard error by itself; what matters becomes an error here.
logging.getLogger("trimesh").addHandler(logging.NullHandler())


def require_mesh_file(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> None:
    """Check by its name that a file may be read as a mesh.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is of another format; the remedy says what to do with it.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise MissingInputError(f"{path} does not exist")
    if suffix not in suffixes:
        advice = ADVICE.get(suffix, f"Convert it to one of {', '.join(suffixes)}")
        raise InvalidInputError(f"{path}: meshes are not read from {suffix or 'files without a suffix'}", advice)


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Refuse a file on which a foreign reader fails, or that it reads into something that is no mesh.

    Raises:
        InvalidInputError: names the reason.
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except A4DError:
        raise
    # A damaged file makes a foreign reader fail in any way at all.
    except Exception as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InvalidInputError(f"{path} cannot be read as a mesh: {reason}") from error


def load_parts(path: Path) -> list[tuple[Any, NDArray[np.float64]]]:
    """The triangle meshes of a file.

    Args:
        path: of one of `SUFFIXES`.

    Returns:
        `trimesh.Trimesh` and (4, 4) world_from_part each; none of them without faces.

    Raises:
        InvalidInputError: the file is damaged, or holds no triangles.
    """
    import trimesh

    parts = []
    with refusing_damage(path):
        # With a material, trimesh drops the vertex colours of an OBJ file.
        options: dict[str, Any] = {"skip_materials": True} if _is_obj_with_colours(path) else {}
        scene = trimesh.load_scene(path, process=False, **options)
        for node in scene.graph.nodes_geometry:
            world_from_part, name = scene.graph[node]
            geometry = scene.geometry[name]
            if isinstance(geometry, trimesh.Trimesh) and len(geometry.faces):
                parts.append((geometry, np.asarray(world_from_part, np.float64)))
    if not parts:
        raise InvalidInputError(f"{path} holds no triangles", "Points and lines alone make no surface")
    return parts


def _is_obj_with_colours(path: Path) -> bool:
    """Whether the first vertex of an OBJ file has a colour and no vertex a texture coordinate."""
    if path.suffix.lower() != ".obj":
        return False
    content = path.read_bytes()
    vertex = re.search(rb"^v[ \t]+(.*)$", content, re.MULTILINE)
    return vertex is not None and len(vertex[1].split()) >= 6 and not re.search(rb"^vt\s", content, re.MULTILINE)


def is_placeholder(image: Any) -> bool:
    """Whether trimesh made an image up because the file names no texture, or one that is not there."""
    from trimesh.visual.material import color_image

    return image.size == (2, 2) and image.mode == "RGBA" and image.tobytes() == color_image().tobytes()


def colour_fractions(colours: NDArray) -> NDArray[np.float64]:
    """(V, 3) in [0, 1] of stored colours (V, 3 or 4), integers or floating point."""
    scale = float(np.iinfo(colours.dtype).max) if colours.dtype.kind in "iu" else 1.0
    return np.asarray(colours, np.float64)[:, :3].clip(0.0, scale) / scale


def require_surface(
    path: Path,
    vertices: NDArray[np.float64],  # (V, 3)
    faces: NDArray[np.int64],  # (F, 3)
) -> None:
    """Check that triangles make a surface.

    Raises:
        InvalidInputError: a face names no vertex, or none has a positive area.
    """
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise InvalidInputError(f"{path} has a face that names vertices which do not exist")
    corners = vertices[faces]
    if not np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).any():
        raise InvalidInputError(f"{path} holds no triangle of positive area")
