#!/bin/sh
# Install Debian packages with the settings of the machine that builds, and leave none of them behind.
# Usage: sh apt-install.sh PACKAGE...
#
# Mounted while this runs, never copied: /run/secrets/apt_conf (which names the sources, the logins and the CA bundle),
# /run/build (this script and the machine's CA bundle), and empty folders for apt's lists and archives.
set -eu
export APT_CONFIG=/run/secrets/apt_conf DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
apt-get update
apt-get install -y -o Dpkg::Options::=--force-confold "$@"
# Texts that people read, and logs that name the hour of the build.
rm -rf /usr/share/man /usr/share/info /usr/share/locale /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
find /usr/share/doc -type f ! -name copyright -delete
find /usr/share/doc -type l -delete
rm -f /var/lib/dpkg/*-old /var/cache/debconf/*-old
