#!/bin/sh
# Finish a fresh root folder of Debian: make the Python environment, and remove what only the machine that made it
# needs, and what no container needs.
# Usage: sh finish.sh ROOT
set -eu
root=$1
# Once here instead of in each image: it takes longer than many installs.
chroot "$root" /usr/bin/python3.11 -m venv /opt/venv

# Settings of this machine: its resolver, name, mirror, proxies.
rm -f "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/apt/sources.list" "$root/etc/machine-id"
rm -rf "$root/etc/apt/apt.conf.d/"*proxy* "$root/etc/apt/auth.conf" "$root/debootstrap"
: >"$root/etc/machine-id"
# Caches, lists, logs, and texts that people read.
rm -rf "$root/var/lib/apt/lists" "$root/var/cache/apt" "$root/var/cache/debconf" "$root/var/cache/ldconfig" "$root/var/log"
mkdir -p "$root/var/lib/apt/lists/partial" "$root/var/cache/apt/archives/partial" "$root/var/cache/debconf" "$root/var/log"
rm -rf "$root/usr/share/man" "$root/usr/share/info" "$root/usr/share/locale" "$root/usr/share/i18n"
find "$root/usr/share/doc" -type f ! -name copyright -delete
find "$root/usr/share/doc" -type l -delete
rm -f "$root"/etc/*- "$root"/var/lib/dpkg/*-old "$root"/var/cache/*/*.bin
rm -rf "$root/tmp/"* "$root/var/tmp/"* "$root/root/.cache"
