#!/usr/bin/env bash
# From images to 3D assets, without GPU, weights or system packages.
#   bash recipes/quickstart.sh [IMAGE...] [--mask FILE|FOLDER] [--matting NAME] [--weights NAME=PATH[,NAME=PATH]...] [--accept]
# Without IMAGE it is a picture of a generated creature. Each becomes a workspace of its own in the current folder, of the image's
# name, or where several have one name of its folder's; one that fails is said and left out.
# A photo of which nothing tells the subject ends with exit code 7. --mask says what it is, white or opaque on the subject: the file
# of one image, or a folder of masks that are called like the workspaces, photos/cat.jpg's masks/cat.png. --matting grabcut takes
# what is found by looking, and --matting birefnet asks a network (`a4d weights fetch birefnet`). --accept goes on with a shape
# that misses its picture.
# What stands in A4D_PREPROCESS, such as "--size 1024", A4D_FIT_STATIC and A4D_EXPORT is added to the stage of that name.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"
source "$root/recipes/_options.sh"

read_options mask matting -- "$@"
[ -z "$profile" ] || { echo "there is no option --profile" >&2; usage; }
images=(${positional[@]+"${positional[@]}"})
[ -z "$mask" ] || [ -e "$mask" ] || { echo "there is no mask '$mask'" >&2; exit 4; }
if [ -f "$mask" ] && [ ${#images[@]} -gt 1 ]; then
  echo "--mask $mask is that of one image; give a folder of masks that are called like the workspaces" >&2
  exit 2
fi
[ -w . ] || { echo "nothing can be written to the current folder; work in another" >&2; exit 3; }
ready_environment

if [ ${#images[@]} -eq 0 ]; then
  images=(creature.png)
  run python "$root/examples/make_creature.py" "${images[0]}"
fi

# mask_of NAME: the file that says what a workspace's subject is.
mask_of() {
  [ -d "$mask" ] || { printf %s "$mask"; return; }
  local file
  for file in "$mask/$1".*; do
    [ "${file%.*}" != "$mask/$1" ] || [ ! -f "$file" ] || { printf %s "$file"; return; }
  done
  echo "there is no mask '$1.png' in $mask" >&2
  return 4
}

# cut_out IMAGE NAME: as the user says. Else it is left to fit-static, which takes what has been cut out before.
cut_out() {
  [ -n "$mask$matting${A4D_PREPROCESS:-}" ] || return 0
  local own
  own="$(mask_of "$2")" || return
  run a4d preprocess "$1" ${own:+--mask "$own"} ${matting:+--matting "$matting"} ${weights:+--weights "$weights"} \
    ${A4D_PREPROCESS:-}
}

shared="$(for image in "${images[@]}"; do python -m a4d.naming file "$image"; done | sort | uniq -d)"
made=() status=0
for image in "${images[@]}"; do
  case "$image" in -*) image="./$image" ;; esac
  name="./$(python -m a4d.naming file "$image").a4d"
  if grep -qxF -e "$(basename "$name" .a4d)" <<< "$shared"; then
    folder="$(cd "$(dirname "$image")" && pwd)"
    link="./$(basename "$folder").${image##*.}"
    [ "$link" -ef "$image" ] || ln -s "$folder/$(basename "$image")" "$link" || { status=2; continue; }
    image="$link" name="${link%.*}.a4d"
  fi
  if cut_out "$image" "$(basename "$name" .a4d)" \
    && run a4d fit-static "$image" ${weights:+--weights "$weights"} $accept ${A4D_FIT_STATIC:-} \
    && run a4d export "$name" $accept ${A4D_EXPORT:-}; then
    made+=("$name"/exports/*)
  else
    status=$?
    [ ${#images[@]} -gt 1 ] || exit "$status"
    echo "$image ended with $status, and is left out" >&2
  fi
done
[ ${#made[@]} -gt 0 ] || exit "$status"
echo "Done. Open these:" >&2
printf '%s\n' "${made[@]}" >&2
exit "$status"
