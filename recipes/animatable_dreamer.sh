#!/usr/bin/env bash
# A film of one animal or thing to a rigged model that can be animated, and to another subject with the same motion
# (AnimatableDreamer).
#   bash recipes/animatable_dreamer.sh FILM [--masks FOLDER] [--cameras FILE] [--subject TEXT] [--generate TEXT] [--motion FILE]
#        [--joints FILE] [--profile compact|paper] [--weights NAME=PATH[,NAME=PATH]...] [--accept]
# FILM is a film, or a folder of its frames with cameras and times. Its subject is cut out, unless --masks brings the masks of its
# frames; the cameras of --cameras, a transforms.json or a COLMAP folder, see it from where it stands still, else its pose is
# estimated frame by frame, and compact learns beside the shape how far these poses are off. compact (the default without CUDA)
# reconstructs the film by Gaussians and bones and asks no prior. paper fits a field of signed distances and bones on a GPU, and
# asks MVDream what the film does not show (`a4d weights fetch mvdream-2.1`); --subject says in words what the film shows. With
# --generate "a squirrel" the same bones then carry what that text says, which needs paper. --motion gives either another motion: a
# BVH file, the clip of a GLB, or another workspace, of whose joints --joints says which moves which where their names do not:
# exports/film-joints.yaml is such a file, waiting for its pairs, and exports/film-joints.png shows the joints in it.
# The recipe ends with exit code 7, what was made kept, where the subject's mask is in doubt in three of ten frames
# (preprocess), no camera makes one shape of them or several do (estimate-pose), the model misses the film (fit-dynamic,
# distill) or its skeleton the model (export). --accept goes on with all of these, each of them said.
# A camera that is known to stand still is said by A4D_ESTIMATE_POSE="--still"; else the recipe finds out whether it turns.
# What stands in A4D_OPTIONS is added to every fit, such as "--seed 1 --device cuda:1"; what stands in A4D_PREPROCESS,
# A4D_ESTIMATE_POSE, A4D_FIT_DYNAMIC, A4D_DISTILL and A4D_EXPORT to the one of that name, A4D_EXPORT to both exports
# where --motion gives two. --name, --from and --stem are the recipe's own there.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"
source "$root/recipes/_options.sh"

read_options masks cameras subject generate motion joints -- "$@"
[ "${#positional[@]}" -eq 1 ] || usage
film="${positional[0]}"
case "$film" in -*) film="./$film" ;; esac
for each in "$film" "$masks" "$cameras" "$motion" "$joints"; do
  [ -z "$each" ] || [ -e "$each" ] || { echo "there is no '$each'" >&2; exit 4; }
done
case "$motion" in
  *.bvh | *.BVH)
    [ -n "$joints" ] || {
      echo "the joints of a film's model have numbers, which no joint of '$motion' is called; run the recipe without --motion, pair them in a copy of exports/film-joints.yaml, as exports/film-joints.png shows them, and add --joints COPY" >&2
      exit 2
    } ;;
esac
ready_environment
choose_profile animatable_dreamer
if [ -n "$generate" ] && ! has_section distill; then
  echo "--generate asks a prior what a text looks like, and '$profile' has none; add --profile paper" >&2
  exit 2
fi
if has_section distill && [ -z "$subject" ]; then
  echo "the prior of '$profile' must be told what the film shows; add --subject 'a squirrel'" >&2
  exit 2
fi

name="./$(python -m a4d.naming file "$film").a4d"
scene=film
[ "$profile" = compact ] || scene="film-$profile"
# A folder says where its cameras are, and what flow there is between its frames; a film's are found.
method="--method object" channels=""
[ -z "$cameras" ] || method=""
[ ! -d "$film" ] || method="" channels="--set flow=null"
run a4d preprocess "$film" --config "$settings" ${masks:+--masks "$masks"} ${weights:+--weights "$weights"} $channels \
  $accept ${A4D_PREPROCESS:-}
stage estimate-pose ${cameras:+--cameras "$cameras" --moving} $method $accept
followed=""
[ -d "$name/flow" ] || followed="--set without=[flow]"
fit fit-dynamic --name "$scene" ${subject:+--prompt "$subject"} $followed
model="$scene"
if [ -n "$generate" ]; then
  # Every text is a scene of its own, so that another one never costs the one before.
  model="$(python -m a4d.naming text "$generate")"
  fit distill --name "$model" --from "$scene" --prompt "$generate"
fi
stage export --name "export-$model" --from "$model" --stem "$model" $accept
[ -z "$motion" ] ||
  stage export --name "export-$model-driven" --from "$model" --stem "$model-driven" --motion "$motion" ${joints:+--joints "$joints"} $accept
echo "Done. Open these:" >&2
ls -1d "$name/exports/$model"* >&2
# The scene, for whoever goes on with it.
echo "$model"
