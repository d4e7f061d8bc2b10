# Sourced by the scripts: finds a Python, and once makes an environment with what a script needs.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Set in many container images. Without bytecode, each interpreter compiles all that it imports, and the tests start hundreds.
unset PYTHONDONTWRITEBYTECODE

# environment NAME INSTALL-ARGUMENT...: sets $python to an interpreter that has all of these installed.
# It is made with $PYTHON, or else the newest Python, kept in .cache/, and made again when pyproject.toml changes.
environment() {
    local name=$1 base=${PYTHON:-} folder stamp
    shift
    if [ -z "$base" ]; then
        base=$(scripts/pythons)  # lines of version and path, newest first
        base=${base%%$'\n'*}
        base=${base#* }
        base=${base:-python3}
    fi
    "$base" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || {
        echo "asgi-wsguard needs Python 3.9 or newer; $base is older. Choose another: PYTHON=python3.13 $0" >&2
        exit 2
    }
    folder=.cache/environments/$name-$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    python=$PWD/$folder/bin/python
    stamp=$("$base" -c 'import hashlib, sys; print(hashlib.sha256(open("pyproject.toml", "rb").read() + repr(sys.argv[1:]).encode()).hexdigest())' "$@")
    if [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ]; then
        return
    fi
    echo "making the environment $folder ..." >&2
    rm -rf "$folder"
    "$base" -m venv "$folder" || {
        echo "$base cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 2
    }
    "$python" -m pip install --quiet --disable-pip-version-check uv
    "$python" -m uv pip install --quiet --python "$python" "$@"
    echo "$stamp" >"$folder/stamp"
}

# side_by_side [N]: runs the commands on stdin, one on each line, N at once, or as many as there are processors. It prints
# the last line of each, or the whole output of one that failed.
side_by_side() {
    tr '\n' '\0' | xargs -0 -n 1 -P "${1:-$(getconf _NPROCESSORS_ONLN)}" bash -c '
        log=$(mktemp)
        if eval "$0" >"$log" 2>&1; then
            failed=0
            echo "${0##*/}: $(tail -n 1 "$log")"
        else
            failed=1
            cat "$log"
            echo "FAILED: $0"
        fi
        rm -f "$log"
        exit $failed'
}
