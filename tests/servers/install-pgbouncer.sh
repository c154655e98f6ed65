#!/bin/sh
# Gives the tests a PgBouncer where the system can install one. Never fails the build: without it
# those tests skip and say so.

PATH=$PATH:/usr/sbin
command -v pgbouncer >/dev/null 2>&1 && exit 0

skip() {
    echo "No PgBouncer here and $1: the tests through it will be skipped." >&2
    exit 0
}

command -v apt-get >/dev/null 2>&1 || skip "no apt-get to install one with"
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    skip "installing one needs root (try: sudo apt-get install pgbouncer)"
fi

echo "Installing PgBouncer for the tests (seconds, once)."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { $as_root apt-get update &&
    $as_root apt-get install -y --no-install-recommends pgbouncer; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    skip "apt-get could not install it (its last lines are above)"
fi
# The tests start their own; the package's service is not wanted.
$as_root systemctl disable --now pgbouncer >/dev/null 2>&1
exit 0
