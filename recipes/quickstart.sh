#!/usr/bin/env bash
# From one image to a 3D asset, without GPU, weights or system packages.
#   bash recipes/quickstart.sh [IMAGE]      without IMAGE, a picture of a generated creature
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"
ready_environment

if [ $# -ge 1 ]; then
  image="$1"
else
  image="creature.png"
  run python "$root/examples/make_creature.py" "$image"
fi

case "$image" in -*) image="./$image" ;; esac
name="./$(python -m a4d.naming file "$image").a4d"
run a4d fit-static "$image"
run a4d export "$name"
echo "Done. Open these:" >&2
ls -1 "$name"/exports >&2
