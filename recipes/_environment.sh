# Sourced by the recipes and by tests/run.sh: makes .venv from constraints.txt once, and puts its programs first.
#   ready_environment [EXTRA]      EXTRA is one of pyproject.toml's optional dependency groups
#   run PROGRAM [ARGUMENT...]      whatever takes its time: a signal to the recipe reaches it at once
# A4D_ENVIRONMENT=active leaves that be and takes the programs on the PATH, as on a cluster with modules of its own.

# While a program runs in front, bash puts signals off until it has ended; `wait` is left at once.
run() {
  "$@" < /dev/null &
  wait "$!"
}
stop() { # CODE SIGNAL...: pass them on, and end when what was running has
  local signal
  for signal in "${@:2}"; do kill -s "$signal" $(jobs -pr) 2> /dev/null || true; done
  while [ -n "$(jobs -pr)" ]; do wait || true; done
  exit "$1"
}
trap 'stop 75 TERM' TERM HUP
trap 'stop 75 USR1' USR1
# What bash runs beside itself is deaf to the first until it says otherwise.
trap 'stop 130 INT TERM' INT

ready_environment() {
  local extra="${1:-}" root stamp python
  if [ "${A4D_ENVIRONMENT:-}" = active ]; then
    command -v a4d > /dev/null || { echo "there is no a4d on the PATH; activate its environment" >&2; return 5; }
    return
  fi
  root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
  python="${A4D_PYTHON:-python3}"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "a4d needs Python 3.10 or newer; name one with A4D_PYTHON=/path/to/python3" >&2
    return 5
  }
  stamp="$root/.venv/.ready-${extra:-plain}-$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum | cut -d' ' -f1)"
  if [ ! -e "$stamp" ]; then
    echo "Setting up $root/.venv ..." >&2
    [ -x "$root/.venv/bin/python" ] || run "$python" -m venv "$root/.venv" || return 5
    local install=(run "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt")
    # torch comes first and alone: what is installed is taken as it is by everything that asks for a range.
    # The build's warnings are about our own packaging, and nothing that a user could act on.
    PYTHONWARNINGS=ignore "${install[@]}" torch && PYTHONWARNINGS=ignore "${install[@]}" -e "$root${extra:+[$extra]}" \
      || { echo "the packages could not be installed; see the message above" >&2; return 5; }
    touch "$stamp"
    echo "The first run also compiles its kernels, once, which takes a minute or two." >&2
  fi
  export PATH="$root/.venv/bin:$PATH"
}
