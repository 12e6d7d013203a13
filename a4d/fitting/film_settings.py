"""The settings of a fit to the film of one camera, and what of them is different where the film says less."""

from __future__ import annotations

from pydantic import Field

from a4d.config import Config, Number, Spec
from a4d.fitting.seed_settings import SeedConfig
from a4d.fitting.settings import Fitting


class Otherwise(Config):
    """Settings in place of others."""

    scene: Spec = Field(default={}, description="of the scene")
    weights: dict[str, Number] = Field(
        default={}, description="of objectives, by kind, or kind/of where there are several"
    )
    rates: dict[str, Number] = Field(default={}, description="of groups of the optimiser that have none")


class OtherwiseBegun(Otherwise):
    """The same where the first guess of the shape is made otherwise, too."""

    seed: Spec = Field(default={}, description="of the first guess of the shape")


class Lacking(Config):
    """What is different for films that say less than they might."""

    unrepeated: OtherwiseBegun = Field(default=OtherwiseBegun(), description="where the motion does not repeat")
    unrepeated_strayed: OtherwiseBegun = Field(
        default=OtherwiseBegun(), description="in its place where cameras, too, were found by the subject alone"
    )
    uncounted: Otherwise = Field(
        default=Otherwise(), description="where it was found, and not said, how often the motion repeats"
    )
    one_sided: Otherwise = Field(default=Otherwise(), description="where the film, or each pose, is of one side")
    strayed: Otherwise = Field(default=Otherwise(), description="where cameras were found by the subject alone")


class FilmFitting(Fitting):
    """A fit to frames, which may be all that is known of their subject's shape."""

    seed: SeedConfig | None = Field(
        default=None, description="the shape of a film's subject, where neither a mesh nor a static scene says it"
    )
    lacking: Lacking = Field(default=Lacking(), description="what is different for films that say less than they might")
