#!/usr/bin/env bash
# A simulator for a job of a CI system: `simulator.sh install`, `start`, then the job's own work, and always `stop`.
# action.yml runs it; so can any other system. It reads these variables:
#   INTEROPSIM_REPORT   Folder for log, journal and what the start said; it is kept. Must be set.
#   INTEROPSIM_PACKAGE  For `install`: what pip installs. Empty: what is on the path already is used.
#   INTEROPSIM_ARGS     For `start`: options of `interopsim up`, separated by spaces or line ends; none has a space in it.
#   INTEROPSIM_PEOPLE   For `start`: `true`, or a file with people, as for `interopsim up --people`.
#   INTEROPSIM_WAIT     For `start`: seconds until it must be ready; 30 without it.
# Where GITHUB_ENV, GITHUB_OUTPUT and GITHUB_PATH are set, later steps are told there what they need.
set -euo pipefail

report=${INTEROPSIM_REPORT:?Set INTEROPSIM_REPORT to the folder in which log and journal are to be kept.}
mkdir -p "$report"
report=$(cd "$report" && pwd)
export INTEROPSIM_STATE=$report/state
later=${GITHUB_ENV:-/dev/null} outputs=${GITHUB_OUTPUT:-/dev/null} path=${GITHUB_PATH:-/dev/null}

install() {
  if [ -z "${INTEROPSIM_PACKAGE:-}" ]; then
    interopsim --version
    return
  fi
  # In an environment of its own, of which only the command comes onto the path: the job's Python stays its own.
  local home
  home=$(mktemp -d)
  python3 -m venv "$home/environment"
  "$home/environment/bin/python" -m pip install --quiet --disable-pip-version-check "$INTEROPSIM_PACKAGE"
  mkdir "$home/bin"
  ln -s ../environment/bin/interopsim "$home/bin/interopsim"
  echo "$home/bin" >> "$path"
  "$home/bin/interopsim" --version
}

start() {
  local options
  read -r -d '' -a options <<< "${INTEROPSIM_ARGS:-}" || true  # its end is not that of a line
  case ${INTEROPSIM_PEOPLE:-} in
    '' | false) ;;
    true) options+=(--people) ;;
    *) options+=("--people=$INTEROPSIM_PEOPLE") ;;
  esac
  echo "report=$report" >> "$outputs"
  # The ready line is not kept: it can hold the token of admin calls.
  if ! interopsim start --grpc 127.0.0.1:0 --admin 127.0.0.1:0 --http 127.0.0.1:0 --name ci \
    --journal "$report/journal.jsonl" ${options[@]+"${options[@]}"} > /dev/null 2> "$report/start.log"; then
    cat "$report/start.log" >&2
    return 1
  fi
  interopsim wait --timeout "${INTEROPSIM_WAIT:-30}"
  interopsim env --shell github >> "$later"
  echo "INTEROPSIM_STATE=$INTEROPSIM_STATE" >> "$later"
  interopsim env --shell github | sed -n 's/^INTEROPSIM_\(GRPC\|ADMIN\|HTTP\)=/\L\1=/p' >> "$outputs"
  interopsim status
}

stop() {
  local failed=0
  interopsim stop --all || failed=$?
  cat "$INTEROPSIM_STATE"/*.log > "$report/simulator.log" 2> /dev/null || true  # of a start that failed there is none
  return "$failed"
}

case ${1:-} in
  install | start | stop) "$1" ;;
  *)
    echo "Say what to do: simulator.sh install, start or stop." >&2
    exit 2
    ;;
esac
