#!/bin/sh
# Gives the tests DVC in an environment of its own: it brings sixty packages, and nothing imports it.
# Never fails the build: without it those tests skip and say so.

cd "$(dirname "$0")/../.." || exit 0
lock=requirements/dvc.lock
venv=.venv-dvc
[ $venv/.done -nt $lock ] && exit 0

echo "Installing DVC for the tests (half a minute, once)."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { .venv/bin/python -m venv --clear $venv &&
    $venv/bin/python -m pip install --quiet --no-input --no-compile --require-hashes --no-deps -r $lock; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    echo "pip could not install it (its last lines are above): those tests will be skipped." >&2
    exit 0
fi
touch $venv/.done
exit 0
