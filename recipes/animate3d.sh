#!/usr/bin/env bash
# A mesh and a motion in words to an animated mesh (Animate3D).
#   bash recipes/animate3d.sh MODEL "MOTION TEXT" [--profile compact|nodes|paper] [--weights NAME=PATH[,NAME=PATH]...] [--accept]
# compact (the default without CUDA) asks the small prior that ships with the package; nodes (the default with it) and paper, in
# which a hexplane moves a Gaussian per vertex, ask MV-VDM on a GPU, whose weights `a4d weights fetch animate3d` fetches, or
# which lie in the folders that --weights names.
# A motion that the scene cannot follow ends the recipe with exit code 7, its result kept; --accept goes on with it.
# What stands in A4D_OPTIONS is added to every fit, such as "--seed 1 --device cuda:1"; what stands in A4D_PREPROCESS,
# A4D_FIT_STATIC, A4D_FIT_DYNAMIC, A4D_DISTILL and A4D_EXPORT to the one of that name, such as "--set sample.steps=50".
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"
source "$root/recipes/_options.sh"

read_options -- "$@"
[ "${#positional[@]}" -eq 2 ] || usage
model="${positional[0]}" motion="${positional[1]}"
case "$model" in -*) model="./$model" ;; esac
[ -n "${motion// /}" ] || usage
ready_environment
choose_profile animate3d nodes

# Every motion is a scene of its own, so that another text never costs the one before.
name="./$(python -m a4d.naming file "$model").a4d"
scene="$(python -m a4d.naming text "$motion")"
[ "$profile" = compact ] || scene="$scene-$profile"
run a4d preprocess "$model" --config "$settings" ${A4D_PREPROCESS:-}
fit fit-static
fit fit-dynamic --name "$scene" --from fit-static --prompt "$motion"
moving="$scene"
if has_section distill; then
  moving="$scene-distilled"
  fit distill --name "$moving" --from "$scene" --prompt "$motion"
fi
stage export --name "export-$scene" --from "$moving" --stem "$scene"
echo "Done. Open these:" >&2
ls -1d "$name/exports/$scene"* >&2
