"""A folder of weights in diffusers' layout: its components, and one line on what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a4d.errors import BackendUnavailableError, ConfigError, InvalidInputError, MissingInputError
from a4d.io.files import read_json
from a4d.io.weight_files import PYTORCH_SUFFIXES, read_weights
from a4d.priors.components import LatentEncoder, TextEncoder
from a4d.priors.placement import Placement
from a4d.priors.schedule import NoiseSchedule, schedule_from_diffusers


@dataclass(frozen=True)
class WeightsFolder:
    """A folder in diffusers' layout, one sub-folder per component, and how its components are placed.

    Args:
        path: the folder.
        placement: of its models.
        options: of the catalogue, such as `size`.
        parts: folders of the models that this one is built of, by their role.
    """

    path: Path
    placement: Placement = field(default_factory=Placement)
    options: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, WeightsFolder] = field(default_factory=dict)

    def at_home(self) -> WeightsFolder:
        """The folder with its components in host memory, for those that become part of another model."""
        return replace(self, placement=replace(self.placement, device="cpu", offload="none"))

    def in_single_precision(self) -> WeightsFolder:
        """The folder with its components on the device, in single precision wherever that is."""
        return replace(self, placement=replace(self.placement, dtype=torch.float32, offload="none"))

    def for_encoders(self) -> WeightsFolder:
        """The folder with its components placed as what encodes a condition."""
        return replace(self, placement=self.placement.of_encoders())

    def for_text(self, cpu_dtype: torch.dtype = torch.float32) -> WeightsFolder:
        """The folder with its components placed as text encoders.

        Args:
            cpu_dtype: what they compute in where the CPU is their place.
        """
        return replace(self, placement=self.placement.of_text(cpu_dtype))

    def config(self, component: str, name: str = "config.json") -> dict[str, Any]:
        """A component's configuration.

        Raises:
            BackendUnavailableError: it is missing or not JSON.
        """
        path = self.path / component / name
        try:
            return read_json(path)
        except MissingInputError:
            raise BackendUnavailableError(f"{self.path} has no {Path(component) / name}", REMEDY) from None
        except InvalidInputError:
            raise BackendUnavailableError(f"{path} is damaged or not fully downloaded", REMEDY) from None

    def model(self, component: str, model: Any, expected: Mapping[str, Any] | None = None) -> Any:
        """A frozen component in its place.

        Args:
            component: sub-folder, empty for the folder itself.
            model: class of diffusers or transformers.
            expected: what its configuration must say.

        Raises:
            BackendUnavailableError: files are missing or cut short, or belong to another architecture.
        """
        config = self.config(component)
        for key, value in (expected or {}).items():
            if config.get(key) != value:
                raise BackendUnavailableError(
                    f"{self.path / component} is another architecture: {key} is {config.get(key)}, not {value}"
                )
        folder = self.path / component
        dtype = {"dtype" if model.__module__.startswith("transformers") else "torch_dtype": self.placement.precision}
        _silence_libraries()
        try:
            loaded, report = model.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, **dtype, **_stored_form(folder)
            )
        except BackendUnavailableError:
            raise
        except Exception as error:  # libraries raise whatever a damaged or foreign folder provokes
            reason = str(error).strip().split("\n")[0]
            raise BackendUnavailableError(f"{folder} cannot be loaded: {reason:.160}", REMEDY) from None
        missing = [key for key in report["missing_keys"] if not key.endswith("position_ids")]
        if missing or report.get("mismatched_keys"):
            wrong = missing or [str(entry[0]) for entry in report["mismatched_keys"]]
            raise BackendUnavailableError(
                f"{folder} is incomplete or another architecture: {len(wrong)} tensors do not fit, first {wrong[0]}"
            )
        return self.placed(loaded)

    def tensors(self, component: str) -> dict[str, torch.Tensor]:
        """A component's tensors by their stored names, from all of its files.

        Raises:
            BackendUnavailableError: there are none, or a file is damaged.
        """
        state: dict[str, torch.Tensor] = {}
        for path in weight_files(self.path / component):
            state.update(read_weights(path))
        return state

    def placed(self, model: nn.Module) -> Any:
        """A model frozen and in its place, where the libraries move it without a word."""
        _silence_libraries()
        return self.placement.placed(model)

    def schedule(self) -> NoiseSchedule:
        """The noise schedule that the model was trained with.

        Raises:
            BackendUnavailableError: there is none, or it belongs to another family of models.
        """
        config = self.config("scheduler", "scheduler_config.json")
        try:
            return schedule_from_diffusers(config)
        except InvalidInputError as error:
            raise BackendUnavailableError(f"{self.path}: {error.problem}") from None

    def vae(self, default_size: int, low_pass: bool = True) -> LatentEncoder:
        """The autoencoder, bringing images to the size among the options or the model's own.

        Raises:
            ConfigError: the size is not a multiple of what a latent stands for.
        """
        from diffusers import AutoencoderKL

        height, width = self.options.get("size", (default_size, default_size))
        vae = self.model("vae", AutoencoderKL)
        side = 2 ** (len(vae.config.block_out_channels) - 1)
        if height % side or width % side:
            raise ConfigError(f"{height}x{width} pixels are no multiples of {side}", "Choose another size")
        return LatentEncoder(vae, (int(height), int(width)), self.placement.images_at_once, low_pass)

    def text(self, expected: Mapping[str, Any]) -> TextEncoder:
        """CLIP's text encoder with its tokenizer."""
        from transformers import CLIPTextModel, CLIPTokenizer

        model = self.for_text().model("text_encoder", CLIPTextModel, expected)
        return TextEncoder(self.tokenizer(CLIPTokenizer), model)

    def tokenizer(self, tokenizer: Any, component: str = "tokenizer") -> Any:
        """The tokenizer.

        Args:
            tokenizer: class of transformers.
            component: sub-folder, empty for the folder itself.

        Raises:
            BackendUnavailableError: its files are missing or damaged.
        """
        try:
            return tokenizer.from_pretrained(self.path / component, local_files_only=True)
        except Exception:  # as above
            raise BackendUnavailableError(
                f"the tokenizer of {self.path / component} cannot be loaded", REMEDY
            ) from None


REMEDY = "Fetch the weights again with `a4d weights fetch`, or name another folder with --weights NAME=PATH"
"""What helps where a folder is not what it should be."""


def _stored_form(folder: Path) -> dict[str, Any]:
    """Which of the forms that a repository offers lies in a folder: half precision where there is nothing else."""
    stored = [path.name for path in folder.iterdir() if path.suffix in {".safetensors", *PYTORCH_SUFFIXES}]
    safe = [name for name in stored if name.endswith(".safetensors")]
    if not stored:
        raise BackendUnavailableError(f"{folder} holds no weights", REMEDY)
    half = all(".fp16." in name for name in safe or stored)
    return {"use_safetensors": bool(safe), **({"variant": "fp16"} if half else {})}


def _silence_libraries() -> None:
    """Turn off progress bars and reports of the model libraries: what is wrong is said once, by this module."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()


def weight_files(folder: Path) -> list[Path]:
    """The files of a component's weights: safetensors if there are any, else PyTorch's; full precision before half.

    Raises:
        BackendUnavailableError: there are none.
    """
    for suffixes in ({".safetensors"}, PYTORCH_SUFFIXES):
        stored = sorted(path for path in folder.glob("*") if path.suffix in suffixes)
        full = [path for path in stored if ".fp16." not in path.name]
        if stored:
            return full or stored
    raise BackendUnavailableError(f"{folder} holds no weights", REMEDY)
