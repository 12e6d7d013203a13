#!/usr/bin/env bash
# A folder of pictures with captions by animate124.sh, and one table of what came of them.
#   bash recipes/animate124_benchmark.sh FOLDER [--judges NAME[,NAME]...] [options of animate124.sh]
# FOLDER is laid out as Animate124's benchmark: benchmark.json, and NAME/image.jpg or NAME/rgba.png for each of its names; or
# NAME/caption.txt beside each picture. --judges clip-vit-b-32 (`a4d weights fetch clip-vit-b-32`) adds CLIP-I of the reference
# view, CLIP-F, and CLIP-R among all captions. Results lie in the current folder; a picture that fails is said and left out.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"
source "$root/recipes/_options.sh"

[ $# -ge 1 ] || usage
folder="$1" judges=""
shift
if [ "${1:-}" = --judges ]; then [ $# -ge 2 ] || usage; judges="$2"; shift 2; fi
ready_environment
list="$(python "$root/recipes/_benchmark.py" list "$folder")"

mkdir -p benchmark
results=()
while IFS=$'\t' read -r name picture caption; do
  # What an earlier call found is no result of this one.
  rm -f "benchmark/$name.json"
  cp "$picture" "benchmark/$name.${picture##*.}"
  echo "$name: $caption" >&2
  (cd benchmark && run bash "$root/recipes/animate124.sh" "$name.${picture##*.}" "$caption" --accept "$@") \
    > "benchmark/$name.log" || { echo "$name ended with $?, and is left out" >&2; continue; }
  texts=()
  if [ -n "$judges" ]; then
    texts=(--judges "$judges" --text "$caption")
    while IFS=$'\t' read -r _ _ other; do [ "$other" = "$caption" ] || texts+=(--text "$other"); done <<< "$list"
  fi
  scene="$(tail -n 1 "benchmark/$name.log")"
  run a4d evaluate "benchmark/$name.a4d" --scene "$scene" --compare views ${texts[@]+"${texts[@]}"} --json \
    > "benchmark/$name.json"
  results+=("benchmark/$name.json")
done <<< "$list"
[ ${#results[@]} -gt 0 ] || { echo "no picture of $folder has a result" >&2; exit 7; }
python "$root/recipes/_benchmark.py" table "${results[@]}"
