#!/bin/sh
# install-node.sh FOLDER WHAT: gives the tests what tests/servers/FOLDER/package.json names, from npm by
# its lock file. Never fails the build: without it those tests skip and say so.

cd "$(dirname "$0")/$1" || exit 0
shift
if ! command -v npm >/dev/null 2>&1; then
    echo "No node here: the tests of $* will be skipped (try: sudo apt-get install npm)." >&2
    exit 0
fi
[ node_modules/.package-lock.json -nt package-lock.json ] && exit 0

echo "Installing $* for the tests (half a minute at most, once)."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    echo "npm could not install it (its last lines are above): those tests will be skipped." >&2
fi
exit 0
