#!/usr/bin/env bash
# Builds the examples without the command line and runs them, one of them without home folder, terminal and writable disk.
set -euo pipefail
cargo build --quiet --no-default-features --examples
examples=${CARGO_TARGET_DIR:-$PWD/target}/debug/examples

dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT
timeout 60 "$examples/to_file" "$dir/capture.zip" | grep -qE '^GET http://127.0.0.1:[0-9]+/: 200, 5 bytes$'
[ "$(ls "$dir")" = capture.zip ]
timeout 60 "$examples/discover" | grep -q '^127.0.0.1: 1 connections, 4 bytes sent$'
[ "$(timeout 60 "$examples/connector")" = "GET http://a.test/" ]

# In a mount namespace in which nothing can be written.
export program=$examples/in_memory
output=$(unshare --mount --fork sh -c '
    for mount in $(findmnt --noheadings --list --output TARGET); do
        mount -o remount,bind,ro "$mount" 2>/dev/null || mount -o remount,ro "$mount" 2>/dev/null || true
    done
    for place in / /tmp /var/tmp /dev/shm "$PWD"; do
        ! touch "$place/written-$$" 2>/dev/null || { echo "$place can be written"; exit 1; }
    done
    exec env -i setsid --wait "$program" </dev/null
')
[[ "$output" =~ ^GET\ http://127.0.0.1:[0-9]+/?:\ 204$ ]] || { echo "$output"; exit 1; }
echo "the examples work"
