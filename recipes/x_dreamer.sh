#!/usr/bin/env bash
# A text to a mesh with PBR textures, or textures in words for a mesh of yours (X-Dreamer).
#   bash recipes/x_dreamer.sh "TEXT" [--shape ball|ellipsoid|cylinder|FILE] [--texture-only MESH] [--subject TEXT]
#        [--profile compact|paper] [--weights NAME=PATH[,NAME=PATH]...] [--accept]
# paper asks Stable Diffusion 2.1 on a GPU, whose weights `a4d weights fetch x_dreamer` fetches: finds the geometry in normals and
# the material in a light. compact (the default without CUDA) asks the small prior that ships with the package, which draws robots,
# people, animals and towers of eleven colours from four sides: shape and colours are fitted to what it draws, there is no light,
# and --subject and --texture-only are not for it. --shape is what the geometry begins from, a simple body or a coarse mesh; with
# --texture-only the geometry stays yours, with its texture coordinates. --subject says which words the attention is held to, which
# else are the first noun's.
# A result that misses what it is for ends the recipe with exit code 7 and is kept; --accept goes on with it.
# What stands in A4D_OPTIONS is added to every fit, such as "--seed 1 --device cuda:1"; what stands in A4D_PREPROCESS,
# A4D_DISTILL, A4D_REFINE and A4D_EXPORT to the one of that name.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"
source "$root/recipes/_options.sh"

read_options shape texture-only subject -- "$@"
[ "${#positional[@]}" -eq 1 ] || usage
text="${positional[0]}"
[ -n "${text// /}" ] || usage
[ -z "$shape" ] || [ -z "$texture_only" ] || { echo "--shape begins a geometry, and --texture-only keeps one" >&2; exit 2; }
case "$shape" in
  '' | ball | ellipsoid | cylinder) file="$texture_only" seed="${shape:+seed.kind=$shape}" ;;
  *) file="$shape" seed="seed={kind: mesh, file: $shape}" ;;
esac
[ -z "$file" ] || [ -f "$file" ] || { echo "there is no mesh '$file'" >&2; exit 4; }
ready_environment
# Only one profile knows these.
[ -z "$subject$texture_only" ] || profile="${profile:-paper}"
choose_profile x_dreamer
if ! has_section appearance && [ -n "$subject$texture_only" ]; then
  echo "the profile '$profile' has neither --subject nor --texture-only" >&2
  exit 2
fi

words=()
[ -z "$subject" ] || words=(--set "objectives.0.subject=$subject")
if [ -n "$texture_only" ]; then
  name="./$(python -m a4d.naming file "$texture_only").a4d"
  run a4d preprocess "$texture_only" --config "$settings" ${A4D_PREPROCESS:-}
  # No geometry has taught an adapter here.
  words+=(--set "priors.text-to-image.adapters=[]")
  fit refine --name appearance --prompt "$text" ${words[@]+"${words[@]}"}
  stage export --from appearance --frame source
else
  name="./$(python -m a4d.naming text "$text").a4d"
  run a4d preprocess "$text" --config "$settings" ${A4D_PREPROCESS:-}
  fit distill --name geometry ${seed:+--set "$seed"} ${words[@]+"${words[@]}"}
  scene=geometry
  if has_section appearance; then
    scene=appearance
    fit refine --name appearance --from geometry ${words[@]+"${words[@]}"}
  fi
  stage export --from "$scene"
fi
echo "Done. Open these:" >&2
ls -1d "$name/exports/"* >&2
