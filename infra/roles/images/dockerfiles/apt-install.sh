#!/bin/sh
# Bring the packages that are there to what the suites offer, and install others, with the settings of the machine that
# builds; none of these stays behind.
# Usage: sh apt-install.sh [--if-reachable] [PACKAGE...]
#   --if-reachable: a published image is used as it is where the Debian mirror does not answer
#
# Mounted while this runs, never copied: /run/secrets/apt_conf (which names the sources, the logins and the CA bundle),
# /run/build (this script and the machine's CA bundle), and empty folders for apt's lists and archives.
set -eu
export APT_CONFIG=/run/secrets/apt_conf DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
if [ "${1:-}" = --if-reachable ]; then
    shift
    apt-get update -o APT::Update::Error-Mode=any -o Acquire::Retries=1 || {
        echo "no Debian mirror answers: the packages stay as the published image has them"
        exit 0
    }
else
    apt-get update
fi
apt-get upgrade -y --with-new-pkgs -o Dpkg::Options::=--force-confold
if [ $# -gt 0 ]; then
    apt-get install -y -o Dpkg::Options::=--force-confold "$@"
fi
# Texts that people read, and logs that name the hour of the build.
rm -rf /usr/share/man /usr/share/info /usr/share/locale /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
find /usr/share/doc -type f ! -name copyright -delete
find /usr/share/doc -type l -delete
rm -f /var/lib/dpkg/*-old /var/cache/debconf/*-old
