#!/usr/bin/env bash
# Everything that can be seen on one card alone, in one table and in under 8 minutes; non-zero when something fails.
#   bash tests/gpu.sh [--rehearse]      --rehearse: the same on the CPU with tiny sizes, in under a minute
#   PYTHON=...                          the interpreter; `python` unless told otherwise
#
# It installs and fetches nothing. What it needs there beside torch with CUDA:
#   a4d's own dependencies, and pytest:   pip install -e . pytest     (torch stays as it is)
# What it holds against a4d's own kernels where it is there, and skips with the reason where it is not:
#   gsplat        pip install 'a4d[cuda]'                 built before; without it priors see a few Gaussians only
#   tinycudann    the command is in pyproject.toml
#   nvdiffrast    from its authors; non-commercial licence
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-python}" tests/bench/card.py "$@"
