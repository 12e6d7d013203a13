#!/usr/bin/env bash
# Style, types and tests, in an environment that it sets up by itself.
#   bash tests/run.sh [--slow] [any pytest arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source recipes/_environment.sh
ready_environment dev
ruff check .
ruff format --check .
mypy
exec python -m pytest "$@"
