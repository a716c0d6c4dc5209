#!/bin/sh
# What a boot does on a lab server without systemd. It is process 1 of the container; its output is `docker logs`.
# /run is a fresh tmpfs each time, as on a real machine, so no pid file of the last life is there.
set -u
exec 2>&1

say() {
    echo "$(date -u +%H:%M:%S) boot: $*"
}

# The engine inside makes control groups below this container's own.
open_cgroups() {
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
        mount -o remount,bind,rw /sys/fs/cgroup
        # Version 2: a group that hands out controllers may hold no process itself.
        mkdir -p /sys/fs/cgroup/init
        while read -r process; do
            echo "$process" >/sys/fs/cgroup/init/cgroup.procs
        done </sys/fs/cgroup/cgroup.procs
        sed 's/ / +/g; s/^/+/' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
    else
        awk '$3 == "cgroup" { print $2 }' /proc/mounts | while read -r group; do
            mount -o remount,bind,rw "$group"
        done
    fi
}

start_engine() {
    command -v dockerd >/dev/null || return 0
    # The package's script raises limits first, which it may not where they are fixed from outside.
    if [ -x /etc/init.d/docker ] && /etc/init.d/docker start; then
        say "the docker engine was started by its script"
    else
        setsid dockerd </dev/null >>/var/log/docker.log 2>&1 &
        say "the docker engine was started as process $!"
    fi
}

# A shutdown ends the engine, which ends its containers; whatever is left then is killed with the container.
shut_down() {
    trap '' TERM INT
    engine=$(cat /run/docker.pid 2>/dev/null) && kill -TERM "$engine" 2>/dev/null && say "the docker engine stops"
    tries=0
    while [ -n "$engine" ] && kill -0 "$engine" 2>/dev/null && [ "$tries" -lt 60 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    say "down"
    exit 0
}

trap shut_down TERM INT
mkdir -p -m 0755 /run/sshd
mkdir -p -m 1777 /run/lock
open_cgroups
/usr/sbin/sshd -D -e &
say "sshd was started as process $!"
start_engine
# `wait` also reaps what lost its parent: orphans become children of process 1.
while :; do
    sleep infinity &
    wait $!
done
