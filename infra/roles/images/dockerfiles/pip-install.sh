#!/bin/sh
# Install into /opt/venv with the settings of the machine that builds, and leave none of them behind.
# Usage: sh pip-install.sh ARGUMENTS OF pip install
#
# Mounted while this runs, never copied: /run/secrets/pip_conf (index, credentials, time-outs),
# /run/build (this script, the machine's CA bundle, wheels that lie on its disk).
set -eu
[ -x /opt/venv/bin/pip ] || python3.11 -m venv /opt/venv # our own base image has it
PIP_CONFIG_FILE=/run/secrets/pip_conf /opt/venv/bin/pip install --no-compile --progress-bar off "$@"
echo "compiling what was installed"
# All processors at once, where pip uses one. Packages carry files for other Python versions, so some do not
# compile; the container's user may not write here, so what is not compiled now is compiled at every start.
/opt/venv/bin/python -m compileall -q -j 0 -x '/tests?/' /opt/venv/lib >/dev/null || :
