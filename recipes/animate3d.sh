#!/usr/bin/env bash
# A mesh and a motion in words to an animated mesh (Animate3D).
#   bash recipes/animate3d.sh MODEL "MOTION TEXT" [--profile compact|paper]
# compact (the default without CUDA) asks the small prior that ships with the package; paper asks MV-VDM on a GPU, whose
# weights `a4d weights fetch animate3d` fetches. What stands in A4D_OPTIONS is added to the fit, such as --seed 1.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"

usage() { sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
profile="" positional=()
while [ $# -gt 0 ]; do
  case "$1" in
    --profile) [ $# -ge 2 ] || usage; profile="$2"; shift 2 ;;
    --profile=*) profile="${1#*=}"; shift ;;
    --*) usage ;;
    *) positional+=("$1"); shift ;;
  esac
done
[ "${#positional[@]}" -eq 2 ] || usage
model="${positional[0]}" motion="${positional[1]}" file="$(basename "${positional[0]}")"
[ -n "${motion// /}" ] || usage
ready_environment
[ -n "$profile" ] || profile="$(python -c 'import torch; print("paper" if torch.cuda.is_available() else "compact")')"
settings="$root/recipes/animate3d/$profile"
[ -d "$settings" ] || { echo "there is no profile '$profile'; choose compact or paper" >&2; exit 2; }

# Every motion is a scene of its own, so that another text never costs the one before.
workspace="${file%.*}.a4d"
scene="$(printf '%s' "$motion" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' '-' | cut -c 1-48)"
scene="${scene#-}" scene="${scene%-}" scene="${scene:-motion}"
[ "$profile" = compact ] || scene="$scene-$profile"
a4d preprocess "$model" --clip none --views 8 --test-views 0 --size 256
a4d fit-static "$workspace" --config "$settings/fit-static.yaml"
a4d fit-dynamic "$workspace" --name "$scene" --from fit-static --config "$settings/fit-dynamic.yaml" \
  --prompt "$motion" ${A4D_OPTIONS:-}
moving="$scene"
if [ -e "$settings/distill.yaml" ]; then
  moving="$scene-distilled"
  a4d distill "$workspace" --name "$moving" --from "$scene" --config "$settings/distill.yaml" --prompt "$motion"
fi
a4d export "$workspace" --name "export-$scene" --from "$moving" --stem "$scene" \
  --formats glb,ply-sequence,mp4 --films grid --frame source --tolerance 0.004
echo "Done. Open these:" >&2
ls -d1 "$workspace/exports/$scene"* >&2
