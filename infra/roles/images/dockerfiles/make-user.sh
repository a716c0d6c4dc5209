#!/bin/sh
# Make the user that the container runs as, and the folders that it may write.
# Usage: sh make-user.sh HOME FOLDER...
set -eu
home=$1
getent group 1001 >/dev/null || groupadd --gid 1001 labelrig
getent passwd labelrig >/dev/null ||
    useradd --non-unique --uid 1001 --gid 1001 --home-dir "$home" --no-create-home --shell /usr/sbin/nologin labelrig
for folder in "$@"; do
    mkdir -p "$folder"
    chown 1001:1001 "$folder"
done
# useradd keeps an entry for every number below: gigabytes that are not there, and a copy of each file.
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /var/log/lastlog /var/log/faillog
