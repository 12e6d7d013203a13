# What recipes share: their help, their options, the profile that they take settings from, and how they run a stage.
# Sourced, beside _environment.sh, with the recipe's own arguments: of these --help and -h are answered here.

# The comments at the head of a recipe are its help, and the indented lines of these its usage.
print_help() { sed -n '2,$!d; /^#/!q; s/^# \{0,1\}//p' "$0"; }
usage() { sed -n 's/^#   //p' "$0" >&2; exit 2; }

for argument in "$@"; do
  case "$argument" in
    --help | -h) print_help; exit 0 ;;
    --) break ;;
  esac
done

# read_options NAME... -- ARGUMENT...
# --profile, --weights and --accept, and --NAME VALUE for each further NAME, into variables of these names, _ for -; what is left goes
# into `positional`.
read_options() {
  local own=()
  while [ "$1" != -- ]; do own+=("$1"); shift; done
  shift
  require_own_names
  profile="" weights="" accept="" positional=()
  local name argument
  for name in ${own[@]+"${own[@]}"}; do printf -v "${name//-/_}" ''; done
  while [ $# -gt 0 ]; do
    argument="$1"
    shift
    case "$argument" in
      --accept) accept=--accept ;;
      --) positional+=("$@"); return ;;
      --*)
        name="${argument#--}"
        name="${name%%=*}"
        case " profile weights ${own[*]-} " in *" $name "*) ;; *) echo "there is no option --$name" >&2; usage ;; esac
        case "$argument" in
          *=*) printf -v "${name//-/_}" %s "${argument#*=}" ;;
          *) [ $# -ge 1 ] || usage; printf -v "${name//-/_}" %s "$1"; shift ;;
        esac
        ;;
      *) positional+=("$argument") ;;
    esac
  done
}

# What a run is called and goes on from links the stages of a recipe, so what the user adds to them says neither.
require_own_names() {
  local variable
  for variable in "${!A4D_@}"; do
    [[ " ${!variable} " =~ [[:space:]](--name|--from|--stem)[[:space:]=] ]] || continue
    echo "$variable says ${BASH_REMATCH[1]}, and the recipe names what its stages make itself; leave it out" >&2
    exit 2
  done
}

# choose_profile PAPER [NAME]: `profile` is NAME, or paper, where there is CUDA, else compact; `settings` is its file.
choose_profile() {
  local folder="$root/recipes/$1" known
  if [ -z "$profile" ]; then
    python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' && profile="${2:-paper}" || profile=compact
  fi
  settings="$folder/$profile.yaml"
  [ -f "$settings" ] && return
  known="$(cd "$folder" && echo *.yaml)"
  echo "there is no profile '$profile'; choose from: ${known//.yaml/}" >&2
  exit 2
}

# stage NAME OPTION...: on the workspace `name`, with its section of the profile, and what the user adds to it by A4D_NAME.
stage() {
  local own
  own="A4D_$(printf %s "$1" | tr a-z- A-Z_)"
  run a4d "$1" "$name" --config "$settings" "${@:2}" ${!own:-}
}

# fit STAGE OPTION...: one that optimises a scene, with what the user adds to all of them by A4D_OPTIONS.
fit() { stage "$1" ${weights:+--weights "$weights"} $accept "${@:2}" ${A4D_OPTIONS:-}; }

# has_section STAGE: whether the profile has one.
has_section() { grep -q "^$1:" "$settings"; }
