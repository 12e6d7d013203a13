#!/usr/bin/env bash
# A picture and a motion in words to an animated asset (Animate124).
#   bash recipes/animate124.sh PICTURE "MOTION TEXT" [--profile compact|paper] [--video FILE] [--subject TEXT] [--token FILE]
#        [--weights NAME=PATH[,NAME=PATH]...] [--accept]
# compact (the default without CUDA) inflates the picture and asks the small prior that ships with the package how it moves.
# With --video the motion is that of a film which goes on from the picture: its first frame takes the picture's place. paper
# distills a static field, then one that moves, learns a word for the subject, and by it refines details, on a GPU; `a4d weights
# fetch animate124` fetches what it asks, among them a video model that is not for commercial use. --subject says what the
# picture shows, which else is the motion's text up to "is" or "are"; --token brings a word that was learnt elsewhere.
# A motion that the scene cannot follow ends the recipe with exit code 7, its result kept; --accept goes on with it.
# What stands in A4D_OPTIONS is added to every fit, such as "--seed 1 --device cuda:1"; what stands in A4D_PREPROCESS,
# A4D_FIT_STATIC, A4D_FIT_DYNAMIC, A4D_DISTILL, A4D_TRAIN_PRIOR, A4D_REFINE and A4D_EXPORT to the one of that name.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"
source "$root/recipes/_options.sh"

read_options video subject token -- "$@"
[ "${#positional[@]}" -eq 2 ] || usage
picture="${positional[0]}" motion="${positional[1]}"
case "$picture" in -*) picture="./$picture" ;; esac
[ -n "${motion// /}" ] || usage
[ -n "$subject" ] || subject="$(sed -E 's/ (is|are) .*//' <<< "$motion")"
[ -f "${video:-$picture}" ] || { echo "there is no picture or film '${video:-$picture}'" >&2; exit 4; }
ready_environment
[ -z "$video" ] || profile="${profile:-driven}"
choose_profile animate124
if has_section distill && [[ "$motion" != *"$subject"* ]]; then
  echo "'$subject' does not stand in '$motion', where the word that is learnt takes its place" >&2
  exit 2
fi

# Every motion is a scene of its own, so that another text never costs the one before.
scene="$(python -m a4d.naming text "$motion")"
[ "$profile" = compact ] || scene="$scene-$profile"
source="${video:-$picture}"
name="./$(python -m a4d.naming file "$source").a4d"
run a4d preprocess "$source" --config "$settings" ${A4D_PREPROCESS:-}
stage estimate-pose
fit fit-static --prompt "$subject"
moving="$scene"
if has_section distill; then
  fit distill --name "$scene" --from fit-static --prompt "$motion"
  moving="$scene-refined"
  bare="$(sed -E 's/^(an?|the) //' <<< "$subject")"
  word=(--initial "${bare##* }")
  [ -z "$token" ] || word=(--embedding "$token")
  run a4d train-prior textual-inversion "$name" --name personalise --config "$settings" \
    ${weights:+--weights "$weights"} "${word[@]}" ${A4D_TRAIN_PRIOR:-}
  fit refine --name "$moving" --from "$scene" --prompt "${motion%%"$subject"*}a <token:$bare>${motion#*"$subject"}"
else
  fit fit-dynamic --name "$scene" --from fit-static --prompt "$motion"
fi
stage export --name "export-$scene" --from "$moving" --stem "$scene"
echo "Done. Open these:" >&2
ls -1d "$name/exports/$scene"* >&2
# The scene, for whoever goes on with it.
echo "$moving"
