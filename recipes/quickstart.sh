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
  python "$root/examples/make_creature.py" "$image"
fi

name="$(basename "${image%.*}").a4d"
a4d fit-static "$image"
a4d export "$name"
echo "Done. Open these:" >&2
ls -1 "$name"/exports >&2
