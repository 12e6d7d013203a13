"""Whether a workspace keeps the promises of `FORMAT.md`."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a4d.errors import A4DError, OutsideError, WorkspaceError
from a4d.io.containment import contained
from a4d.io.files import read_json
from a4d.io.tensor_files import read_tensor_header
from a4d.workspace.entries import ENTRIES, METADATA, PARTIAL, RUN_NAME, STAGES, misplaced
from a4d.workspace.freshness import examine
from a4d.workspace.journal import JOURNAL, open_for_reading
from a4d.workspace.record import RECORD, Record, read_document
from a4d.workspace.remedies import command_of
from a4d.workspace.workspace import Workspace

SIZE_KEYS = ("w", "h")
FOCAL_KEYS = ("fl_x", "camera_angle_x")
PATH_KEYS = ("file_path", "mask_path", "depth_file_path")


@dataclass
class Report:
    """What a check found; a workspace without problems may be read by every stage.

    Args:
        problems: broken promises.
        warnings: what is allowed and may surprise.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def validate(path: Path) -> Report:
    """Check everything that can be checked without computing, after completing an interrupted commit.

    Where something leads out of the folder nothing else is looked at.

    Raises:
        MissingInputError: the folder does not exist or is no workspace.
        WorkspaceError: `workspace.yaml` is damaged or of a future format version.
    """
    report = Report(list(misplaced(path)) if os.path.lexists(path / METADATA) else [])
    if report.problems:
        return report
    workspace = Workspace.open(path)
    try:
        workspace = open_for_reading(path)
    except WorkspaceError as error:
        report.problems.append(error.problem)
    _check_entries(workspace, report)
    _check_source(workspace, report)
    _check_frames(workspace, report)
    _check_channels(workspace, report)
    _check_ground_truth(workspace, report)
    _check_body(workspace, report)
    _check_records(workspace, report)
    for scene in sorted(workspace.path.glob("scenes/*/")):
        _check_scene(scene, report)
    return report


def _check_entries(workspace: Workspace, report: Report) -> None:
    for entry in sorted(workspace.path.iterdir()):
        if entry.name not in ENTRIES and not entry.name.startswith("."):
            report.warnings.append(f"{entry.name}: not part of the format; no stage reads it")


def _check_source(workspace: Workspace, report: Report) -> None:
    source = workspace.metadata.source
    if source is not None and source.path and not (workspace.path / source.path).exists():
        report.problems.append(f"{source.path}: the source named in workspace.yaml is missing")


def _check_channels(workspace: Workspace, report: Report) -> None:
    from a4d.io.frame_channels import channel_gaps, channel_problems
    from a4d.io.keypoints import keypoint_problems

    if report.problems:
        return
    sizes = _sizes_of_frames(workspace.path)
    report.problems += channel_problems(workspace.path, sizes)
    report.problems += keypoint_problems(workspace.path, len(sizes))
    report.warnings += channel_gaps(workspace.path, sizes)


def _sizes_of_frames(root: Path) -> dict[str, tuple[int | None, ...]]:
    """Width and height of each frame, by its image's name without suffix; of the images where there are no cameras."""
    path = root / "transforms.json"
    if not path.is_file():
        return {image.stem: (None, None) for image in sorted((root / "images").glob("*"))}
    content = read_json(path)
    return {
        Path(frame["file_path"]).stem: tuple(frame.get(key, content.get(key)) for key in SIZE_KEYS)
        for frame in content["frames"]
    }


def _check_ground_truth(workspace: Workspace, report: Report) -> None:
    from a4d.io.ground_truth import read_ground_truth

    for shown in workspace.metadata.asset.rendered if workspace.metadata.asset else []:
        try:
            read_ground_truth(contained(workspace.path, shown.ground_truth))
        except A4DError as error:
            report.problems.append(error.problem)


def _check_body(workspace: Workspace, report: Report) -> None:
    from a4d.io.bodies.tracked_body import BODY_FILE, read_tracked_body

    path = workspace.path / BODY_FILE
    if report.problems or not path.is_file():
        return
    try:
        moments, tracked = _moments_of_frames(workspace.path), read_tracked_body(path)
    except A4DError as error:
        report.problems.append(error.problem)
        return
    if moments and moments != len(tracked):
        report.problems.append(f"{BODY_FILE}: poses at {len(tracked)} moments, and transforms.json has {moments}")


def _moments_of_frames(root: Path) -> int:
    """How many moments the frames show; 0 where there are no cameras."""
    path = root / "transforms.json"
    return len({frame.get("time", 0) for frame in read_json(path)["frames"]}) if path.is_file() else 0


def _check_frames(workspace: Workspace, report: Report) -> None:
    path = workspace.path / "transforms.json"
    if not path.is_file():
        return
    try:
        content = read_json(path)
        frames = content["frames"]
    except A4DError as error:
        report.problems.append(error.problem)
        return
    except KeyError:
        report.problems.append("transforms.json: no JSON object with a list 'frames'")
        return
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        report.problems.append("transforms.json: 'frames' is no list of objects")
        return
    points = content.get("ply_file_path")
    if isinstance(points, str):
        try:
            contained(workspace.path, points)
        except OutsideError as error:
            report.problems.append(f"transforms.json: {error.problem}")
    count = workspace.metadata.frame_count
    if count is not None and count != len(frames):
        report.problems.append(f"transforms.json: {len(frames)} frames, and workspace.yaml says {count}")
    for index, frame in enumerate(frames):
        problem = _frame_problem(workspace.path, content, frame)
        if problem:
            report.problems.append(f"transforms.json: frame {index}: {problem}")


def _frame_problem(root: Path, content: dict[str, Any], frame: dict[str, Any]) -> str:
    """What is wrong with one frame: its pose, its time or its image; empty where nothing is."""
    if not _is_rigid(frame.get("transform_matrix")):
        return "'transform_matrix' is no rigid 4x4 matrix"
    focal = [frame.get(key, content.get(key)) for key in FOCAL_KEYS]
    if not any(isinstance(value, (int, float)) and math.isfinite(value) and value > 0 for value in focal):
        return f"no positive {' or '.join(FOCAL_KEYS)}"
    time = frame.get("time", 0.0)
    if not isinstance(time, (int, float)) or not 0 <= time <= 1:
        return f"'time' is {time!r}, not in [0, 1]"
    return _named_files_problem(root, frame, [frame.get(key, content.get(key)) for key in SIZE_KEYS])


def _named_files_problem(root: Path, frame: dict[str, Any], size: list[Any]) -> str:
    if not isinstance(frame.get("file_path"), str):
        return "no 'file_path'"
    try:
        image, *_ = [contained(root, frame[key]) for key in PATH_KEYS if isinstance(frame.get(key), str)]
    except OutsideError as error:
        return error.problem
    return _image_problem(image, size) if image.is_file() else f"{frame['file_path']} is missing"


def _is_rigid(matrix: Any) -> bool:
    import numpy as np

    try:
        values = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    if values.shape != (4, 4) or not np.isfinite(values).all():
        return False
    rotation = values[:3, :3]
    # The entries of a rotation are at most 1; larger ones might overflow below.
    orthonormal = np.abs(rotation).max() < 2 and np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
    return bool(orthonormal and np.linalg.det(rotation) > 0 and np.allclose(values[3], [0, 0, 0, 1], atol=1e-6))


def _image_problem(image: Path, size: list[Any]) -> str:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(image) as opened:
            found = opened.size
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        return f"{image.name} cannot be read: {error}"
    expected = tuple(size)
    if None not in expected and expected != found:
        return f"{image.name} is {found[0]}x{found[1]}, and transforms.json says {expected[0]}x{expected[1]}"
    return ""


def _check_records(workspace: Workspace, report: Report) -> None:
    records: dict[str, Record] = {}
    for folder in sorted((workspace.path / STAGES).glob("*/")):
        if not RUN_NAME.fullmatch(folder.name.removesuffix(PARTIAL)):
            report.warnings.append(f"stages/{folder.name}: not the name of a run; no stage reads it")
            continue
        if folder.suffix == PARTIAL:
            state = (
                "an interrupted commit; the next command completes it" if (folder / JOURNAL).exists() else "unfinished"
            )
            report.warnings.append(f"stages/{folder.name}: {state}")
            continue
        if not (folder / RECORD).is_file():
            report.problems.append(f"stages/{folder.name}: no {RECORD}")
            continue
        try:
            records[folder.name] = read_document(folder / RECORD, Record)
        except A4DError as error:
            report.problems.append(error.problem)
    for name, record in records.items():
        if record.name != name:
            report.problems.append(f"stages/{name}: its record is of a run named '{record.name}'")
        findings = examine(workspace, record, records)
        anew = f"`{command_of(workspace, record)}` makes it anew"
        report.problems += [f"{path}: missing, though '{name}' wrote it; {anew}" for path in findings.missing]
        report.problems += [f"{path}: not what '{name}' wrote; {anew}" for path in findings.edited]
        report.warnings += [f"stages/{name}: out of date: {change}" for change in findings.inputs]


def _check_scene(folder: Path, report: Report) -> None:
    from a4d.config import load_yaml

    name = f"scenes/{folder.name}"
    try:
        if "kind" not in load_yaml(folder / "scene.yaml"):
            report.problems.append(f"{name}/scene.yaml: no 'kind'")
    except A4DError as error:
        report.problems.append(error.problem)
    tensors = folder / "tensors.safetensors"
    if tensors.is_file():
        try:
            read_tensor_header(tensors)
        except A4DError as error:
            report.problems.append(error.problem)
