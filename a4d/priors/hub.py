"""Models on the Hugging Face hub and in its cache: the files of a repository that are needed, and fetching them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from a4d.errors import BackendUnavailableError
from a4d.io.weight_files import PYTORCH_SUFFIXES

PLAIN_FOLDERS = ("scheduler", "tokenizer", "feature_extractor")
PLAIN_SUFFIXES = {".json", ".txt", ".model"}
WEIGHT_SUFFIXES = {".safetensors", *PYTORCH_SUFFIXES}

_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)(?P<parts>(?:\.fp16)?(?:-\d+-of-\d+)?(?:\.fp16)?)"
    r"\.(?P<suffix>safetensors|bin)"
)


@dataclass(frozen=True)
class Source:
    """One repository that holds a model.

    Args:
        repository: `owner/name`.
        revision: commit, or None for the newest.
    """

    repository: str
    revision: str | None = None


@dataclass(frozen=True)
class Offer:
    """What is about to be fetched.

    Args:
        source: from where.
        commit: that the revision stands for.
        files: paths within the repository.
        bytes: of these files.
    """

    source: Source
    commit: str
    files: tuple[str, ...]
    bytes: int


def needed_files(listed: Iterable[str], components: Sequence[str]) -> list[str]:
    """The files that a model is loaded from, out of all that a repository holds.

    Of each component's weights one form is taken: safetensors before pickles, half precision before single.

    Args:
        listed: paths within the repository.
        components: folders with weights, of which an empty name is the repository's root, or single files of weights.

    Raises:
        BackendUnavailableError: a component has no weights.
    """
    paths = [PurePosixPath(path) for path in listed]
    needed = [path for path in paths if path.parent.name in PLAIN_FOLDERS and path.suffix in PLAIN_SUFFIXES]
    for component in components:
        if is_file(component) and PurePosixPath(component) in paths:
            needed.append(PurePosixPath(component))
            continue
        inside = [path for path in paths if path.parent == PurePosixPath(component)]
        forms: dict[tuple[bool, bool], list[PurePosixPath]] = {}
        for path in inside:
            if match := _WEIGHTS.fullmatch(path.name):
                forms.setdefault((match["suffix"] == "bin", ".fp16" not in match["parts"]), []).append(path)
        if not forms:
            raise BackendUnavailableError(f"it holds no weights of {component or 'the model'}")
        needed += [path for path in inside if path.suffix == ".json"] + forms[min(forms)]
    return sorted({path.as_posix() for path in needed})


def is_file(component: str) -> bool:
    """Whether a component is a single file of weights and not a folder."""
    return PurePosixPath(component).suffix in WEIGHT_SUFFIXES


def cached(sources: Iterable[Source], components: Sequence[str]) -> Path | None:
    """The folder in the hub's cache that holds all components of a model, from the first source that has one."""
    from huggingface_hub import try_to_load_from_cache

    for source in sources:
        first = PurePosixPath(components[0])
        known = first if is_file(components[0]) else first / "config.json"
        found = try_to_load_from_cache(source.repository, known.as_posix(), revision=source.revision)
        if isinstance(found, str):
            folder = Path(found).parents[len(known.parts) - 1]
            if is_whole(folder, components):
                return folder
    return None


def is_whole(folder: Path, components: Sequence[str]) -> bool:
    """Whether a folder has weights of every component, and no part of them is missing."""
    for component in components:
        if is_file(component) and (folder / component).is_file():
            continue
        names = [path.name for path in (folder / component).glob("*") if _WEIGHTS.fullmatch(path.name)]
        counts = {int(match[1]) for name in names if (match := re.search(r"-of-(\d+)", name))}
        if not names or any(len(names) < count for count in counts):
            return False
    return True


def fetch(sources: Iterable[Source], components: Sequence[str], announce: Callable[[Offer], None]) -> Path:
    """Download a model into the hub's cache from the first source that has it; one cut short goes on where it stopped.

    Args:
        sources: in the order in which they are tried.
        components: folders with weights.
        announce: is told what will be fetched, before it is.

    Raises:
        BackendUnavailableError: no source has it, with the reason of each.
    """
    from huggingface_hub import HfApi, snapshot_download

    reasons = []
    for source in sources:
        try:
            info = HfApi().model_info(source.repository, revision=source.revision, files_metadata=True)
            sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
            files = needed_files(sizes, components)
            announce(Offer(source, str(info.sha), tuple(files), sum(sizes[file] for file in files)))
            return Path(snapshot_download(source.repository, revision=source.revision, allow_patterns=files))
        except Exception as error:  # whatever the network or the hub answers, the next mirror may do better
            reason = str(error).strip().splitlines() or [type(error).__name__]
            reasons.append(f"{source.repository}: {reason[0]:.100}")
    raise BackendUnavailableError("; ".join(reasons))


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
