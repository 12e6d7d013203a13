#!/usr/bin/env bash
# Style, types and tests, in an environment that it sets up by itself.
#   bash tests/run.sh [--slow] [any pytest arguments; -n 0 for a single process]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source recipes/_environment.sh
ready_environment dev
ruff check .
ruff format --check .
mypy
# Files stay together, for what their tests share, and in their order, for the slow ones stand neither first nor last.
exec python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
