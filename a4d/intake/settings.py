"""What can be said of a source: how it is taken in, by its kind, and what is made of it beside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

from pydantic import AfterValidator, Field

from a4d.config import Config
from a4d.io.depth_maps import Larger
from a4d.matting.methods import Method
from a4d.priors.catalogue import catalogue, locate, require_kind
from a4d.running.weights import weight_overrides

if TYPE_CHECKING:
    from a4d.geometry.assets.placement import Axis

AxisName = Literal["+x", "-x", "+y", "-y", "+z", "-z", "x", "y", "z"]

DENSE_SIFT = "sift"
"""The features that ask no model."""

MATTING_MODELS = "matting"
"""What the catalogue calls models that cut subjects out."""

INVERSE_SEARCH = "dis"
"""The flow that asks no model."""

WITHOUT_MODEL = {"flow": (INVERSE_SEARCH,), "features": (DENSE_SIFT,)}
"""What asks no model, by the kind of models that do the same."""

CamerasFrame = Literal["mesh", "world"]


METHODS = tuple(method for method in get_args(Method) if method != "mask")
"""How a subject is cut out without a model of the catalogue."""


def _known_matting(value: str) -> str:
    known = [*METHODS, *(name for name, entry in catalogue().items() if entry.kind == MATTING_MODELS)]
    if value not in known:
        raise ValueError(f"there is no matting '{value}'; choose from {', '.join(known)}")
    return value


MattingName = Annotated[str, AfterValidator(_known_matting)]


class Matting(Config):
    """How a subject is told from what is around it."""

    matting: MattingName = Field(
        default="auto",
        description="how the subject is cut out of its background: auto, alpha, drawing, uniform, grabcut, rembg, "
        "person, or a model by its name; a person, or a model's subject, only if asked",
    )

    @property
    def method(self) -> Method | None:
        """The method; None where it is a model."""
        return cast("Method", self.matting) if self.matting in METHODS else None

    def require_model(self, weights: str) -> None:
        """Look for the model, where one is chosen, reading none of its weights.

        Args:
            weights: folders that the user names, as `weight_overrides` takes them.

        Raises:
            BackendUnavailableError: its weights are not on this machine.
        """
        if self.method is None:
            locate(self.matting, weight_overrides(weights))


class Square(Config):
    """How large frames become."""

    size: int = Field(default=512, ge=16, le=4096, description="pixels of the square frame's side")


class Framing(Matting, Square):
    """The square frame around a subject."""

    margin: float = Field(default=0.1, ge=0, lt=0.45, description="free part of the frame on each side")
    visibility: bool = Field(
        default=False, description="write which part of the frame was filmed as a channel of an image or a video"
    )


class Reduction(Config):
    """How large pictures stay that are taken in whole."""

    max_size: int = Field(default=1600, ge=16, le=16_384, description="photographs are reduced to this many pixels")


class Rate(Config):
    """How many moments of a second are taken."""

    fps: float | None = Field(
        default=None, gt=0, le=1000, description="frames per second to take from a video or an animation"
    )


class Period(Rate):
    """Which frames of a film are taken."""

    start: int = Field(default=0, ge=0, description="first frame of a video, counted from 0")
    end: int | None = Field(default=None, ge=1, description="the frame after a video's last one")


class ImageSettings(Framing):
    """How the subject of one image is found, and what is known of it beside."""

    mask: Path | None = Field(default=None, description="a file with the answer: white, or opaque, on the subject")
    depth: Path | None = Field(default=None, description="a depth map of the image: a grey picture, .exr or .npy")
    depth_larger: Larger = Field(default="nearer", description="what larger, or brighter, values of that map mean")


class VideoSettings(Framing, Period):
    """Which frames of a video are taken, and how its subject is found."""

    masks: Path | None = Field(
        default=None, description="a folder with a mask for each frame that is taken: white, or opaque, on the subject"
    )
    shot: int | None = Field(
        default=None,
        ge=1,
        description="which shot of a film with cuts is taken, from 1; the longest if not given",
    )
    strict: bool = Field(default=False, description="refuse a film that is damaged or shorter than it says")


class PhotographSettings(Matting, Reduction):
    """How the subject of photographs is found, and how large they stay."""


class CaptureSettings(Reduction):
    """What is taken of photographs with cameras."""

    canonical: bool = Field(default=True, description="bring a capture's subject into the unit ball")
    skip_missing: bool = Field(default=False, description="leave out a capture's images that are not on disk")
    model: str | None = Field(
        default=None, description="which COLMAP model of a capture, such as sparse/1; the largest if not given"
    )
    sequence: str | None = Field(default=None, description="which film of a Lab4D database, if it has several")


class MeshPlacement(Config):
    """How a mesh stands."""

    up: AxisName | None = Field(default=None, description="axis of a mesh that points up; found if not given")
    front: AxisName | None = Field(default=None, description="axis of a mesh that points to the front")


class RingSettings(Config):
    """From where a subject is seen; elevations, azimuth, radius and field of view count where no file says it."""

    views: int | None = Field(default=None, ge=1, le=9999, description="cameras around a mesh; 24, 4 for an animation")
    test_views: int | None = Field(default=None, ge=0, le=9999, description="held-out cameras between them; 8, or 4")
    elevations: list[float] | None = Field(
        default=None, min_length=1, max_length=1000, description="degrees above the subject, of each ring of cameras"
    )
    azimuth: float | None = Field(default=None, description="degrees, of the first camera; 0, the front, if not given")
    radius: float = Field(default=3.0, gt=1, description="metres from the middle of the subject to the cameras")
    fov: float = Field(default=40.0, gt=1, lt=150, description="vertical field of view of these cameras in degrees")


class MeshViews(MeshPlacement, RingSettings, Square, Rate):
    """How a mesh is placed, what is shown of it, and from where."""

    clip: str | None = Field(default=None, description="animation of a mesh to show: its name or number, all or none")
    frames: int = Field(default=16, ge=1, le=9999, description="moments of each animation, over all of it or by --fps")
    lighting: Literal["auto", "unlit", "shaded"] = Field(
        default="auto", description="of a mesh's pictures; auto shades what has no colours of its own"
    )
    environment: Path | None = Field(default=None, description="an .hdr panorama that lights a mesh")
    videos: Path | None = Field(
        default=None, description="folder of view_0.mp4 ... or view_0/ ... that show how a mesh moves"
    )
    tracks: int | None = Field(
        default=None, ge=1, le=100_000, description="points of a mesh's surface to follow through all frames"
    )
    normal: bool = Field(default=False, description="write a mesh's exact normals as a channel of its frames")


class GivenViews(RingSettings, Matting, Reduction, Period):
    """Which films are taken, how their subject is found, and where their cameras stood."""

    cameras: Path | None = Field(
        default=None, description="a transforms.json with the cameras of such films; else a ring of them is assumed"
    )
    cameras_frame: CamerasFrame | None = Field(
        default=None,
        description="where these cameras are: in the mesh's own coordinates, or around the unit ball that the mesh "
        "is brought into; told by the outlines if not given",
    )


class ChannelSettings(Config):
    """What is estimated from the frames, and by what."""

    depth_model: str | None = Field(default=None, description="the model that tells the depth of each frame")
    flow: str | None = Field(
        default=None, description="how the optical flow of a film is found: dis, dense inverse search, or by a model"
    )
    flow_strides: list[Annotated[int, Field(ge=1, le=9999)]] = Field(
        default=[1, 2, 4, 8], min_length=1, max_length=32, description="how many frames apart flow is found"
    )
    features: str | None = Field(
        default=None, description="features of each frame: sift, histograms of gradients, or by a model"
    )
    feature_channels: int = Field(
        default=16, ge=1, le=4096, description="principal components that are kept of the features"
    )
    keypoints: str | None = Field(
        default=None,
        description="keypoints of a person: a model that finds them, or a COCO, OpenPose or BlazePose file",
    )
    person: int = Field(default=1, ge=1, le=99, description="which of several people is followed; 1 is the largest")
    # It does not change the result, and is no part of what a finished result is compared by.
    weights: str = Field(default="", exclude=True, description="folders of weights: NAME=PATH[,NAME=PATH]...")

    @property
    def models(self) -> dict[str, str]:
        """Names of the catalogue by kind."""
        named = {
            "depth": self.depth_model,
            "flow": self.flow_model,
            "features": self.feature_model,
            "keypoints": self.keypoint_model,
        }
        return {kind: name for kind, name in named.items() if name is not None}

    @property
    def is_any_wanted(self) -> bool:
        """Whether there is anything to estimate."""
        return bool(self.models) or any(each is not None for each in (self.flow, self.features, self.keypoints))

    @property
    def feature_model(self) -> str | None:
        """The model that tells features, where dense SIFT does not."""
        return None if self.features == DENSE_SIFT else self.features

    @property
    def flow_model(self) -> str | None:
        """The model that finds flow, where dense inverse search does not."""
        return None if self.flow == INVERSE_SEARCH else self.flow

    @property
    def keypoint_model(self) -> str | None:
        """The model that finds keypoints, where they come from no file."""
        return self.keypoints if self.keypoints in catalogue() else None

    @property
    def keypoint_file(self) -> Path | None:
        """The file or folder that holds keypoints, where no model finds them."""
        return None if self.keypoints is None or self.keypoint_model is not None else Path(self.keypoints)

    def require_weights(self) -> None:
        """Look for the models that the settings name, reading none of their weights.

        Raises:
            ConfigError: there is no such model, or it is of another kind.
            BackendUnavailableError: its weights are not on this machine.
        """
        overrides = weight_overrides(self.weights)
        for kind, name in self.models.items():
            require_kind(name, kind, WITHOUT_MODEL.get(kind, ()))
            locate(name, overrides)

    def require_people(self, *, are_cut_out: bool) -> None:
        """Look for what finds people, where it is wanted, reading none of its weights.

        Args:
            are_cut_out: it finds their outlines, whatever finds their keypoints.

        Raises:
            BackendUnavailableError: LiteRT or the weights of BlazePose are not on this machine.
        """
        from a4d.estimation.person.litert import PERSON_MODEL, require_litert

        if are_cut_out or self.keypoint_model == PERSON_MODEL:
            require_litert()
            locate(PERSON_MODEL, weight_overrides(self.weights))


def axis_named(name: AxisName | None) -> Axis | None:
    """The axis that a setting names, with or without a plus."""
    return None if name is None else cast("Axis", name if name[0] in "+-" else f"+{name}")
