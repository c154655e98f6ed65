#!/bin/sh
# Gives the browser tests a Chromium where the system can install one. Never fails the build:
# without a browser those tests skip and say so.

for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done

skip() {
    echo "No Chromium here and $1: the browser tests will be skipped." >&2
    exit 0
}

command -v apt-get >/dev/null 2>&1 || skip "no apt-get to install one with"
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    skip "installing one needs root (try: sudo apt-get install chromium fonts-dejavu-core)"
fi

echo "Installing Chromium for the browser tests (about a minute, once)."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { $as_root apt-get update &&
    $as_root apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    skip "apt-get could not install it (its last lines are above)"
fi
exit 0
