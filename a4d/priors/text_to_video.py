"""Text-to-video priors: ModelScope's 1.7 billion parameters and ZeroScope, which continues its training."""

from __future__ import annotations

from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.priors.protocol import Conditioning, Modality
from a4d.priors.stable_diffusion import StableDiffusion


class TextToVideo(StableDiffusion):
    """ModelScope text-to-video (Wang et al. 2023): a clip from a prompt, by diffusers' `UNet3DConditionModel`.

    Any number of frames, 16 in training; ModelScope sees 256 x 256, ZeroScope 320 x 576 (height x width), scaled to
    [-1, 1]. There is no conditioning on the frame rate: how fast a clip moves is for its times to say. The text encoder
    is the model's own and its embeddings fit no other.
    """

    modality: Modality = "video"

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The UNet's output for the frames of each clip."""
        clips = latents.unflatten(0, (len(t), -1)).transpose(1, 2)
        return super().predict(clips, t, conditioning, cameras).transpose(1, 2).flatten(0, 1)
