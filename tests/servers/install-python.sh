#!/bin/sh
# install-python.sh FOLDER LOCK WHAT: gives the tests a program in an environment of its own, since
# nothing imports it (DVC brings sixty packages) or it does not take what Promptly runs with (MLflow's
# server, another Arrow). Never fails the build: without it those tests skip and say so.

cd "$(dirname "$0")/../.." || exit 0
venv=$1
lock=$2
[ "$venv/.done" -nt "$lock" ] && exit 0

echo "Installing $3 for the tests (a minute at most, once)."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { .venv/bin/python -m venv --clear "$venv" &&
    "$venv/bin/python" -m pip install --quiet --no-input --no-compile --require-hashes --no-deps -r "$lock"; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    echo "pip could not install it (its last lines are above): those tests will be skipped." >&2
    exit 0
fi
touch "$venv/.done"
exit 0
