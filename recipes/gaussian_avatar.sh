#!/usr/bin/env bash
# A film of a person to an avatar that any motion drives (GaussianAvatar).
#   bash recipes/gaussian_avatar.sh FILM [--drive MOTION] [--body anny|FILE] [--tracks FILE] [--keypoints FILE]
#        [--profile compact|paper] [--weights NAME=PATH[,NAME=PATH]...] [--accept]
# FILM is a film of one person, or a folder of People-Snapshot, NeuMan, InstantAvatar or GaussianAvatar. BlazePose finds and
# cuts out the person of a film (`pip install a4d[person]`, `a4d weights fetch blazepose` or --weights blazepose=FOLDER), and a
# body is fitted to what it finds; --keypoints brings points of COCO, OpenPose or MediaPipe instead, and --tracks poses that
# PHALP, WHAM, GVHMR, TRAM, SAM 3D Body or others found. The body is the open one that ships with the package, the user's own
# SMPL or SMPL-X file, or any rigged GLB character. --drive makes the avatar move as a BVH file, the clip of a GLB, an AMASS
# file or another workspace does. compact (the default without CUDA) learns a table over the body's texture; paper a decoded
# map, and in a second stage what poses do to it. It begins from poses alone and needs no diffusion prior.
# A body or an avatar that misses its film ends the recipe with exit code 7, its result kept; --accept goes on with it.
# What stands in A4D_OPTIONS is added to every fit, such as "--seed 1 --device cuda:1"; what stands in A4D_PREPROCESS,
# A4D_ESTIMATE_POSE, A4D_FIT_DYNAMIC, A4D_REFINE and A4D_EXPORT to the one of that name.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"
source "$root/recipes/_options.sh"

read_options drive body tracks keypoints -- "$@"
[ "${#positional[@]}" -eq 1 ] || usage
film="${positional[0]}"
case "$film" in -*) film="./$film" ;; esac
for each in "$film" $drive $tracks $keypoints; do
  [ -e "$each" ] || { echo "there is no '$each'" >&2; exit 4; }
done
ready_environment person
choose_profile gaussian_avatar

name="./$(python -m a4d.naming file "$film").a4d"
scene=avatar
[ "$profile" = compact ] || scene="avatar-$profile"
# Poses and keypoints of other programs come with masks of their own, or with a background that can be told.
person="--matting person"
[ -f "$film" ] && [ -z "$keypoints$tracks" ] || person=""
run a4d preprocess "$film" --config "$settings" $person \
  ${keypoints:+--keypoints "$keypoints"} ${weights:+--weights "$weights"} ${A4D_PREPROCESS:-}
stage estimate-pose ${tracks:+--tracks "$tracks"} ${body:+--body "$body"} $accept
fit fit-dynamic --name "$scene"
avatar="$scene"
if has_section refine; then
  avatar="$scene-posed"
  fit refine --name "$avatar" --from "$scene"
fi
stage export --name "export-$avatar" --from "$avatar" --stem "$avatar"
[ -z "$drive" ] || stage export --name "export-$avatar-driven" --from "$avatar" --stem "$avatar-driven" --motion "$drive"
echo "Done. Open these:" >&2
ls -1d "$name/exports/$avatar"* >&2
