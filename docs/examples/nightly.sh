#!/bin/sh
# Append the slices of a folder to a cube, every night, from cron:
#
#   PATH=/opt/cubes/venv/bin:/usr/bin:/bin
#   30 2 * * *  /opt/cubes/nightly.sh /data/sst.zarr /data/slices /var/log/sst.log
#
# Create the cube once by hand: this script only extends it, so that a typing error creates nothing.
# Slices that are in the cube already are compared and skipped. A run that was killed is finished or
# rolled back by the next one. The exit code is that of zapz: docs/errors.md lists them.
set -u

target=$1
slices=$2
log=$3

{
    date -u '+%Y-%m-%dT%H:%M:%SZ'
    zapz append --existing --sort --lock-wait 3600 "$target" "$slices"/*.zarr
    code=$?
    case $code in
    0) ;;
    3 | 4 | 5) echo "exit code $code: a slice needs your attention; the slices before it are in the cube" ;;
    7) echo "exit code 7: another run still holds the cube" ;;
    *) echo "exit code $code: the next run tries again" ;;
    esac
} >>"$log" 2>&1

[ "$code" -eq 0 ] || tail -n 5 "$log" >&2 # cron sends this by mail
exit "$code"
