#!/bin/sh
# Serve Label Studio, by the Python that its own command runs with: in the official image that is in a virtual
# environment whose place is not ours.
set -eu
python=$(sed -n '1s/^#! *\(.*python[0-9.]*\).*/\1/p' "$(command -v label-studio)")
exec "${python:-python3}" -m gunicorn --config python:labelrig_gunicorn
