"""A person as another program followed it through the film of a workspace: its body at every moment, and the camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from a4d.errors import QualityError, UsageError
from a4d.geometry.bodies.root_pose import interpolated
from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.geometry.deformation.retargeting import PARTS, body_parts
from a4d.geometry.transforms import invert_rigid, transform_points
from a4d.intake.followed_body import FRAMES_PER_SECOND, body_of
from a4d.intake.pose_settings import PoseSettings
from a4d.intake.taken_images import as_taken_in, film_frames, film_size, staged_names, taken_images, with_held_out
from a4d.io.bodies.tracked_body import BODY_FILE, write_tracked_body
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.pictures.images import read_image
from a4d.io.trackers.person_track import PersonTrack
from a4d.io.trackers.track_reader import read_tracks
from a4d.workspace.transaction import Transaction

ON_SUBJECT = 0.5
"""Part of the joints on the subject of the frames below which a track is hardly of this film."""

SLENDER = ("hand", "toe")
"""Parts whose joints do not count there: a little beside the truth they lie beside the subject."""

LOOKED_AT, HALF = 16, 0.5
"""Moments at which that is looked at, and the alpha of an outline."""


def import_tracks(work: Transaction, config: PoseSettings) -> dict[str, Any]:
    """Write `body.npz` and `transforms.json` of the person that `--tracks` tells of.

    Raises:
        UsageError: the tracks have no such person, or know no camera.
        QualityError: the person was seen at none of the moments that the workspace has.
        InvalidInputError: the tracks are damaged, or ask to run something.
    """
    if config.tracks is None:
        raise UsageError("--method tracker needs the tracks", "Give --tracks FILE, or the folder of a sequence")
    workspace = work.workspace
    images = taken_images(workspace)
    track = _chosen(work, config, read_tracks(config.tracks, film_size(workspace, images)))
    if track.camera is None:
        raise UsageError(
            f"{config.tracks} knows no camera: it is motion without a film",
            "Let a body move by it: `a4d export WORKSPACE --motion FILE`",
        )
    moments, places = _seen(track.frames, film_frames(workspace, len(images)))
    if not len(moments):
        raise QualityError(f"person {track.person} of {config.tracks} is in none of the frames of {workspace.path}")
    seen = track.at(places)
    followed = body_of(seen, config)
    followed = followed.moved(followed.upright_from_world(seen.up))
    count = len(images)
    tracked, cameras = followed.filled(moments, count, 1 / (workspace.metadata.fps or FRAMES_PER_SECOND))
    write_tracked_body(work.output(BODY_FILE), tracked)
    lens, size = _filled_lens(seen, moments, count)
    capture = PosedCapture(
        images=staged_names(work, images),
        world_from_camera=cameras.numpy(),
        intrinsics=lens.numpy(),
        sizes=np.array([size] * count, np.int64),
        times=tracked.times.numpy(),
        up_axis="+y",
    )
    capture = as_taken_in(workspace, images, capture)
    write_transforms(work.output("transforms.json"), with_held_out(capture, config.test_every))
    share = _share_on_subject(images, capture, tracked, moments)
    if share < ON_SUBJECT:
        work.warn(f"{share:.0%} of the body lies on the subject: {config.tracks} may be of another film or person")
    facts = {"cameras": count, "method": "tracker", "tracked": len(moments), "person": track.person}
    return {**facts, "joints_on_subject": share}


def _filled_lens(track: PersonTrack, moments: Tensor, count: int) -> tuple[Tensor, tuple[int, int]]:
    """(count, 4) intrinsics at every moment, and the width and height in pixels that they are for."""
    assert track.camera is not None
    start, end, share = interpolated(track.camera.intrinsics.expand(len(moments), 4), moments, count)
    return torch.lerp(start, end, share[:, None].to(start)), track.camera.size


def _share_on_subject(images: list[Path], capture: PosedCapture, tracked: TrackedBody, moments: Tensor) -> float:
    """Which part of the body's larger joints the cameras see on what is opaque, over some of the moments."""
    some = moments[torch.linspace(0, len(moments) - 1, min(len(moments), LOOKED_AT)).round().long()]
    animated = tracked.at(some).animated
    large = [part in PARTS and part not in SLENDER for _, part in body_parts(animated.skeleton)]
    joints = animated.body.posed(animated.rotations, animated.shape, animated.translation).joints[:, large].double()
    hits = []
    for moment, places in zip(some.tolist(), joints, strict=True):
        seen = transform_points(invert_rigid(torch.from_numpy(capture.world_from_camera[moment])), places)
        lens = torch.from_numpy(capture.intrinsics[moment])
        column, row = (seen[:, :2] / seen[:, 2:] * lens[:2] + lens[2:]).floor().long().T
        picture = read_image(images[moment])
        alpha = torch.from_numpy(picture[..., 3] if picture.shape[2] == 4 else np.ones(picture.shape[:2], np.float32))
        height, width = alpha.shape
        is_inside = (seen[:, 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        hits.append(is_inside & (alpha[row.clamp(0, height - 1), column.clamp(0, width - 1)] > HALF))
    return float(torch.cat(hits).float().mean())


def _chosen(work: Transaction, config: PoseSettings, tracks: list[PersonTrack]) -> PersonTrack:
    """The person that the user names, else the one who was seen the longest."""
    told = ", ".join(f"{track.person} ({len(track)} frames)" for track in tracks[:8])
    if config.person is None:
        if len(tracks) > 1:
            work.warn(f"{config.tracks} tells of {told}; the first is taken, and --person names another")
        return tracks[0]
    for track in tracks:
        if track.person == config.person:
            return track
    raise UsageError(f"{config.tracks} has no person {config.person!r}", f"It has {told}")


def _seen(
    frames: Tensor,  # (T,) places in the film at which the person was seen
    wanted: Tensor,  # (F,) places in the film of the workspace's images
) -> tuple[Tensor, Tensor]:
    """(K,) moments of the workspace at which the person was seen, and (K,) which of its own these are."""
    place_of = {frame: place for place, frame in enumerate(frames.tolist())}
    pairs = [(moment, place_of[frame]) for moment, frame in enumerate(wanted.tolist()) if frame in place_of]
    return torch.tensor([moment for moment, _ in pairs]), torch.tensor([place for _, place in pairs])
