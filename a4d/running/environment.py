"""What the machine had to do with a run: library versions, and whether memory was the trouble."""

from __future__ import annotations

import platform
import sys

LIBRARIES = ("torch", "numpy", "numba", "cv2", "scipy", "diffusers", "gsplat")


def library_versions() -> dict[str, str]:
    """Python and those of the libraries that this process has loaded."""
    loaded = {name: str(getattr(sys.modules.get(name), "__version__", "")) for name in LIBRARIES}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{k: v for k, v in loaded.items() if v},
    }


def peak_gpu_memory_bytes() -> int:
    """The most memory that torch has held on a GPU in this process; 0 where it has not used one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.max_memory_allocated())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether host or device memory ran out; torch and OpenCV report it in their own ways."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(phrase in str(error) for phrase in ("can't allocate memory", "Insufficient memory"))
