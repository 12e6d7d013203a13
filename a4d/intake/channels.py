"""Channels of the frames that were taken in: depth, flow and features, estimated from the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from a4d.console import progress
from a4d.errors import UsageError
from a4d.estimation.dense_sift import DenseSift
from a4d.estimation.depth import load_depth_estimator
from a4d.estimation.features import FeatureExtractor, load_feature_extractor, principal_components
from a4d.estimation.flow import Estimator, film_flows, inverse_search
from a4d.estimation.person.estimators import load_film_estimator
from a4d.estimation.person.litert import PERSON_MODEL
from a4d.estimation.raft.estimator import load_raft
from a4d.intake.keypoints import imported_keypoints
from a4d.intake.person_cutter import write_found
from a4d.intake.settings import ChannelSettings
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.depth_maps import nearness
from a4d.io.frame_channels import write_features, write_flow
from a4d.io.keypoints import KEYPOINTS_FILE, Landmarks, gathered
from a4d.io.pictures.images import read_image, write_depth
from a4d.pixels import SOLID, WHITE, Array, composite
from a4d.priors.catalogue import find
from a4d.priors.placement import Placement
from a4d.priors.weights_folder import WeightsFolder
from a4d.running.weights import located_weights
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction

MOST_SAMPLES = 64
"""Frames, spread over all of them, from which the principal components of features are found."""


Item = TypeVar("Item")


class StagedFrames(Sequence["Array"]):
    """Frames (H, W, 4) that a run has written, sRGB in [0, 1] with straight alpha; read when they are asked for.

    Args:
        files: of the frames.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> Array: ...

    @overload
    def __getitem__(self, index: slice) -> StagedFrames: ...

    def __getitem__(self, index: int | slice) -> Array | StagedFrames:
        if isinstance(index, slice):
            return StagedFrames(self.files[index])
        image = read_image(self.files[index])
        return image if image.shape[2] == 4 else np.concatenate([image, np.ones_like(image[..., :1])], axis=-1)

    def on_white(self, index: int) -> Tensor:
        """(H, W, 3) what a network is shown."""
        return torch.from_numpy(composite(self[index], WHITE))


def make_channels(work: Transaction, config: ChannelSettings, runtime: Runtime) -> dict[str, Any]:
    """Write the channels that are wanted of the frames that a run has taken in.

    Returns:
        facts for the record: `flow_valid`, the share of the subject where flow can be believed, `features_explained`,
        the share of the features' variance that is kept, and `keypoints_found`, that of frames that show the person.

    Raises:
        UsageError: flow is wanted, and there is no film.
        InvalidInputError: there are fewer patches than channels of features are wanted, nobody is found, or a file of
            keypoints is damaged or of other frames.
        MissingInputError: there is no such file of keypoints.
        BackendUnavailableError: weights are damaged, or of another architecture.
    """
    frames = StagedFrames(sorted(work.output("images").glob("*.png")))
    facts: dict[str, Any] = {}
    if config.depth_model is not None:
        _write_depth(work, frames, _weights(work, config, config.depth_model, runtime), runtime)
    if config.flow is not None:
        facts["flow_valid"] = _write_flow(work, frames, config, runtime)
    if config.features is not None:
        facts["features_explained"] = _write_features(work, frames, config, runtime)
    # Who cut the person out has seen more of each frame than is left of it.
    if config.keypoints is not None and not (
        config.keypoints == PERSON_MODEL and work.output(KEYPOINTS_FILE).is_file()
    ):
        facts["keypoints_found"] = _write_keypoints(work, frames, config, runtime)
    return facts


def _weights(work: Transaction, config: ChannelSettings, name: str, runtime: Runtime) -> WeightsFolder:
    """A model's folder, which the record will name."""
    folder = located_weights(work, name, config.weights)
    return WeightsFolder(folder, Placement(runtime.device), find(name).options)


def _write_depth(work: Transaction, frames: StagedFrames, weights: WeightsFolder, runtime: Runtime) -> None:
    """How near each pixel of the subject is, from 0 to 1 within each frame."""
    estimator, folder = load_depth_estimator(weights), work.replace("depth")
    for index in _counted("depth", range(len(frames)), runtime):
        values = estimator(frames.on_white(index)).numpy()
        is_subject = frames[index][..., 3] > SOLID
        write_depth(folder / frames.files[index].name, nearness(values, is_subject, estimator.larger))


def _flow_estimator(work: Transaction, config: ChannelSettings, runtime: Runtime) -> Estimator:
    """What finds the flow between two frames."""
    if config.flow_model is None:
        return inverse_search
    return load_raft(_weights(work, config, config.flow_model, runtime))


def _write_flow(work: Transaction, frames: StagedFrames, config: ChannelSettings, runtime: Runtime) -> float:
    """The flow of each film at every stride that it is long enough for; the share of the subject where it is known."""
    strides = config.flow_strides
    films = [StagedFrames([frames.files[index] for index in film]) for film in _films(work, len(frames))]
    if not any(len(film) > min(strides) for film in films):
        raise UsageError(
            "--flow is found between the frames of a film by one camera, and there are no two so far apart",
            "Give a film of more frames, or leave it out: `--set flow=null`",
        )
    estimator = _flow_estimator(work, config, runtime)
    folder, known, shown = work.replace("flow"), 0, 0
    for film in films:
        total = 2 * sum(max(len(film) - stride, 0) for stride in strides)
        for found in _counted("flow", film_flows(film, strides, estimator), runtime, total):
            direction = "forward" if found.step > 0 else "backward"
            file = folder / f"{direction}_{abs(found.step)}" / f"{film.files[found.start].stem}.npz"
            file.parent.mkdir(exist_ok=True)
            write_flow(file, found.flow, found.valid)
            known += int(found.valid.sum())
            shown += int((film[found.start][..., 3] > SOLID).sum())
    return known / max(shown, 1)


def _films(work: Transaction, count: int) -> list[list[int]]:
    """The frames by each camera that stays, by time: of a video all, else as the cameras' file says.

    Where it names no camera, those to train on are the film of one that moves, if each was taken at a time of its own.
    """
    path = work.output("transforms.json")
    if not path.is_file():
        source = work.workspace.metadata.source
        return [list(range(count))] if source is not None and source.kind == "video" else []
    capture = read_transforms(path)
    if capture.times is None:
        return []
    if capture.views is None:
        splits = capture.splits or ("train",) * count
        film = sorted((index for index in range(count) if splits[index] == "train"), key=capture.times.__getitem__)
        is_film = len(film) > 1 and len(np.unique(capture.times[film])) == len(film)
        return [film] if is_film and capture.clips is None else []
    clips = capture.clips or ("",) * count
    films: dict[tuple[str, str], list[int]] = {}
    for index in sorted(range(count), key=capture.times.__getitem__):
        films.setdefault((clips[index], capture.views[index]), []).append(index)
    return list(films.values())


def _feature_extractor(work: Transaction, config: ChannelSettings, runtime: Runtime) -> FeatureExtractor | DenseSift:
    """What tells features of a picture's patches."""
    if config.feature_model is None:
        return DenseSift()
    return load_feature_extractor(_weights(work, config, config.feature_model, runtime))


def _write_features(work: Transaction, frames: StagedFrames, config: ChannelSettings, runtime: Runtime) -> float:
    """The features of each frame in their principal components; the share of the variance that is kept."""
    extractor, folder = _feature_extractor(work, config, runtime), work.replace(f"features/{config.features}")
    chosen = sorted({round(place * (len(frames) - 1) / MOST_SAMPLES) for place in range(MOST_SAMPLES + 1)})
    samples = (extractor(frames.on_white(index)).flatten(0, 1) for index in _counted("components", chosen, runtime))
    components = principal_components(samples, config.feature_channels)
    for index in _counted("features", range(len(frames)), runtime):
        reduced = components(extractor(frames.on_white(index)))
        write_features(folder / f"{frames.files[index].stem}.npz", reduced.numpy())
    return components.explained


def _write_keypoints(work: Transaction, frames: StagedFrames, config: ChannelSettings, runtime: Runtime) -> float:
    """The keypoints of a person in all frames, each film for itself; the share of frames that show the person."""
    films = _films(work, len(frames)) or [[index] for index in range(len(frames))]
    name = config.keypoint_model
    if name is None:
        keypoints = imported_keypoints(work, config, frames.files, films)
    else:
        names, estimator = load_film_estimator(_weights(work, config, name, runtime), config.person)
        seen: list[Landmarks | None] = [None] * len(frames)
        for film in films:
            pictures = (frames[index] for index in _counted("keypoints", film, runtime))
            for index, landmarks in zip(film, estimator(pictures), strict=True):
                seen[index] = landmarks
        keypoints = gathered(names, seen)
    return write_found(work, keypoints, config.person)


def _counted(what: str, items: Iterable[Item], runtime: Runtime, total: int | None = None) -> Iterator[Item]:
    """The items, with a bar of how many there were."""
    with progress(runtime.console) as bar:
        task = bar.add_task(what, total=len(items) if isinstance(items, Sized) else total)
        for item in items:
            yield item
            bar.advance(task)
