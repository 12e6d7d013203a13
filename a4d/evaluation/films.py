"""Renders of a fixed view over time: whether they flicker, and what CLIP finds in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from a4d.evaluation.clip import Clip
from a4d.views import Frames


def fixed_views(frames: Frames, indices: Sequence[int]) -> list[list[int]]:
    """Frames of the same camera, in the order of time; one that moves, and each where time is unknown, is alone."""
    if frames.times is None:
        return [[index] for index in indices]
    films: dict[tuple[float, ...], list[int]] = {}
    for index in sorted(indices, key=frames.times.tolist().__getitem__):
        camera = frames.cameras[index]
        values = torch.cat([camera.world_from_camera.flatten(), camera.intrinsics.flatten()]).tolist()
        films.setdefault((*values, camera.width, camera.height), []).append(index)
    return list(films.values())


class Flicker:
    """Flicker of a fixed view, frame by frame: changes of colours that the motion does not explain.

    With a truth it is the mean absolute change between neighbouring frames (VBench's temporal flickering, Huang et al.
    2024, as a distance) beyond that of the truth: 0 where both change as much, negative where the render changes less,
    as one does that stands still. Without, it is the mean absolute second difference of the colours, which is 0 where
    they stay or change steadily. Colours are sRGB in [0, 1], and so are both figures: .0039 is one step of 8 bits.
    """

    def __init__(self) -> None:
        self._images: list[Tensor] = []
        self._truth: Tensor | None = None
        self._excesses: list[float] = []
        self._second_differences: list[float] = []

    def begin(self) -> None:
        """Start another film."""
        self._images, self._truth = [], None

    def add(
        self,
        image: Tensor,  # (H, W, 3) sRGB in [0, 1]
        truth: Tensor | None = None,  # the same shape
    ) -> None:
        """Take the next frame of a film."""
        self._images = [*self._images[-2:], image]
        if truth is None and len(self._images) == 3:
            first, second, third = self._images
            self._second_differences.append(float((third - 2 * second + first).abs().mean()))
        if truth is not None and self._truth is not None:
            change, true_change = (image - self._images[-2]).abs().mean(), (truth - self._truth).abs().mean()
            self._excesses.append(float(change - true_change))
        self._truth = truth

    def means(self) -> dict[str, float]:
        """`flicker`, beyond the truth, or `second_difference` without one; neither where too few frames were seen."""
        return _means({"flicker": self._excesses, "second_difference": self._second_differences})


class FilmFigures:
    """Flicker, and where CLIP is a judge what it finds in renders, film by film and frame by frame.

    Args:
        clip: the model, or None.
        texts: first the scene's own, then those from which it is to be told; empty for no retrieval.
    """

    def __init__(self, clip: Clip | None = None, texts: Sequence[str] = ()) -> None:
        self.clip, self.texts = clip, texts
        self._flicker = Flicker()
        self._last: Tensor | None = None
        self._alike: list[float] = []
        self._steady: list[float] = []
        self._found: list[float] = []

    def begin(self) -> None:
        """Start another film: the frame that comes next has no neighbour before it."""
        self._flicker.begin()
        self._last = None

    def add(
        self,
        image: Tensor,  # (H, W, 3) sRGB in [0, 1]
        truth: Tensor | None = None,  # (H, W, 3) of the same moment
        reference: Tensor | None = None,  # (h, w, 3) an image of any moment that CLIP compares
    ) -> None:
        """Take the next frame of a film."""
        self._flicker.add(image, truth)
        if self.clip is None:
            return
        features = self.clip.images(image[None])[0]
        if reference is not None:
            self._alike.append(float(features @ self.clip.images(reference[None])[0]))
        if self._last is not None:
            self._steady.append(float(features @ self._last))
        if self.texts:
            self._found.append(float(int((self.clip.texts(self.texts) @ features).argmax()) == 0))
        self._last = features

    def means(self) -> dict[str, float]:
        """Means over all films, each as far as there was something to compare.

        Returns:
            What `Flicker` says; `clip_i`, the cosine between a render and its reference (CLIP-I); `clip_f`, that
            between neighbouring frames (CLIP-F); `clip_r`, the share of renders to which their own text is the nearest
            of all texts (CLIP-R).
        """
        return {
            **self._flicker.means(),
            **_means({"clip_i": self._alike, "clip_f": self._steady, "clip_r": self._found}),
        }


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: sum(each) / len(each) for name, each in values.items() if each}
