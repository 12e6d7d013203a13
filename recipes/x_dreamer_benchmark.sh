#!/usr/bin/env bash
# A file of texts by x_dreamer.sh, and one table of their CLIP scores (X-Dreamer, table 1).
#   bash recipes/x_dreamer_benchmark.sh FILE [--judges NAME[,NAME]...] [options of x_dreamer.sh]
# FILE holds a text per line. A score is 100 times the mean cosine of 24 views around the result over white and its text, by each
# of the judges: clip-vit-b-32 (the default; `a4d weights fetch clip-vit-b-32`), clip-vit-l-14, clip-vit-bigg-14. Results lie in the
# current folder, and what is there already is not made again; a text that fails is said and left out. What stands in A4D_EVALUATE is
# added to each judgement, such as "--weights clip-vit-b-32=FOLDER".
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/recipes/_environment.sh"
source "$root/recipes/_options.sh"

[ $# -ge 1 ] || usage
file="$1" judges=clip-vit-b-32
shift
if [ "${1:-}" = --judges ]; then [ $# -ge 2 ] || usage; judges="$2"; shift 2; fi
[ -f "$file" ] || { echo "there is no file '$file'" >&2; exit 4; }
ready_environment

mkdir -p benchmark
results=()
while IFS= read -r text || [ -n "$text" ]; do
  [ -n "${text// /}" ] || continue
  echo "$text" >&2
  stem="$(python -m a4d.naming text "$text")"
  # What an earlier call found is no result of this one.
  rm -f "benchmark/$stem".*.json
  run bash "$root/recipes/x_dreamer.sh" "$text" --accept "$@" >&2 || { echo "$stem ended with $?, and is left out" >&2; continue; }
  for judge in ${judges//,/ }; do
    result="benchmark/$stem.$judge.json"
    run a4d evaluate "$stem.a4d" --compare turntable --background white --judges "$judge" --text "$text" \
      ${A4D_EVALUATE:-} --json > "$result"
    results+=("$result")
  done
done < "$file"
[ ${#results[@]} -gt 0 ] || { echo "no text of $file has a result" >&2; exit 7; }
python "$root/recipes/_benchmark.py" scores "${results[@]}"
