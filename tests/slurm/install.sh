#!/usr/bin/env bash
# The Debian packages that `make slurm-test` needs: installed where that is possible, else named.
set -euo pipefail
packages="slurmctld slurmd slurm-client munge slurmdbd mariadb-server"
PATH=$PATH:/usr/sbin:/sbin
absent=
for program in slurmctld slurmd sbatch munged slurmdbd mariadbd; do
    command -v "$program" >/dev/null || absent="$absent $program"
done
[ -n "$absent" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "make slurm-test needs$absent. As root: apt-get install -y --no-install-recommends $packages" >&2
    exit 1
fi
# packages start their daemons when they are installed; the tests start their own
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $packages
