"""A catalogue of known attacks, and what stays right; tests/fuzz.py tries broken files by the thousand."""

import os
import pickle
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib

import numpy as np
import pytest
from conftest import ROOT, random_data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from scipy.io import loadmat, savemat

import helo
from helo import checksums
from helo.data.arrays import Refused, open_zip, read_mat, read_npz
from helo.data.pickles import UnsafePickle, read_arrays

numbers = st.sampled_from(["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "c16"]).flatmap(
    lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=2, max_dims=3, max_side=4))
)
names = st.text("abcXYZ_019", min_size=1, max_size=20).filter(lambda name: name[0].isalpha())
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@quick
@given(content=st.dictionaries(names, numbers, max_size=4), compressed=st.booleans())
def test_numbers_in_mat_files_come_back_as_scipy_reads_them(tmp_path, content, compressed):
    savemat(tmp_path / "x.mat", content, do_compression=compressed)
    ours, theirs = read_mat(tmp_path / "x.mat"), loadmat(tmp_path / "x.mat")
    assert set(ours) == set(content)
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype and np.array_equal(
            value, theirs[name], equal_nan=value.dtype.kind in "fc"
        )


@quick
@given(content=st.dictionaries(names, numbers, min_size=1, max_size=4), fortran=st.booleans())
def test_numbers_in_npz_files_come_back(tmp_path, content, fortran):
    content = {name: np.asfortranarray(x) if fortran else x for name, x in content.items()}
    np.savez(tmp_path / "x.npz", **content)
    for name, value in read_npz(tmp_path / "x.npz").items():
        assert value.dtype == content[name].dtype and value.tobytes() == content[name].tobytes()


@quick
@given(
    edits=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=9), st.integers(0, 9)), max_size=6),
    cut=st.integers(0, 4000),
)
def test_any_edit_of_a_file_loads_or_is_a_clear_error(tmp_path, edits, cut):
    plain = {"a": np.arange(12.0).reshape(3, 4), "t": np.array(["one", "three"])}
    savemat(tmp_path / "x.mat", plain)
    np.savez(tmp_path / "x.npz", **plain)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": plain["a"]}, 2))
    for path, read in (
        (tmp_path / "x.mat", read_mat),
        (tmp_path / "x.npz", read_npz),
        (tmp_path / "x.pkl", read_arrays),
    ):
        content = bytearray(path.read_bytes())
        for at, new, gone in edits:
            content[at % len(content) : at % len(content) + gone] = new
        path.write_bytes(content[: len(content) - cut % len(content)] if cut % 5 == 0 else content)
        try:
            read(path)
        except ValueError as error:
            assert path.name in str(error)


def text_matrix_and_cells(tmp_path):
    savemat(
        tmp_path / "x.mat",
        {"m": np.array(["ab", "c"]), "c": np.array(["joy", "grief"], dtype=object), "s": {"f": 1.0}, "e": ""},
    )
    return read_mat(tmp_path / "x.mat")


def test_text_and_cells_of_text_are_read_and_structures_passed_over(tmp_path):
    found = text_matrix_and_cells(tmp_path)
    assert found["m"].tolist() == ["ab", "c"] and found["c"].tolist() == ["joy", "grief"]
    assert "s" not in found and found["e"].tolist() == [""]


# --- pickles ----------------------------------------------------------------------------------------------------------


class Reduces:
    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


def opcodes(text):
    return text.encode("latin1")


CATALOGUE = {
    "os.system": opcodes("cos\nsystem\n(S'touch {mark}'\ntR."),
    "posix.system": opcodes("cposix\nsystem\n(S'touch {mark}'\ntR."),
    "subprocess": opcodes("csubprocess\nPopen\n((S'touch'\nS'{mark}'\nltR."),
    "eval, Python 3": opcodes('cbuiltins\neval\n(S\'open("{mark}", "w")\'\ntR.'),
    "eval, Python 2": opcodes('c__builtin__\neval\n(S\'open("{mark}", "w")\'\ntR.'),
    "exec": opcodes('cbuiltins\nexec\n(S\'open("{mark}", "w")\'\ntR.'),
    "getattr": opcodes("cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'touch {mark}'\ntR."),
    "import": opcodes("cimportlib\nimport_module\n(S'antigravity'\ntR."),
    "open": opcodes("cbuiltins\nopen\n(S'{mark}'\nS'w'\ntR."),
    "numpy.load": opcodes("cnumpy\nload\n(S'{mark}'\ntR."),
    "numpy.fromfile": opcodes("cnumpy\nfromfile\n(S'/etc/passwd'\ntR."),
    "numpy.testing": opcodes('cnumpy.testing._private.utils\nrunstring\n(S\'open("{mark}", "w")\'\n(dtR.'),
    "numpy.f2py": opcodes("cnumpy.f2py.diagnose\nrun_command\n(S'touch {mark}'\ntR."),
    "copyreg": opcodes("ccopy_reg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR."),
    "old instance": opcodes("(S'touch {mark}'\nios\nsystem\n."),
    "object": opcodes("(cos\nsystem\nS'touch {mark}'\no."),
    "newobj": b"\x80\x02cos\nsystem\nU\x04true\x85\x81.",
    "newobj_ex": b"\x80\x04cos\nsystem\nU\x04true\x85}\x92.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent id": b"\x80\x02U\x04trueQ.",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93\x8c\x04true\x85R.",
    "dotted admitted": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
    "reduce of a reduce": b"\x80\x02cbuiltins\nmap\ncos\nsystem\n]U\x04truea\x86R.",
    "build": b"\x80\x02cnumpy\nndarray\n}U\x08__call__cos\nsystem\ns\x86b.",
    "object array": pickle.dumps(np.array([Reduces(os.system, ("true",))], dtype=object), 2),
    "object array of arrays": pickle.dumps(np.array([np.arange(2), "x"], dtype=object), 2),
    "structured array": pickle.dumps(np.zeros(2, [("a", "f8"), ("b", "O")]), 2),
    "matrix": pickle.dumps(np.matrix([[1.0]]), 2),
    "masked array": pickle.dumps(np.ma.masked_array([1.0]), 2),
    "datetime array": pickle.dumps(np.array(["2020-01-01"], "M8[D]"), 2),
    "function": pickle.dumps(os.system, 2),
    "class": pickle.dumps(subprocess.Popen, 2),
    "exception": pickle.dumps(ValueError("x"), 2),
    "set": pickle.dumps({1, 2}, 2),
    "complex number": pickle.dumps(1j, 2),
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_malicious_pickle_is_refused(name, tmp_path):
    mark = tmp_path / "ran"
    (tmp_path / "x.pkl").write_bytes(CATALOGUE[name].replace(b"{mark}", str(mark).encode()))
    with pytest.raises(ValueError, match=r"x\.pkl: (refused|not a readable pickle)"):
        read_arrays(tmp_path / "x.pkl")
    assert not mark.exists()


def test_what_asks_for_a_name_is_refused_by_that_name(tmp_path):
    for name in ("os.system", "subprocess", "eval, Python 3", "numpy.load", "stack global", "dotted name"):
        (tmp_path / "x.pkl").write_bytes(CATALOGUE[name])
        with pytest.raises(UnsafePickle, match="refused, it asks for (os|subprocess|builtins|numpy)"):
            read_arrays(tmp_path / "x.pkl")


# --- memory and size --------------------------------------------------------------------------------------------------


def npy(dtype="<f8", shape=(2,), data=b"\0" * 16, header=None):
    text = header or f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize(
    "member, message",
    [
        (npy(shape=(10**15,)), "declares .* bytes, and holds 16"),
        (npy(shape=(2**62, 4)), "declares"),
        (npy(shape=(-2,)), "lengths of at least 0"),
        (npy(dtype="|O"), "never a pickle"),
        (npy(dtype="<U999999"), "declares"),
        (npy(dtype="<V8"), "never a pickle"),
        (npy(header="[" * 5000), "no readable header"),
        (npy(header="__import__('os').system('touch ran')"), "no readable header"),
        (npy(header="{'descr': '<f8', 'fortran_order': False, 'shape': (0,) * 10**9}"), "no readable header"),
        (b"", "no readable header"),
    ],
)
def test_a_hostile_array_is_refused(tmp_path, member, message):
    with pytest.raises(ValueError, match=message):
        read_npz(npz(tmp_path / "x.npz", a=member))
    with pytest.raises(ValueError, match=r"x\.npz"):
        helo.load("table", tmp_path / "x.npz")
    assert read_npz(npz(tmp_path / "x.npz", a=npy()))["a"].tolist() == [0, 0]


def element(kind, body):
    return struct.pack("<II", kind, len(body)) + body + b"\0" * (-len(body) % 8)


def matrix(name, shape, *parts, code=6):
    head = (
        element(6, struct.pack("<II", code, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape)) + element(1, name)
    )
    return element(14, head + b"".join(parts))


def mat(path, *variables):
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(variables))
    return path


def test_a_mat_file_that_declares_more_than_it_holds_is_refused(tmp_path):
    one = element(9, struct.pack("<d", 1.0))
    assert read_mat(mat(tmp_path / "x.mat", matrix(b"a", (1, 1), one)))["a"] == 1
    for shape in ((2**30, 2**30), (-1, -1), (1, 2), (1,) * 40):
        with pytest.raises(Refused, match=r"x\.mat: refused, variable 'a' "):
            read_mat(mat(tmp_path / "x.mat", matrix(b"a", shape, one)))
    with pytest.raises(ValueError, match="declares 4294967295 bytes"):
        read_mat(mat(tmp_path / "x.mat", struct.pack("<II", 14, 2**32 - 1)))


def test_a_compressed_bomb_in_a_mat_file_is_refused(tmp_path):
    bomb = zlib.compress(element(14, b"\0" * 100_000_000))
    path = mat(tmp_path / "x.mat", struct.pack("<II", 15, len(bomb)) + bomb)
    assert path.stat().st_size < 400_000
    started = time.perf_counter()
    with pytest.raises(Refused, match="unpacks to more than 67108864 bytes"):
        read_mat(path)
    assert time.perf_counter() - started < 5


def test_cells_within_cells_do_not_end_the_process(tmp_path):
    """A megabyte of them crashes scipy.io.loadmat (1.17) by a segmentation fault."""
    body = matrix(b"", (1, 1), element(9, struct.pack("<d", 1.0)))
    for _ in range(20_000):
        body = matrix(b"", (1, 1), body, code=1)
    assert read_mat(mat(tmp_path / "x.mat", body, matrix(b"a", (1, 1), element(9, struct.pack("<d", 2.0)))))["a"] == 2


@pytest.mark.parametrize("name", ["x.npz", "Features.zip"])
def test_a_zip_bomb_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(40):
            archive.writestr(f"{k}.npy" if name == "x.npz" else f"Features/{k}.mat", b"\0" * 5_000_000)
    assert (tmp_path / name).stat().st_size < 300_000
    with pytest.raises(Refused, match=r"refused, \d+ bytes would unpack to 200000000; expected at most 67108864"):
        helo.load("table", tmp_path / name) if name == "x.npz" else helo.load("dmer", tmp_path)


@pytest.mark.parametrize("name", ["../../x.npy", "/etc/x.npy", "a/../../x.npy", "..\\x.npy", "C:\\x.npy"])
def test_a_member_that_leads_out_of_the_archive_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr(name, npy())
    with pytest.raises(Refused, match="leads out of the archive"), open_zip(tmp_path / "x.npz"):
        pass


def test_a_member_whose_name_is_no_text_is_a_clear_error(tmp_path):
    """Found by tests/fuzz_atheris.py."""
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("é.npy", npy())
    content = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(content.replace("é".encode(), b"\x94\x94"))
    with pytest.raises(ValueError, match=r"x\.npz: not a readable zip file"):
        read_npz(tmp_path / "x.npz")


def test_a_csv_of_a_thousand_columns_and_short_rows_is_refused(tmp_path):
    """pandas would fill 10^9 cells."""
    (tmp_path / "x.csv").write_text(",".join(f"eda.{k}" for k in range(10_000)) + "\n" + "1\n" * 100_000)
    with pytest.raises(ValueError, match="line 2 has more or fewer"):
        helo.load("table", tmp_path / "x.csv")
    (tmp_path / "tabulatedVotes.csv").write_text(
        ",".join(["", *"ADFHNS", "fileName", *map(str, range(9_000))]) + "\n" + "1\n" * 100_000
    )
    with pytest.raises(ValueError, match="line 2 has more or fewer"):
        helo.load("crema-d", tmp_path)


def test_a_parquet_file_that_declares_billions_of_rows_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"subject": pa.array(np.zeros(30_000_000, np.int8))})
    pq.write_table(table, tmp_path / "x.parquet", compression="gzip")
    assert (tmp_path / "x.parquet").stat().st_size < 500_000
    with pytest.raises(ValueError, match=r"x\.parquet: .* declare 30000000 cells"):
        helo.load("table", tmp_path / "x.parquet")


# --- models -----------------------------------------------------------------------------------------------------------


def test_models_and_checkpoints_load_without_pickle(tmp_path, monkeypatch):
    import torch

    data = random_data()
    split = helo.splits.by_subject(data)[0]
    options = {"epochs": 1, "progress": False, "checkpoint": tmp_path / "c"}
    model = helo.build("early", data)
    helo.fit(model, data, split, **options)
    helo.save(model, tmp_path / "m")

    def never(*_, **__):
        pytest.fail("a pickle was read")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, never)
    helo.load_model(tmp_path / "m")
    helo.fit(helo.build("early", data), data, split, **(options | {"epochs": 2}))
    monkeypatch.undo()
    torch.save({"x": Reduces(os.system, (f"touch {tmp_path / 'ran'}",))}, tmp_path / "p")
    for path in (tmp_path / "p",):
        with pytest.raises(ValueError, match="p: not a helo file"):
            helo.load_model(path)
    assert not (tmp_path / "ran").exists()


def edited(path, change):
    """A model file whose configuration says something else, its checksum forged."""
    from safetensors.torch import load, save

    about, tensors = checksums.read(path, "helo", load)
    change(about)
    checksums.write(path, "helo", about, tensors, save)
    return path


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda a: a["layout"]["shapes"].update(face=[1, 2**30]),
            r"weight 'mean_3' is of shape \(7,\); expected \(1073741824,\)",
        ),
        (lambda a: a["options"].update(width=99_996), "expected"),
        (lambda a: a["options"].update(width=2**40), r"option 'width' is 1099511627776; expected 0 to 100000"),
        (lambda a: a["options"].update(depth=50_000), r"option 'depth' is 50000; expected 0 to \d+"),
        (lambda a: a.update(model="pyldl", options={"algorithm": "SA_BFGS"}), "unknown model 'pyldl'"),
        (lambda a: a["layout"].update(emotions=[1, 2, 3, 4, 5]), "emotions are"),
        (lambda a: a["layout"].update(query="face"), "query is 'face'"),
        (lambda a: a["layout"]["shapes"].update(face=[1, -7]), "shape of 'face'"),
        (lambda a: a["options"].update(heads=True), "heads is True; expected a divisor of width 16"),
        (lambda a: a["options"].update(iterations=float("inf")), "iterations is inf; expected a whole number"),
        (lambda a: a["options"].update(iterations=1e308), r"iterations is 1e\+308; expected a whole number"),
        (lambda a: a["options"].update(iterations=10**9), "'iterations' is 1000000000; expected 0 to 100000"),
        (lambda a: a["options"].update(epsilon=float("inf")), "epsilon is inf; expected above 0, and finite"),
        (lambda a: a["options"].update(epsilon=True), "epsilon is True; expected above 0, and finite"),
        (lambda a: a["options"].update(steer="no"), "steer is 'no'; expected False or True"),
        (lambda a: a["options"].update(transport_weight=float("inf")), "transport_weight is inf; expected"),
        (
            lambda a: a.update(more=1),
            r"it says \['layout', 'model', 'more', .*expected model, seed",
        ),
    ],
)
def test_a_model_file_cannot_declare_more_than_it_holds(tmp_path, change, message):
    helo.save(helo.build("helo", random_data(), width=16, heads=2), tmp_path / "m")
    helo.load_model(edited(tmp_path / "m", lambda a: None))
    with pytest.raises(ValueError, match=message) as error:
        helo.load_model(edited(tmp_path / "m", change))
    assert str(tmp_path / "m") in str(error.value)


# --- notebooks and servers --------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(value=values)
def test_a_notebooks_parameters_are_values_whatever_they_say(value):
    """The cell papermill writes gives back the value and does nothing else."""
    from papermill.translators import PythonTranslator

    cell = PythonTranslator.codify({"x": value})
    space = {}
    exec(compile(cell, "cell", "exec"), {"__builtins__": {"float": float}}, space)
    assert space == {"x": value}


@pytest.mark.parametrize(
    "text",
    [
        "'); import os; os.system('touch ran') #",
        '"""',
        "\\",
        "\n!touch ran",
        "%run x",
        "\u2028",
        "{output}",
        "$(touch ran)",
        "\x00",
    ],
)
def test_no_text_breaks_out_of_its_quotes(text):
    from papermill.translators import PythonTranslator

    cell = PythonTranslator.codify({"x": text})
    assert len([line for line in cell.splitlines() if line]) == 2  # the comment, the assignment
    space = {}
    exec(compile(cell, "cell", "exec"), {"__builtins__": {}}, space)
    assert space == {"x": text}


def test_a_parameters_name_cannot_be_code():
    from helo.batch.sweeps import check_parameters

    for name in ("x = 1\nimport os", "seed; import os", "__import__('os')", "seed "):
        with pytest.raises(ValueError, match="unknown parameters"):
            check_parameters(ROOT / "notebooks" / "02_train.ipynb", {name: 1})


def _outside():
    """This machine's address as others see it; 127.0.0.2 where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.2"


def _status(url, patience=20.0):
    """The server's answer; it may say where it is a moment before it listens."""
    until = time.monotonic() + patience
    while True:
        try:
            return urllib.request.urlopen(url, timeout=10).status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def test_jupyterlab_listens_here_only_and_asks_for_a_token(tmp_path):
    """As `make lab` starts it."""
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "jupyterlab" in line]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(tmp_path),
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
        "HOME": str(tmp_path),
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    command = [sys.executable, *line.split()[1:], "--no-browser", "--allow-root", f"--port={free}"]
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        said = ""
        for line in server.stderr:
            said += line
            if "?token=" in line:
                break
        url = said[said.index("http://") :].split()[0]
        address, token = url.split("?token=")
        assert address.startswith(("http://localhost:", "http://127.0.0.1:")) and len(token) > 30
        api = address.split("/lab")[0].split("/tree")[0] + "/api/contents"
        assert _status(f"{api}?token={token}") == 200 and _status(api) == 403
        with pytest.raises(OSError), socket.create_connection((_outside(), free), timeout=2):
            pass
    finally:
        server.terminate()
        server.wait(20)
        server.stderr.close()
