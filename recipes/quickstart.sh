#!/usr/bin/env bash
# From images to 3D assets, without GPU, weights or system packages.
#   bash recipes/quickstart.sh [IMAGE...]      without IMAGE, a picture of a generated creature
# Each IMAGE becomes a workspace of its own in the current folder, of the image's name, or where several have one name of its folder's;
# one that fails is said and left out.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"
source "$root/recipes/_options.sh"
ready_environment

if [ $# -eq 0 ]; then
  set -- creature.png
  run python "$root/examples/make_creature.py" "$1"
fi

shared="$(for image in "$@"; do python -m a4d.naming file "$image"; done | sort | uniq -d)"
made=() status=0
for image in "$@"; do
  case "$image" in -*) image="./$image" ;; esac
  name="./$(python -m a4d.naming file "$image").a4d"
  if grep -qxF -e "$(basename "$name" .a4d)" <<< "$shared"; then
    folder="$(cd "$(dirname "$image")" && pwd)"
    link="./$(basename "$folder").${image##*.}"
    [ "$link" -ef "$image" ] || ln -s "$folder/$(basename "$image")" "$link" || { status=2; continue; }
    image="$link" name="${link%.*}.a4d"
  fi
  if run a4d fit-static "$image" && run a4d export "$name"; then
    made+=("$name"/exports/*)
  else
    status=$?
    [ $# -gt 1 ] || exit "$status"
    echo "$image ended with $status, and is left out" >&2
  fi
done
[ ${#made[@]} -gt 0 ] || exit "$status"
echo "Done. Open these:" >&2
printf '%s\n' "${made[@]}" >&2
exit "$status"
