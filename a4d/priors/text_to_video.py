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

    def denoise(
        self,
        latents: Tensor,
        t: Tensor,
        conditioning: Conditioning,
        cameras: Cameras | None = None,
        times: Tensor | None = None,
    ) -> Tensor:
        """The noise that the UNet predicts for the frames of each clip."""
        dtype, frames = self.unet.dtype, len(latents) // len(t)
        clips = latents.unflatten(0, (len(t), frames)).transpose(1, 2)
        output = self.unet(clips.to(dtype), t, conditioning["text"].to(dtype)).sample
        predicted = output.transpose(1, 2).flatten(0, 1).to(latents)
        return self.schedule.noise_from_output(predicted, latents, t.repeat_interleave(frames))
