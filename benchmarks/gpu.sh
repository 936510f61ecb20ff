#!/usr/bin/env bash
# What a GPU does, under 9 minutes, as one table:
#
#   bash benchmarks/gpu.sh [PARTS ...]               with what $PYTHON (default python3) has installed
#   bash benchmarks/gpu.sh --wheels FOLDER [...]     with these wheels beside the system's torch, without a network
#   bash benchmarks/gpu.sh --fetch FOLDER            makes that folder, on a machine that has a network and helo's packages
#
# It writes nothing outside a temporary folder. benchmarks/gpu.py has the parts, their limits and other options.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1

if [ "${1:-}" = --fetch ]; then
  # what a machine with torch, pandas, scikit-learn, matplotlib, seaborn and pytest lacks; NeuroKit2 is not among it:
  # the simulated study travels as a table of features
  platforms=$(for tag in 2_28 2_27 2_17; do echo "--platform manylinux_${tag}_x86_64"; done)
  "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --implementation cp --python-version "${TARGET:-3.12}" \
    $platforms --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64 \
    -c requirements.lock -d "$2" -r benchmarks/gpu-wheels.txt
  exec "$PYTHON" benchmarks/gpu.py --fetch "$2"
fi

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
export HELO_CACHE=$place/cache JUPYTER_DATA_DIR=$place/jupyter JUPYTER_RUNTIME_DIR=$place/runtime IPYTHONDIR=$place/ipython
if [ "${1:-}" = --wheels ]; then
  "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --target "$place/site" "$2"/*.whl
  export PYTHONPATH=$place/site:$PYTHONPATH HELO_STUDY=$2/study.npz
  shift 2
fi
"$PYTHON" benchmarks/gpu.py --output "$place" "$@"
