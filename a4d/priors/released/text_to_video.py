"""Text-to-video priors: ModelScope, ZeroScope, which continues its training, and AnimateDiff over Stable Diffusion."""

from __future__ import annotations

from torch import Tensor

from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.priors.protocol import Conditioning, Modality
from a4d.priors.released.stable_diffusion import StableDiffusion


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


class AnimateDiff(StableDiffusion):
    """AnimateDiff (Guo et al. 2023): a clip from a prompt, by motion modules within Stable Diffusion 1.5.

    As many frames as the modules have places for, 32, and 16 in training. The text encoder is Stable Diffusion's, whose
    learnt tokens it understands. The noise schedule is the modules' own, with betas that are linear.
    """

    modality: Modality = "video"

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The UNet's output for the frames of each clip.

        Raises:
            ConfigError: a clip has more frames than the modules have places for.
        """
        frames, longest = len(latents) // len(t), self.unet.config.motion_max_seq_length
        if frames > longest:
            raise ConfigError(f"AnimateDiff takes clips of up to {longest} frames, not {frames}", "Choose fewer frames")
        clips = latents.unflatten(0, (len(t), frames)).transpose(1, 2)
        text = conditioning["text"].repeat_interleave(frames, dim=0).to(latents.dtype)
        output: Tensor = self.unet(clips, t, text).sample
        return output.transpose(1, 2).flatten(0, 1)
