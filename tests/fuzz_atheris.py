"""The readers of bytes under a fuzzer that follows which lines are reached (Linux; `pip install atheris`).

    python tests/fuzz_atheris.py mat --seconds 60       # or pickle, npz

It writes its own files from a few valid ones. Anything but a load or a ValueError that names the file ends it.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.io import savemat

try:
    import atheris
except ImportError:
    sys.exit("atheris is not installed; run pip install atheris")

with atheris.instrument_imports(include=["helo.data.arrays", "helo.data.pickles", "pickle"]):
    from helo.data.arrays import read_mat, read_npz
    from helo.data.pickles import read_arrays

CONTENT = {"a": np.arange(6.0).reshape(2, 3), "t": np.array(["ab", "c"]), "z": np.array([[1 + 2j]])}


def write_mat(path):
    savemat(
        path, CONTENT | {"c": np.array(["x", "yy"], dtype=object)}, do_compression=path.name == "1", appendmat=False
    )


def write_npz(path):
    with path.open("wb") as file:
        np.savez(file, **CONTENT)


def write_pickle(path):
    path.write_bytes(pickle.dumps({"a": CONTENT["a"], "b": [np.eye(2), "x", 3]}, int(path.name)))


READERS = {"mat": (write_mat, read_mat), "npz": (write_npz, read_npz), "pickle": (write_pickle, read_arrays)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=list(READERS))
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    write, read = READERS[options.reader]
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    (folder / "corpus").mkdir()
    for k in range(3):
        write(folder / "corpus" / str(k))
    path = folder / "broken"

    def one(content: bytes) -> None:
        path.write_bytes(content)
        try:
            read(path)
        except ValueError as error:
            if str(path) not in str(error):
                raise AssertionError(f"names no file: {error}") from error

    limits = [f"-max_total_time={options.seconds}", "-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], str(folder / "corpus"), *limits], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
