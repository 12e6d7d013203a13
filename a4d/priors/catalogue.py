"""The catalogue of priors by name, where their weights lie on this machine, and how to fetch them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from a4d.config import Config, load_yaml, parse, unknown_key
from a4d.console import format_size
from a4d.errors import BackendUnavailableError, ConfigError, UsageError
from a4d.io.files import hash_file
from a4d.priors import hub
from a4d.priors.hub import Offer, Source
from a4d.priors.placement import Placement
from a4d.priors.recipes import priors_of
from a4d.priors.sampling_settings import SamplingSettings

if TYPE_CHECKING:
    from a4d.priors.image_to_shape import ImageToShape
    from a4d.priors.protocol import Prior


class Entry(Config):
    """A model that recipes and commands may name; the fields are explained in `catalogue.yaml`."""

    kind: str
    repositories: tuple[str, ...] = ()
    packaged: str | None = None
    released: str | None = None
    revision: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")
    parts: dict[str, str] = Field(default_factory=dict)
    licence: str
    commercial: bool = True
    bytes: int
    components: tuple[str, ...] = Field(min_length=1)
    released_as: dict[str, str] = Field(default_factory=dict)
    sha256: dict[str, str] = Field(default_factory=dict)
    words: bool = True
    options: dict[str, Any] = Field(default_factory=dict)
    sampling: SamplingSettings | None = None

    @property
    def terms(self) -> str:
        """The licence, and whether it forbids commercial use."""
        return self.licence if self.commercial else f"{self.licence}, not for commercial use"

    @property
    def sources(self) -> list[Source]:
        """The repositories in order; the revision is a commit of the first."""
        return [Source(name, None if index else self.revision) for index, name in enumerate(self.repositories)]

    def remedy(self, name: str) -> str:
        """How its weights come to this machine."""
        if self.released is not None:
            return f"Take them from {self.released}, and name their folder with --weights {name}=PATH"
        return f"Fetch them with `a4d weights fetch {name}`, or name a folder with --weights {name}=PATH"

    @model_validator(mode="after")
    def _has_a_source(self) -> Entry:
        if not self.repositories and self.packaged is None and self.released is None:
            raise ValueError("an entry needs repositories, a folder of the package, or a release")
        return self


@lru_cache(maxsize=1)
def catalogue() -> dict[str, Entry]:
    """All entries by name."""
    values = load_yaml(Path(__file__).with_name("catalogue.yaml"))
    return {name: parse(Entry, entry, name) for name, entry in values.items()}


def find(name: str) -> Entry:
    """One entry.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in catalogue():
        raise unknown_key(f"prior: {name}", name, catalogue())
    return catalogue()[name]


USES = {
    "judge": "It judges what was made: `a4d evaluate --judges`",
    "depth": "It tells the depth of frames: `a4d preprocess --depth-model`",
    "features": "It tells features of frames: `a4d preprocess --features`",
    "image-to-shape": "It makes a shape of one picture: `a4d fit-static`",
    "flow": "It tells the flow of films: `a4d preprocess --flow`",
    "matting": "It cuts subjects out of pictures: `a4d preprocess --matting`",
    "keypoints": "It finds people in frames: `a4d preprocess --keypoints`",
}
"""What the kinds of entries are for that are no priors."""


def require_kind(name: str, kind: str, beside: Collection[str] = ()) -> Entry:
    """One entry of a kind.

    Args:
        name: of the entry.
        kind: that it must be of.
        beside: what could have been named in place of an entry.

    Raises:
        ConfigError: there is none of that name, or it is of another kind.
    """
    known = sorted([*beside, *(each for each, other in catalogue().items() if other.kind == kind)])
    if name not in catalogue():
        raise unknown_key(f"{kind}: {name}", name, known)
    entry = find(name)
    if entry.kind != kind:
        raise ConfigError(f"{name} is of kind {entry.kind}, not {kind}", f"Choose {' or '.join(known)}")
    return entry


def at_hand(kind: str, overrides: Mapping[str, Path] | None = None) -> str | None:
    """The first entry of a kind whose weights are on this machine, or named by the user; None where there is none."""
    of_kind = {name: entry for name, entry in catalogue().items() if entry.kind == kind}
    return next((name for name, entry in of_kind.items() if name in (overrides or {}) or cached(entry)), None)


def with_bases(names: Iterable[str]) -> list[str]:
    """Names of the catalogue, or of recipes that stand for all that they use, followed by what those are built of."""
    chosen: list[str] = []
    for name in names:
        # What ships with the package needs no fetching.
        used = [prior for prior in priors_of(name, catalogue()) if find(prior).packaged is None]
        for prior in used or [name]:
            chosen += [prior, *find(prior).parts.values()]
    return list(dict.fromkeys(chosen))


def parse_overrides(assignments: Iterable[str]) -> dict[str, Path]:
    """Folders by name from `NAME=PATH` options.

    Raises:
        UsageError: an option is not of that form, or the path is no folder.
        ConfigError: a name is not in the catalogue.
    """
    folders = {}
    for assignment in assignments:
        name, separator, path = assignment.partition("=")
        if not separator or not path:
            raise UsageError(f"--weights {assignment} is not of the form NAME=PATH")
        find(name)
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise UsageError(f"--weights {name}: there is no folder {path}")
        folders[name] = folder
    return folders


def locate(name: str, overrides: Mapping[str, Path] | None = None) -> Path:
    """The folder of a prior's weights: the one named by the user, else that of any of its mirrors in the hub's cache.

    Nothing is fetched.

    Raises:
        BackendUnavailableError: the weights are not on this machine; the remedy is the command that fetches them.
    """
    entry = find(name)
    if overrides and name in overrides:
        return overrides[name]
    folder = cached(entry)
    if folder is None:
        raise BackendUnavailableError(
            f"the weights of {name} are not on this machine ({format_size(entry.bytes)}, {entry.terms})",
            entry.remedy(name),
        )
    return folder


def cached(entry: Entry) -> Path | None:
    """The folder of an entry in the hub's cache with all of its components, of its revision if it has one.

    What ships with the package lies there.
    """
    if entry.packaged is not None:
        folder = Path(__file__).parent / entry.packaged
        return folder if any(folder.glob("*.safetensors")) else None
    return hub.cached(entry.sources, entry.components)


def fetch(name: str, announce: Callable[[Offer], None] = lambda offer: None) -> Path:
    """Download a prior's weights into the hub's cache, from the first of its repositories that has them.

    Args:
        name: of the catalogue.
        announce: is told what will be fetched, before it is.

    Raises:
        BackendUnavailableError: the hub is out of reach, forbidden by HF_HUB_OFFLINE, or has none of the repositories.
    """
    entry = find(name)
    if entry.packaged is not None:
        return Path(__file__).parent / entry.packaged
    if entry.released is not None:
        raise BackendUnavailableError(f"{name} lies on no hub", entry.remedy(name))
    if hub.is_offline():
        raise BackendUnavailableError(
            f"HF_HUB_OFFLINE is set, so that {name} cannot be fetched",
            f"Unset it, or run `a4d weights fetch {name}` where there is a network",
        )
    try:
        folder = hub.fetch(entry.sources, entry.components, announce)
    except BackendUnavailableError as error:
        raise BackendUnavailableError(
            f"{name} cannot be fetched ({error.problem})",
            f"Check the network and HF_TOKEN, or name a folder with --weights {name}=PATH",
        ) from None
    _require_hashes(name, folder)
    return folder


def check(name: str, overrides: Mapping[str, Path] | None = None) -> Path:
    """The folder of a prior's weights, after a look at every file of it; tensors are not read into memory.

    Raises:
        BackendUnavailableError: the weights are missing, or a file is cut short or damaged.
    """
    folder = locate(name, overrides)
    # Nothing above needs torch: what is not here is said at once.
    from a4d.io.weight_files import check_weights
    from a4d.priors.weights_folder import WeightsFolder, weight_files

    entry = find(name)
    if entry.released is not None:
        _require_hashes(name, folder)
        return folder
    if entry.packaged is not None:
        for file in weight_files(folder):
            check_weights(file)
        return folder
    for component in entry.components:
        single = folder / component
        if hub.is_file(component):
            # What was trained here has another name than what was released, and what was put here no folder of its own.
            files = [single] if single.is_file() else weight_files(single.parent if single.parent.is_dir() else folder)
        else:
            WeightsFolder(folder).config(component)
            files = weight_files(single)
        for file in files:
            check_weights(file)
    if name not in (overrides or {}):
        _require_hashes(name, folder)
    return folder


def stored_file(name: str, folder: Path, component: str) -> Path:
    """The file of a component, under its own name or the one that it was released under.

    Raises:
        BackendUnavailableError: the folder has neither.
    """
    entry = find(name)
    places = [folder / each for each in (component, entry.released_as.get(component)) if each is not None]
    for place in places:
        if place.is_file():
            return place
    raise BackendUnavailableError(f"{folder} has no {' or '.join(place.name for place in places)}", entry.remedy(name))


def _require_hashes(name: str, folder: Path) -> None:
    """Check the files of which the catalogue knows the content.

    Raises:
        BackendUnavailableError: one of them is missing, or is another.
    """
    entry = find(name)
    for component, expected in entry.sha256.items():
        file = stored_file(name, folder, component)
        if not hash_file(file).startswith(expected):
            raise BackendUnavailableError(f"{file} is damaged, or another file than {name}'s", entry.remedy(name))


def check_options(name: str, options: Iterable[str]) -> None:
    """Check that a model can be told these things.

    Raises:
        ConfigError: the catalogue's entry has no such option.
    """
    known = find(name).options
    for option in options:
        if option not in known:
            raise ConfigError(f"{name} cannot be told its '{option}'", f"It has {', '.join(known) or 'no options'}")


def load_prior(name: str, placement: Placement, options: Mapping[str, Any] | None = None) -> Prior:
    """A prior of the catalogue, ready to be asked.

    Args:
        name: in the catalogue.
        placement: of its models.
        options: in place of the catalogue's, such as `size`, as `check_options` allows them.

    Raises:
        ConfigError: there is none of that name.
        BackendUnavailableError: its weights are missing, damaged, or of another architecture.
    """
    from a4d.priors.loading import LOADERS
    from a4d.priors.weights_folder import WeightsFolder

    entry = find(name)
    told = {**entry.options, **(options or {})}

    def folder(of: str, parts: Mapping[str, WeightsFolder]) -> WeightsFolder:
        return WeightsFolder(locate(of, placement.overrides), placement, told, parts)

    if entry.kind in USES:
        raise ConfigError(f"{name} is no prior", USES[entry.kind])
    if entry.kind not in LOADERS:
        whole = sorted(each for each, other in catalogue().items() if name in other.parts.values())
        raise ConfigError(f"{name} is no prior by itself", f"It is part of {', '.join(whole) or 'training'}")
    parts = {role: folder(part, {}) for role, part in entry.parts.items()}
    prior = LOADERS[entry.kind](folder(name, parts))
    prior.samples_at_once = placement.samples_at_once
    return prior


def load_image_to_shape(name: str, placement: Placement, options: Mapping[str, Any] | None = None) -> ImageToShape:
    """A model of the catalogue that makes shapes of pictures, ready to be asked.

    Args:
        name: in the catalogue.
        placement: of the model.
        options: in place of the catalogue's.

    Raises:
        ConfigError: there is none of that name, or it cannot be told an option.
        BackendUnavailableError: its weights are missing, damaged, or of another architecture.
    """
    from a4d.priors.loading import SHAPE_LOADERS
    from a4d.priors.weights_folder import WeightsFolder

    entry = require_kind(name, "image-to-shape")
    check_options(name, options or {})
    told = {**entry.options, **(options or {})}
    folder = WeightsFolder(locate(name, placement.overrides), placement, told)
    return SHAPE_LOADERS[str(entry.options["architecture"])](folder)
