#!/usr/bin/env bash
# The browser that looks at the report, and axe-core: installed where that is possible; without them those tests are skipped.
set -uo pipefail
# the package holds axe-core itself; the driver that it depends on is not needed
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps axe-playwright-python==0.1.8 ||
    echo "no axe-core: the report is not checked for accessibility" >&2
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q && apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core
fi
command -v chromium >/dev/null || echo "no chromium: the report is not looked at in a browser" >&2
exit 0
