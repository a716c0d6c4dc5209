#!/bin/sh
# Take out of an image what only its build needs, and what only helps whoever gets into a container: pip, apt, and the
# rights that a program takes from its file's owner. What is installed can still be listed: dpkg and its status stay.
# Usage: sh harden.sh
set -eu
# By dpkg, so that its status goes on telling the truth. Without apt nothing can be built on this image any more.
packages=$(dpkg-query --show --showformat '${binary:Package} ${db:Status-Status}\n' \
    apt apt-utils aptitude 'libapt-pkg*' python3-pip python3-pip-whl python3-setuptools-whl 'python3*-venv' 2>/dev/null |
    sed -n 's/ installed$//p')
[ -z "$packages" ] || dpkg --purge --force-depends --force-remove-essential --force-remove-protected $packages
# In every Python of the image: pip, and what would bring it back.
find / -xdev -depth \( \
    -path '*/site-packages/pip' -o -path '*/site-packages/pip-*.dist-info' -o -path '*/dist-packages/pip' -o \
    -path '*/lib/python3*/ensurepip' -o -path '*/bin/pip' -o -path '*/bin/pip[0-9]*' \
    \) -exec rm -rf {} +
find / -xdev -perm /6000 ! -type l -exec chmod ug-s {} +
rm -rf /var/lib/apt /var/cache/apt /etc/apt /usr/share/python-wheels
rm -f /var/log/dpkg.log /var/log/alternatives.log /var/lib/dpkg/*-old
