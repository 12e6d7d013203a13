"""Which frames of a clip an objective looks at."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from a4d.errors import ConfigError
from a4d.views import ViewBatch

FrameChoice = (
    Literal["all", "first"]
    | Annotated[int, Field(ge=1, le=1024)]
    | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=1024)]
)
"""All frames, the first, so many that are drawn anew each step, or those of these indices."""


def chosen_rows(choice: FrameChoice, batch: ViewBatch, draws: torch.Generator, what: str) -> Tensor:
    """Indices (R,) of the views of a batch that are those frames of its clips, in the batch's order.

    Args:
        choice: the same frames of every clip.
        batch: of whole clips.
        draws: decides which, where they are drawn.
        what: of the batch, for messages.

    Raises:
        ConfigError: the views see no clip, or its clips are shorter than the choice.
    """
    places = batch.places
    if choice == "all":
        return torch.arange(len(batch.cameras))
    if places is None:
        raise ConfigError(f"no time passes in {what}, and frames of a clip are asked for", "Leave out `frames`")
    count = int(places.max()) + 1
    if choice == "first":
        wanted = torch.tensor([0])
    elif isinstance(choice, int):
        wanted = torch.randperm(count, generator=draws)[:choice]
    else:
        wanted = torch.tensor(choice)
    if (isinstance(choice, int) and choice > count) or int(wanted.max()) >= count:
        raise ConfigError(f"a clip of {what} has {count} frames, and {choice} are asked for", "Ask for fewer")
    return torch.isin(places, wanted).nonzero()[:, 0]
