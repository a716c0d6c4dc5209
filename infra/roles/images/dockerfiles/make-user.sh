#!/bin/sh
# Make a name for each number that the container may run as (infra/config/settings.py: FIRST_UID, LAST_UID), and folders
# that any of them may write. Programs such as PostgreSQL's want to know the name of their user.
# Usage: sh make-user.sh FOLDER...
set -eu
for number in $(seq 61041 61060); do
    getent group "$number" >/dev/null || echo "labelrig:x:$number:" >>/etc/group
    getent passwd "$number" >/dev/null || echo "labelrig:x:$number:$number::/tmp:/usr/sbin/nologin" >>/etc/passwd
done
for folder in "$@"; do
    mkdir -p "$folder"
    chmod 1777 "$folder"
done
