#!/usr/bin/env bash
# The browser that looks at the report: installed where that is possible; without it that one test is skipped.
set -uo pipefail
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q && apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core
fi
command -v chromium >/dev/null || echo "no chromium: the report is not looked at in a browser" >&2
exit 0
