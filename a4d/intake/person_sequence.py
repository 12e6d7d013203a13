"""A data set's person taken in: frames cut out by its masks, and its cameras, in a world in which it stands upright."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a4d.errors import InvalidInputError
from a4d.intake.common import as_rgba, naming, same_size
from a4d.intake.followed_body import body_of, followed_body
from a4d.intake.pose_settings import PoseSettings
from a4d.intake.settings import CaptureSettings
from a4d.io.bodies.open_body import open_body
from a4d.io.bodies.tracked_body import BODY_FILE, write_tracked_body
from a4d.io.captures.canonical_frame import transform_capture
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import read_transforms, write_transforms
from a4d.io.captures.undistortion import without_distortion
from a4d.io.people.people_reader import read_people
from a4d.io.people.people_sequence import FRAMES_PER_SECOND, PeopleSequence
from a4d.io.pictures.images import write_image
from a4d.pixels import shrink
from a4d.workspace.transaction import Transaction


def take_people(work: Transaction, config: CaptureSettings) -> dict[str, Any]:
    """Write the frames with alpha, as pinholes would have taken them, and cameras with the splits of the papers.

    Raises:
        InvalidInputError: the sequence or a picture is damaged.
        MissingInputError: something that belongs to it is not there.
        BackendUnavailableError: a package that reads it is not installed.
    """
    sequence = read_people(work.workspace.source_path())
    capture = _written(work, config, sequence)
    world = followed_body(sequence.track, open_body()).upright_from_world(sequence.track.up)
    times = np.linspace(0, 1, len(capture)) if len(capture) > 1 else np.zeros(1)
    write_transforms(work.output("transforms.json"), transform_capture(replace(capture, times=times), world.numpy()))
    work.describe(frame_count=len(capture), fps=FRAMES_PER_SECOND)
    tests = sum(split == "test" for split in capture.splits or ())
    return {"frames": len(capture), "test_frames": tests, "masks": True}


def pose_people(work: Transaction, config: PoseSettings) -> dict[str, Any]:
    """Write `body.npz` of the poses that the data set has, in the world that the cameras were brought to.

    Raises:
        InvalidInputError: the sequence or the body is damaged.
    """
    workspace = work.workspace
    sequence = read_people(workspace.source_path())
    capture = read_transforms(workspace.require("transforms.json", f"Run `a4d preprocess {workspace.argument}` first"))
    if len(capture) != len(sequence) or capture.world_from_source is None:
        raise InvalidInputError(
            f"{workspace.path / 'transforms.json'} is not that of the sequence any more",
            f"Take it in anew: `a4d preprocess {workspace.argument} --force`",
        )
    own = np.eye(4) if sequence.capture.world_from_source is None else sequence.capture.world_from_source
    world = torch.from_numpy(capture.world_from_source @ np.linalg.inv(own))
    followed = body_of(sequence.track, config).moved(world)
    count = len(sequence)
    tracked, _ = followed.filled(torch.arange(count), count, 1 / FRAMES_PER_SECOND)
    write_tracked_body(work.output(BODY_FILE), tracked)
    return {"cameras": count, "method": "given", "tracked": count}


def _written(work: Transaction, config: CaptureSettings, sequence: PeopleSequence) -> PosedCapture:
    """Write the frames; the capture that names them."""
    straight, steps = without_distortion(sequence.capture)
    folder, names, sizes = work.replace("images"), list[Path](), list[tuple[int, int]]()
    for index, (pixels, mask) in enumerate(sequence.pictures()):
        path = sequence.capture.images[index]
        with naming(path, f"frame {index}"):
            pixels = as_rgba(pixels[..., :3], same_size(mask, pixels.shape[:2], path))
            step = steps[index]
            pixels = shrink(pixels if step is None else step.apply(pixels), config.max_size)
        names.append(folder / f"{index:05d}.png")
        write_image(names[-1], pixels)
        sizes.append((pixels.shape[1], pixels.shape[0]))
    scale = np.array(sizes) / straight.sizes
    return replace(
        straight,
        images=tuple(names),
        intrinsics=straight.intrinsics * np.concatenate([scale, scale], axis=1),
        sizes=np.array(sizes, np.int64),
        lenses=None,
    )
