#!/bin/sh
# Makes the virtual environment $1, unless it is there and works. Says in one line what is missing.
set -eu
folder=$1
recent='import sys; sys.exit(sys.version_info < (3, 11))'

# An environment that was left half made, or whose Python is gone, fails here and is made anew.
if "$folder/bin/python" -c "$recent" 2>/dev/null && "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

without_venv=
for python in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
    "$python" -c "$recent" 2>/dev/null || continue
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        without_venv=$python
        continue
    fi
    "$python" -m venv --clear "$folder"
    exit 0
done

if [ -n "$without_venv" ]; then
    echo "error: $without_venv has no venv module; install it (on Debian and Ubuntu: the package python3-venv)" >&2
else
    echo "error: Python 3.11 or newer is needed and none of ${PYTHON:-python3.11 ... python3} is; PYTHON=/path/to/python names another" >&2
fi
exit 1
