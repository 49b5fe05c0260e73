#!/usr/bin/env bash
# slurm_local.sh - a real single-node SLURM on loopback, for tests. No systemd, no cgroups,
# nothing under /etc touched (but see SLURM_LOCAL_ETC): key, sockets, spool, logs and configuration lie in $SLURM_LOCAL_DIR.
#
#   . slurm_local.sh; slurm_local_start; sinfo; ...; slurm_local_stop
#   slurm_local.sh start | stop | restart | status | env
#
# Needs (Debian/Ubuntu): apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge
# and for SLURM_LOCAL_ACCT=1:                           slurmdbd mariadb-server
# Every process stopped here is one whose pid file lies in $SLURM_LOCAL_DIR.

SLURM_LOCAL_DIR=${SLURM_LOCAL_DIR:-/tmp/slurm_local.$(id -u)}
SLURM_LOCAL_CTLD_PORT=${SLURM_LOCAL_CTLD_PORT:-16817}
SLURM_LOCAL_SLURMD_PORT=${SLURM_LOCAL_SLURMD_PORT:-16818}
SLURM_LOCAL_CPUS=${SLURM_LOCAL_CPUS:-}          # default: what the machine has
SLURM_LOCAL_GPUS=${SLURM_LOCAL_GPUS:-2}         # pretended GPUs (links to /dev/null); 0: none
SLURM_LOCAL_ACCT=${SLURM_LOCAL_ACCT:-0}         # 1: slurmdbd and a private MariaDB, so that sacct answers
SLURM_LOCAL_DBD_PORT=${SLURM_LOCAL_DBD_PORT:-16819}
SLURM_LOCAL_DB_PORT=${SLURM_LOCAL_DB_PORT:-16806}
SLURM_LOCAL_ETC=${SLURM_LOCAL_ETC:-0}           # 1: link /etc/slurm/slurm.conf too (root; only where none is): exca,
                                                # snakemake and submitit.helpers.clean_env drop SLURM_CONF with all SLURM_*
SLURM_LOCAL_EXTRA=${SLURM_LOCAL_EXTRA:-}        # further lines for slurm.conf; @HOST@ stands for the node's name
SLURM_LOCAL_WAIT=${SLURM_LOCAL_WAIT:-30}        # seconds to wait for each thing
export SLURM_CONF=$SLURM_LOCAL_DIR/slurm.conf
case :$PATH: in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin; export PATH ;; esac

_sl_say() { printf 'slurm_local: %s\n' "$*" >&2; }

_sl_until() { # _sl_until SECONDS COMMAND...: poll until COMMAND succeeds
    local end=$(( $(date +%s) + $1 )); shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -ge "$end" ] && return 1
        sleep 0.1
    done
}

_sl_pid() { # _sl_pid NAME: the live pid of the NAME that this directory started, else fails
    local f=$SLURM_LOCAL_DIR/$1.pid p
    [ -s "$f" ] || return 1
    p=$(tr -dc 0-9 <"$f"); [ -n "$p" ] || return 1
    kill -0 "$p" 2>/dev/null || return 1
    # a recycled pid is not ours: the program must be called NAME and not be a zombie
    case $(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null) in
        *"$1"*) ;; *) return 1 ;;
    esac
    echo "$p"
}

_sl_gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }

_sl_stop_one() { # TERM, a bounded wait, then KILL, by pid
    local p
    p=$(_sl_pid "$1") || { rm -f "$SLURM_LOCAL_DIR/$1.pid"; return 0; }
    kill -TERM "$p" 2>/dev/null
    if ! _sl_until 10 _sl_gone "$p"; then
        _sl_say "$1 ($p) did not end on TERM: KILL"
        kill -KILL "$p" 2>/dev/null
        _sl_until 5 _sl_gone "$p"
    fi
    rm -f "$SLURM_LOCAL_DIR/$1.pid"
}

_sl_write_conf() {
    local d=$SLURM_LOCAL_DIR host user cpus mem gres= grestypes= n acct=AccountingStorageType=accounting_storage/none
    host=$(hostname -s) user=$(id -un)
    cpus=${SLURM_LOCAL_CPUS:-$(nproc)}
    mem=$(( $(awk '/^MemTotal:/ {print $2}' /proc/meminfo) / 1024 * 9 / 10 ))
    if [ "$SLURM_LOCAL_GPUS" -gt 0 ]; then
        grestypes="GresTypes=gpu" gres=" Gres=gpu:$SLURM_LOCAL_GPUS"
        # a gpu without File= is counted as 0 and drains the node; File= must be a device: links to one
        mkdir -p "$d/dev"
        for n in $(seq 0 $((SLURM_LOCAL_GPUS - 1))); do ln -sfn /dev/null "$d/dev/nvidia$n"; done
        printf 'AutoDetect=off\nNodeName=%s Name=gpu File=%s/dev/nvidia[0-%s]\n' \
            "$host" "$d" $((SLURM_LOCAL_GPUS - 1)) >"$d/gres.conf"
    else
        : >"$d/gres.conf"
    fi
    if [ "$SLURM_LOCAL_ACCT" = 1 ]; then
        acct="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$SLURM_LOCAL_DBD_PORT
# to slurmdbd, this is where munge's socket goes (AuthInfo is not read for it)
AccountingStoragePass=$d/run/munge.socket"
        (umask 077; cat >"$d/slurmdbd.conf") <<CONF
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$SLURM_LOCAL_DBD_PORT
SlurmUser=$user
CommunicationParameters=NoInAddrAny
AuthType=auth/munge
AuthInfo=socket=$d/run/munge.socket
LogFile=$d/slurmdbd.log
PidFile=$d/slurmdbd.pid
DebugLevel=info
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$SLURM_LOCAL_DB_PORT
StorageUser=slurm
StoragePass=$(cat "$d/db.pass")
StorageLoc=slurm_acct
CONF
    fi
    : >"$d/plugstack.conf"
    cat >"$d/slurm.conf" <<CONF
ClusterName=slurmlocal
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
SlurmctldPort=$SLURM_LOCAL_CTLD_PORT
SlurmdPort=$SLURM_LOCAL_SLURMD_PORT
# listen on the loopback address only
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
CredType=cred/munge
# cred_expire is also how long a requeued job waits before it may start again (default 120)
AuthInfo=socket=$d/run/munge.socket,cred_expire=10
StateSaveLocation=$d/state
SlurmdSpoolDir=$d/spool
SlurmctldPidFile=$d/slurmctld.pid
SlurmdPidFile=$d/slurmd.pid
SlurmctldLogFile=$d/slurmctld.log
SlurmdLogFile=$d/slurmd.log
SlurmctldDebug=info
SlurmdDebug=info
PlugStackConfig=$d/plugstack.conf
# no cgroups, no MPI
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
# without a database sacct has nothing to read; scontrol remembers ended jobs for MinJobAge seconds
$acct
JobCompType=jobcomp/filetxt
JobCompLoc=$d/jobcomp.log
MailProg=/bin/true
MinJobAge=3600
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=2,sched_min_interval=100000
# tests, not a supercomputer: be quick to notice, quick to kill
ReturnToService=2
JobRequeue=1
KillWait=5
MessageTimeout=10
SlurmctldTimeout=10
SlurmdTimeout=30
BatchStartTimeout=10
# take CPUs, memory as written here, not as measured
SlurmdParameters=config_overrides
MaxArraySize=1001
$grestypes
NodeName=$host NodeHostname=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$mem$gres State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE DefaultTime=10 State=UP
${SLURM_LOCAL_EXTRA//@HOST@/$host}
CONF
}

_sl_etc() { # _sl_etc link|unlink: never touches a slurm.conf that is not a link to this directory's
    local e=/etc/slurm/slurm.conf
    if [ "$1" = link ]; then
        [ "$(readlink $e 2>/dev/null)" = "$SLURM_CONF" ] && return 0
        if [ -e $e ] || [ -L $e ]; then _sl_say "$e exists: left alone"; return 1; fi
        mkdir -p /etc/slurm && ln -s "$SLURM_CONF" $e
    elif [ "$(readlink $e 2>/dev/null)" = "$SLURM_CONF" ]; then
        rm -f $e
    fi
}

_sl_node_up() { sinfo -h -o %T 2>/dev/null | grep -Eqx 'idle|mixed|allocated'; }

_sl_daemons() { # in the order in which they start
    echo munged
    [ "$SLURM_LOCAL_ACCT" = 1 ] && echo mariadbd slurmdbd
    echo slurmctld slurmd
}

_sl_start_acct() {
    local d=$SLURM_LOCAL_DIR sock=$SLURM_LOCAL_DIR/run/db.socket
    rm -rf "$d/db"; mkdir -p "$d/db"
    # a database for a test: no network but loopback, nothing synced to disk
    mariadb-install-db --no-defaults --datadir="$d/db" --user="$(id -un)" --skip-test-db \
        --auth-root-authentication-method=socket --auth-root-socket-user="$(id -un)" \
        --innodb-flush-method=nosync --innodb-log-file-size=16M >"$d/mariadb-install.log" 2>&1 ||
        { _sl_say "mariadb-install-db failed:"; tail -qn 5 "$d/mariadb-install.log" >&2; return 1; }
    mariadbd --no-defaults --datadir="$d/db" --user="$(id -un)" --socket="$sock" --pid-file="$d/mariadbd.pid" \
        --bind-address=127.0.0.1 --port="$SLURM_LOCAL_DB_PORT" --innodb-buffer-pool-size=64M \
        --innodb-log-file-size=16M --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync \
        --innodb-lock-wait-timeout=900 --skip-log-bin </dev/null >"$d/mariadbd.log" 2>&1 &
    disown $! 2>/dev/null
    _sl_until "$SLURM_LOCAL_WAIT" mariadb --no-defaults -S "$sock" -u "$(id -un)" -e 'SELECT 1' &&
    mariadb --no-defaults -S "$sock" -u "$(id -un)" -e "CREATE DATABASE slurm_acct;
        CREATE USER slurm@127.0.0.1 IDENTIFIED BY '$(cat "$d/db.pass")'; CREATE USER slurm@localhost IDENTIFIED BY '$(cat "$d/db.pass")';
        GRANT ALL ON slurm_acct.* TO slurm@127.0.0.1; GRANT ALL ON slurm_acct.* TO slurm@localhost;" ||
        { _sl_say "mariadbd failed:"; tail -qn 5 "$d/mariadbd.log" >&2; return 1; }
    # slurmdbd reads slurmdbd.conf beside $SLURM_CONF
    slurmdbd </dev/null >>"$d/slurmdbd.out" 2>&1 &&
    _sl_until "$SLURM_LOCAL_WAIT" sacctmgr -n show cluster &&
    sacctmgr -i add cluster slurmlocal >>"$d/slurmdbd.out" 2>&1 ||
        { _sl_say "slurmdbd failed:"; tail -qn 5 "$d/slurmdbd.log" "$d/slurmdbd.out" >&2; return 1; }
}

slurm_local_status() {
    local n p rc=0
    for n in $(_sl_daemons); do
        if p=$(_sl_pid $n); then echo "$n $p"; else echo "$n -"; rc=1; fi
    done
    [ $rc = 0 ] && _sl_node_up || rc=1
    return $rc
}

slurm_local_start() {
    local d=$SLURM_LOCAL_DIR n
    for n in $(_sl_daemons) sbatch; do
        command -v $n >/dev/null || { _sl_say "no $n: apt-get install slurmctld slurmd slurm-client munge"; return 1; }
    done
    if slurm_local_status >/dev/null; then _sl_say "already up ($d)"; return 0; fi
    slurm_local_stop                        # a half-started one
    mkdir -p "$d"/{run,state,spool} && chmod 755 "$d" "$d/run" || return 1
    rm -rf "$d"/state/* "$d"/spool/*        # each start is a fresh cluster
    rm -f "$d"/*.log
    [ -s "$d/munge.key" ] || (umask 077; head -c 1024 /dev/urandom >"$d/munge.key")
    [ -s "$d/db.pass" ] || (umask 077; head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$d/db.pass")
    _sl_write_conf || return 1
    if [ "$SLURM_LOCAL_ETC" = 1 ]; then _sl_etc link || return 1; fi

    munged --key-file="$d/munge.key" --socket="$d/run/munge.socket" --pid-file="$d/munged.pid" \
        --log-file="$d/munged.log" --seed-file="$d/munged.seed" --num-threads=2 --force 2>>"$d/munged.err" ||
        { _sl_say "munged failed:"; tail -qn 5 "$d/munged.err" "$d/munged.log" >&2; return 1; }
    _sl_until "$SLURM_LOCAL_WAIT" sh -c "munge -n -S '$d/run/munge.socket' | unmunge -S '$d/run/munge.socket'" ||
        { _sl_say "munged does not answer"; slurm_local_stop; return 1; }

    if [ "$SLURM_LOCAL_ACCT" = 1 ]; then _sl_start_acct || { slurm_local_stop; return 1; }; fi

    slurmctld -f "$d/slurm.conf" </dev/null >>"$d/slurmctld.out" 2>&1 &&
    _sl_until "$SLURM_LOCAL_WAIT" sh -c "scontrol ping | grep -q 'is UP'" ||
        { _sl_say "slurmctld failed:"; tail -qn 5 "$d/slurmctld.log" "$d/slurmctld.out" >&2; slurm_local_stop; return 1; }

    slurmd -f "$d/slurm.conf" </dev/null >>"$d/slurmd.out" 2>&1 &&
    _sl_until "$SLURM_LOCAL_WAIT" _sl_node_up ||
        { _sl_say "slurmd failed:"; tail -qn 5 "$d/slurmd.log" "$d/slurmd.out" >&2; slurm_local_stop; return 1; }
}

slurm_local_stop() {
    if _sl_pid slurmctld >/dev/null && _sl_pid slurmd >/dev/null; then
        timeout 10 scancel --user="$(id -un)" 2>/dev/null          # end the jobs, so no slurmstepd stays
        _sl_until 15 sh -c '[ -z "$(timeout 5 squeue -h)" ]' || _sl_say "jobs still listed at stop"
    fi
    _sl_stop_one slurmd
    _sl_stop_one slurmctld
    _sl_stop_one slurmdbd
    _sl_stop_one mariadbd
    _sl_stop_one munged
    _sl_etc unlink
    return 0
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    case ${1:-} in
        start) slurm_local_start ;;
        stop) slurm_local_stop ;;
        restart) slurm_local_stop; slurm_local_start ;;
        status) slurm_local_status ;;
        env) echo "export SLURM_CONF=$SLURM_CONF" ;;
        *) echo "usage: $0 start|stop|restart|status|env" >&2; exit 2 ;;
    esac
fi
