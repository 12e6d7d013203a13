"""SAM 2 (Ravi et al. 2024): a subject that is pointed at in one frame of a film, and followed through the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from a4d.matting.following import FollowedMask
from a4d.matting.grabcut import OUTLINE_SIZE, find_subject
from a4d.matting.masks import Mask, touches_border
from a4d.matting.propagation import clearest_cut
from a4d.pixels import Array, shrink
from a4d.priors.weights_folder import WeightsFolder

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours."""

CORNERS, INSIDE = (2, 3), 1
"""Labels of a box's corners, and of a point on the subject."""

SUBJECT = 0
"""The number of the only object that is followed."""


class Sam2:
    """A network that outlines what it is pointed at, and finds it again in the frames that follow.

    Args:
        model: of transformers, `Sam2VideoModel`, in evaluation mode and single precision.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(
        self,
        rgb: Tensor,  # (H, W, 3) sRGB in [0, 1]
    ) -> Tensor:
        """(H, W) alpha in [0, 1] of the most prominent thing in one picture, on the CPU."""
        picture = rgb.numpy()
        subject, _ = find_subject(picture)
        if not subject.any():
            return torch.zeros(rgb.shape[:2])
        _, scores, _ = next(self.sweep([picture], subject, [0]))
        return _resized(scores, rgb.shape[:2]).sigmoid()

    def follow(self, film: Sequence[Array]) -> list[FollowedMask]:
        """The most prominent thing of a film in every frame.

        It is pointed at in the frame that shows it most clearly, and followed from there both ways.

        Args:
            film: (H, W, 3) sRGB in [0, 1] each, of one size; read again when a frame is asked for again.

        Returns:
            one per frame, no larger than outlines are found.
        """
        start, subject = clearest_cut(film)
        if not subject.any():
            return [FollowedMask(subject, is_sure=False)] * len(film)
        shape = shrink(film[start], OUTLINE_SIZE).shape[:2]
        found: dict[int, FollowedMask] = {}
        for order in (range(start, len(film)), range(start, -1, -1)):
            left_picture = False
            for index, scores, is_seen in self.sweep(film, subject, order):
                mask = (_resized(scores, shape) > 0).numpy() & is_seen
                left_picture = touches_border(mask) or (left_picture and not mask.any())
                found[index] = FollowedMask(mask, is_sure=bool(mask.any()) or left_picture)
        return [found[index] for index in range(len(film))]

    @torch.inference_mode()
    def sweep(self, film: Sequence[Array], subject: Mask, order: Sequence[int]) -> Iterator[tuple[int, Tensor, bool]]:
        """Follow a subject from one frame to the next; no more of a film is held than the network remembers.

        Args:
            film: (H, W, 3) sRGB in [0, 1] each.
            subject: (H, W) where it is in the first frame of the order.
            order: the frames, one beside the other, forward or backward.

        Yields:
            the frame, (h, w) scores on the CPU over all of it, positive on the subject, and whether it is seen at all.
        """
        session, is_backward = self._session(), len(order) > 1 and order[1] < order[0]
        self._point_at(session, subject, order[0])
        for index in order:
            frame = self._pixels(film[index])
            answer = self._model(session, frame_idx=index, frame=frame, reverse=is_backward)
            self._forget(session, index)
            yield index, answer.pred_masks[0, 0].float().cpu(), bool(answer.object_score_logits.max() > 0)

    def _session(self) -> Any:
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        place = next(self._model.parameters()).device
        session = Sam2VideoInferenceSession(
            inference_device=place, inference_state_device=place, video_storage_device=place, dtype=torch.float32
        )
        session.obj_id_to_idx(SUBJECT)
        return session

    def _point_at(self, session: Any, subject: Mask, frame: int) -> None:
        """Name a subject by its box, and by the pixel that is deepest within it."""
        size = torch.tensor([subject.shape[1], subject.shape[0]])
        points = (torch.tensor(_box_and_middle(subject)) + 0.5) * self._side / size - 0.5
        labels = torch.tensor([*CORNERS, INSIDE], dtype=torch.int32)
        prompt = {"point_coords": points[None, None].float(), "point_labels": labels[None, None]}
        session.add_point_inputs(SUBJECT, frame, prompt)
        session.obj_with_new_inputs = [SUBJECT]

    def _pixels(self, rgb: Array) -> Tensor:
        """(3, S, S) a frame as the network was trained on."""
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
        square = interpolate(pixels, (self._side, self._side), mode="bilinear", antialias=True)
        mean, deviation = (square.new_tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
        return ((square - mean) / deviation)[0].to(next(self._model.parameters()))

    @property
    def _side(self) -> int:
        size = self._model.config.image_size
        return int(size if isinstance(size, int) else size[0])

    def _forget(self, session: Any, index: int) -> None:
        """Drop the frame, and what of older ones is looked at no more."""
        config, outputs = self._model.config, session.output_dict_per_obj[SUBJECT]["non_cond_frame_outputs"]
        session.processed_frames.clear()
        _drop(outputs, [each for each in outputs if abs(each - index) >= config.max_object_pointers_in_encoder])
        for age in [each for each in outputs if abs(each - index) >= config.num_maskmem]:
            _drop(outputs[age], [name for name in outputs[age] if name != "object_pointer"])
        for output in outputs.values():
            _drop(output, ["high_res_masks", "pred_masks"])


def _resized(scores: Tensor, shape: Sequence[int]) -> Tensor:
    """(H, W) scores at another size."""
    return interpolate(scores[None, None], tuple(shape), mode="bilinear")[0, 0]


def _drop(values: dict[Any, Any], names: Iterable[Any]) -> None:
    for name in names:
        values.pop(name, None)


def _box_and_middle(subject: Mask) -> list[list[float]]:
    """(3, 2) pixels: the corners of a mask's box, and what of it is farthest from its outline."""
    rows, columns = np.flatnonzero(subject.any(1)), np.flatnonzero(subject.any(0))
    depth = cv2.distanceTransform(np.pad(subject, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    corners = [[columns[0], rows[0]], [columns[-1], rows[-1]], [column, row]]
    return [[float(x), float(y)] for x, y in corners]


def load_sam2(folder: WeightsFolder) -> Sam2:
    """The network of a folder in transformers' layout.

    Raises:
        BackendUnavailableError: the weights are missing, damaged, or of another architecture.
    """
    from transformers import Sam2VideoModel

    # What is written into its memory is held against zero: half precision would move outlines.
    return Sam2(folder.in_single_precision().model("", Sam2VideoModel, {"model_type": "sam2_video"}))
