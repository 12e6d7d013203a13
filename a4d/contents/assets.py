"""The mesh that a workspace was made from, in the world that its frames show."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.errors import MissingInputError
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.placement import placed
from a4d.io.assets.asset_reader import read_asset
from a4d.io.ground_truth import GroundTruth, read_ground_truth
from a4d.scenes.carried_surface import CarriedSurface
from a4d.workspace.source import SourceAsset
from a4d.workspace.workspace import Workspace


def load_asset(workspace: Workspace) -> Asset:
    """The source of a mesh's workspace with its materials, skins and clips, placed in the workspace's world.

    Raises:
        MissingInputError: the workspace comes from something else, or has not been preprocessed.
        InvalidInputError: the source cannot be read any more.
    """
    return placed(read_asset(workspace.source_path()), world_from_source(workspace))


def still_asset(workspace: Workspace, clip: str | None = None) -> Asset:
    """The surface as it stands in the first of the frames of a clip, without skins and clips.

    Args:
        workspace: of a mesh.
        clip: name or number of a rendered animation; what was rendered first where it is None.

    Raises:
        MissingInputError: the workspace comes from something else, or has not been preprocessed.
    """
    asset = load_asset(workspace)
    facts = _facts(workspace)
    wanted = facts.clip_name(clip)
    shown = next((entry for entry in facts.rendered if wanted in (None, entry.clip)), None)
    if shown is None or shown.clip is None:
        return CarriedSurface.still(asset).asset
    return CarriedSurface.still(asset, asset.clip(shown.clip), shown.seconds[0]).asset


def world_from_source(workspace: Workspace) -> Tensor:
    """(4, 4) float64 similarity from the source's own world to the workspace's; its inverse places results back.

    Raises:
        MissingInputError: the workspace comes from something else, or has not been preprocessed.
    """
    return torch.tensor(_facts(workspace).world_from_source, dtype=torch.float64)


def load_ground_truth(workspace: Workspace, clip: str | None = None) -> GroundTruth:
    """What is known exactly of the subject at the moments that the frames show.

    Args:
        workspace: of a mesh.
        clip: name or number of a rendered animation; the first that was rendered, or the rest pose, where it is None.

    Raises:
        MissingInputError: the workspace comes from something else, or this clip was not rendered.
        InvalidInputError: the file is damaged.
    """
    facts = _facts(workspace)
    wanted = facts.clip_name(clip)
    rendered = [entry for entry in facts.rendered if wanted in (None, entry.clip)]
    if not rendered:
        raise MissingInputError(
            f"{workspace.path} shows no clip '{clip}'",
            f"Run `a4d preprocess {workspace.argument} --clip '{clip}' --force`",
        )
    return read_ground_truth(
        workspace.require(rendered[0].ground_truth, f"Run `a4d preprocess {workspace.argument} --force`")
    )


def _facts(workspace: Workspace) -> SourceAsset:
    facts = workspace.metadata.asset
    if facts is None:
        raise MissingInputError(
            f"{workspace.path} holds no mesh that was placed in its world",
            f"Run `a4d preprocess {workspace.argument}`, or make a workspace from a mesh",
        )
    return facts
