#!/bin/sh
# Gives the tests a program where the system can install one. Never fails the build: without it the
# tests that need it skip and say so.
#
#     sh tests/install-package.sh "COMMANDS" "PACKAGES" WHAT    any of the commands will do

PATH=$PATH:/usr/sbin
for name in $1; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
packages=$2
shift 2

skip() {
    echo "$* will be skipped: $reason." >&2
    exit 0
}

reason="there is no apt-get to install $packages with"
command -v apt-get >/dev/null 2>&1 || skip "$@"
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    reason="installing needs root (try: sudo apt-get install $packages)"
    skip "$@"
fi

echo "Installing $packages for $* (about a minute, once)."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # several packages
if ! { $as_root apt-get update &&
    $as_root apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    reason="apt-get could not install $packages (its last lines are above)"
    skip "$@"
fi
exit 0
