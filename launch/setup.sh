# Sourced by the other scripts: makes .venv in this checkout and installs into it, once per change of
# the requirements. REDALIGN_JAX=cuda13 or tpu picks that build of JAX. $root is the checkout; the
# working directory stays, so that relative paths are the user's.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; PYTHON=/path/to/python picks one." >&2
    exit 1
}
jax=jax
[ -n "${REDALIGN_JAX:-}" ] && jax="jax[$REDALIGN_JAX]"

install() { # install EXTRAS: the package, editable, with its extras
    local want venv="$root/.venv"
    want="$jax $1 $(cat "$root/requirements.txt" "$root/pyproject.toml" | cksum)"
    if [ "$(cat "$venv/.installed$1" 2>/dev/null)" != "$want" ]; then
        [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
        echo "Installing into $venv ..."
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$jax" \
            --editable "$root$1"
        echo "$want" >"$venv/.installed$1"
    fi
}
