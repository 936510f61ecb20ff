import os
import pickle
import resource
import struct
import time

import numpy as np
import pytest

from helo.data.pickles import UnsafePickle, read_arrays


class Runs:
    """A pickle that runs a command when it is loaded the ordinary way."""

    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


def load(tmp_path, content):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    return read_arrays(path)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_come_back(tmp_path, protocol):
    content = {
        "a": np.arange(12, dtype=np.float32).reshape(3, 4),
        "b": {
            "c": [np.array([1, 2], "<i8"), np.asfortranarray(np.eye(3)), np.array([1.5], ">f4")],
            "d": "text",
            "e": 3,
        },
        "f": np.array([True, False]),
    }
    found = load(tmp_path, pickle.dumps(content, protocol))
    for a, b in (
        (found["a"], content["a"]),
        (found["f"], content["f"]),
        *zip(found["b"]["c"], content["b"]["c"], strict=True),
    ):
        assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
    assert found["b"]["d"] == "text" and found["b"]["e"] == 3


def test_python_2_byte_strings_become_text(tmp_path):
    # protocol 2 as Python 2 writes it: {'subject': 'S2'} with short byte strings
    assert load(tmp_path, b"\x80\x02}U\x07subjectU\x02S2s.") == {"subject": "S2"}


def test_a_pickle_that_would_run_a_command_is_refused(tmp_path):
    mark = tmp_path / "ran"
    for attack in (
        Runs(os.system, f"touch {mark}"),
        Runs(eval, f"open({str(mark)!r}, 'w')"),
        Runs(np.load, "/etc/passwd"),
        {"signal": {"wrist": [Runs(os.system, f"touch {mark}")]}},
    ):
        with pytest.raises(UnsafePickle, match=r"x.pkl: refused, it asks for .*; only numpy arrays are read"):
            load(tmp_path, pickle.dumps(attack))
    assert not mark.exists()


def test_an_object_array_is_refused(tmp_path):
    with pytest.raises(UnsafePickle, match="expected plain numbers"):
        load(tmp_path, pickle.dumps(np.array([{}, []], dtype=object), 2))


def test_numpy_functions_other_than_the_constructors_are_refused(tmp_path):
    with pytest.raises(UnsafePickle, match="numpy.load"):
        load(tmp_path, b"cnumpy\nload\n(S'/etc/passwd'\ntR.")


def test_a_declared_size_costs_no_memory(tmp_path):
    huge = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(L99999999999L\ntcnumpy\ndtype\n"
    )
    with pytest.raises(ValueError, match="cannot reshape"):
        load(tmp_path, huge + b"(S'f8'\nI0\nI1\ntRI00\nS'12345678'\ntb.")
    for size in (b"B" + struct.pack("<i", 2**31 - 1), b"\x8e" + struct.pack("<Q", 2**50)):
        with pytest.raises(ValueError, match="truncated pickle"):
            load(tmp_path, b"\x80\x04" + size + b"abc")
    with pytest.raises(ValueError, match=r"x\.pkl"):  # a bytearray is made before it is read
        load(tmp_path, b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"abc.")
    # a memo index of four billion must not become a table of that length
    assert load(tmp_path, b"\x80\x02K\x01r\xff\xff\xff\xff.") == 1


def test_the_readers_own_parts_cannot_be_changed(tmp_path):
    # BUILD with a slot state would set attributes on an ordinary function or class
    attack = b"\x80\x02cnumpy\ndtype\nN}U\x0c__defaults__K\x01s\x86b."
    with pytest.raises(ValueError, match="x.pkl"):
        load(tmp_path, attack)
    # a state given to a dtype must not reach numpy's own float64
    forged = b"\x80\x02cnumpy\ndtype\n(U\x02f8K\x00K\x00tR(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb."
    with pytest.raises(UnsafePickle, match="outside an array"):
        load(tmp_path, forged)
    assert np.dtype("f8").byteorder == "=" and np.ones(1).sum() == 1


def test_every_truncation_is_a_clear_error(tmp_path):
    whole = pickle.dumps({"signal": {"wrist": {"EDA": np.arange(20.0)}}, "label": np.arange(5)}, 2)
    for stop in range(len(whole)):
        with pytest.raises(ValueError, match=r"x\.pkl"):
            load(tmp_path, whole[:stop])


def test_garbage_is_a_clear_error(tmp_path):
    rng = np.random.default_rng(0)
    whole = pickle.dumps({"a": np.arange(20.0), "b": [1, "x"]}, 2)
    for _ in range(2000):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            broken[at] = rng.integers(256)
        try:
            load(tmp_path, bytes(broken))
        except ValueError as error:
            assert "x.pkl" in str(error)


def test_lists_of_lists_cannot_stand_for_endless_values(tmp_path):
    value = [0] * 30
    for _ in range(11):
        value = [value] * 30
    with pytest.raises(UnsafePickle, match="more than 10,000 values"):
        load(tmp_path, pickle.dumps(value, 2))


def test_empty_arrays_come_back(tmp_path):
    for protocol in (1, 2, 4):
        assert load(tmp_path, pickle.dumps(np.zeros((0, 3)), protocol)).shape == (0, 3)


def test_arrays_of_protocol_5_come_back(tmp_path):
    """In it an array is a call of _frombuffer, with a bytearray where it may be written to."""
    fixed = np.arange(3.0)
    fixed.flags.writeable = False
    content = [np.arange(12, dtype=">i2").reshape(3, 4), np.asfortranarray(np.eye(3)[:2]), fixed, np.zeros((0, 2))]
    for found, x in zip(load(tmp_path, pickle.dumps(content, 5)), content, strict=True):
        assert found.dtype == x.dtype and found.shape == x.shape and (found == x).all()


def test_arrays_as_text_come_back(tmp_path):
    """Protocol 0 of Python 2, in which the release's large files may be."""
    x = np.array([1.5, -2e-300, np.pi, 39.0])
    text = "".join(
        f"\\x{byte:02x}" if byte < 32 or byte > 126 or byte in (39, 92) else chr(byte) for byte in x.tobytes()
    )
    found = load(
        tmp_path,
        b"(dp1\nS'x'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(L4L\ntcnumpy\ndtype\n"
        b"(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'" + text.encode() + b"'\ntbs.",
    )
    assert (found["x"] == x).all()


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
MEGABYTE = b"X" + struct.pack("<I", 10**6) + b"a" * 10**6
# name -> the file, what its error says
NEVER_ENDING = {
    "hash of a doubled tuple": (b"\x80\x02}" + b")" + b"2\x86" * 60 + b"K\x01s.", "opcode 0x32"),
    "the same by memo": (b"\x80\x02})" + b"q\x01h\x01\x86" * 60 + b"K\x01s.", "keys are not text"),
    "the same in a set": (b"\x80\x04\x8f()" + b"q\x01h\x01\x86" * 60 + b"\x90.", "opcode 0x8f"),
    "the same in a frozen set": (b"\x80\x04()" + b"q\x01h\x01\x86" * 60 + b"\x91.", "opcode 0x91"),
    "the same in items": (b"\x80\x02}()" + b"q\x01h\x01\x86" * 60 + b"K\x01u.", "keys are not text"),
    "the same in a dictionary of protocol 0": (b"()" + b"q\x01h\x01\x86" * 60 + b"K\x01d.", "keys are not text"),
    "hash of 200 kB of tuples": (b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.", "keys are not text"),
    "a result of nested tuples": (b"\x80\x02)" + b"\x85" * 200_000 + b".", "within one another"),
    "a result of nested lists": (b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".", "within one another"),
    "a result of nested dictionaries": (b"(U\x01a" * 10**5 + b"N" + b"d" * 10**5 + b".", "within one another"),
    "a list within itself": (b"\x80\x02]q\x00h\x00a.", "within one another"),
    "one text encoded 9,000 times": (
        b"c_codecs\nencode\nq\x00" + MEGABYTE + b"q\x01" + b"h\x00h\x01\x85R" * 9_000 + b"\x85.",
        "makes more bytes than it has",
    ),
    "one text 9,000 times": (
        b"(U\x01a" + MEGABYTE.replace(b"X", b"T", 1) + b"q\x01" + b"h\x01" * 9_000 + b"l.",
        "letters",
    ),
    "one key 100,000 times": (
        b"}" + MEGABYTE + b"q\x00Ns" + MEGABYTE + b"q\x01Ns" + b"h\x01Ns" * 10**5 + b".",
        "keys are not text of at most 10000",
    ),
    "a call with a megabyte of arguments": (b"cnumpy\ndtype\n" + MEGABYTE + b"R.", "calls something"),
    "a dtype of commas": (
        b"cnumpy\ndtype\n(X" + struct.pack("<I", 3 * 10**6) + b"," * 3 * 10**6 + b"tR.",
        "of no name",
    ),
    "a dtype of many": (b"cnumpy\ndtype\n(S'f4,f4,f4'\ntR.", "array of type f4,f4,f4; expected plain numbers"),
    "a dtype of lists": (b"cnumpy\ndtype\n(((S'a'\nS'f4'\ntltR.", "array of type of no name"),
    "a shape of nested tuples": (
        ARRAY + b"(I1\n)" + b"\x85" * 10**5 + b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntRI00\nS'12345678'\ntb.",
        "a shape that is none",
    ),
    "20 million marks": (b"(" * 20 * 10**6 + b".", "more than 500000 opcodes"),
    "20 million Nones": (b"N" * 20 * 10**6 + b".", "more than 500000 opcodes"),
    "20 million memos": (b"\x80\x04N" + b"\x94" * 20 * 10**6 + b".", "more than 500000 opcodes"),
    "20 million empty tuples": (b")" * 20 * 10**6 + b".", "more than 500000 opcodes"),
    "a name of 5 MB": (b"c" + b"\x1b[31m" * 10**6 + b"\nx\n.", "a name or a number of more than 10000 letters"),
    "a name of 5 MB as text": (MEGABYTE * 2 + b"\x93.", "asks for aaaa"),
    "a number of 5 MB": (b"F" + b"1" * 5 * 10**6 + b"\n.", "a name or a number of more than 10000 letters"),
    "a number of 4,301 digits": (b"I" + b"1" * 4_301 + b"\n.", "ValueError"),
    "a long number of 5 MB": (b"\x80\x02\x8b" + struct.pack("<i", 5 * 10**6) + b"1" * 5 * 10**6 + b".", "opcode 0x8b"),
    "text with one wide letter": (b"X" + struct.pack("<I", 10**7 + 4) + b"a" * 10**7 + "😀".encode() + b".", "letters"),
    "the same in protocol 0": (b"V" + b"a" * 10**7 + b"\\U0001f600\n.", "a text of more than 10000 letters"),
    "no pickle": (b"\x1b]0;title\x07" * 10**6, "opcode 0x1b"),
}


@pytest.mark.parametrize("name", NEVER_ENDING)
def test_a_pickle_cannot_take_time_or_memory_or_the_terminal(tmp_path, name):
    content, message = NEVER_ENDING[name]
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(ValueError, match=rf"x\.pkl: .*{message}") as error:
        load(tmp_path, content)
    assert time.perf_counter() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes
    assert len(str(error.value)) <= 2000 and str(error.value).isprintable()


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(UnsafePickle, match="a key twice, as text and as bytes"):
        load(tmp_path, b"\x80\x03}(C\x01aK\x01X\x01\x00\x00\x00aK\x02u.")


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.pkl")
    (tmp_path / "zero.pkl").symlink_to("/dev/zero")
    (tmp_path / "folder.pkl").mkdir()
    for name in ("pipe", "zero", "folder"):
        with pytest.raises(ValueError, match=rf"{name}\.pkl: is a .*; expected a pickle of numpy arrays"):
            read_arrays(tmp_path / f"{name}.pkl")


def test_the_size_of_a_file_and_of_one_array_is_limited_and_can_be_raised(tmp_path, monkeypatch):
    path = tmp_path / "x.pkl"
    monkeypatch.setenv("HELO_MEMORY", "0.001")
    path.write_bytes(pickle.dumps(np.zeros(126_000), 2))
    with pytest.raises(ValueError, match=r"x\.pkl: 10\d{5} bytes; .* at most 1000000; if you trust .* HELO_MEMORY=1 "):
        read_arrays(path)
    for protocol in (0, 2, 4, 5):
        path.write_bytes(pickle.dumps(np.zeros(32_000), protocol) if protocol else b"S'" + b"a" * 250_000 + b"'\n.")
        with pytest.raises(UnsafePickle, match=r"over 250000 bytes in one array; if you trust .* HELO_MEMORY=1 "):
            read_arrays(path)
    monkeypatch.setenv("HELO_MEMORY", "1")
    path.write_bytes(pickle.dumps(np.zeros(126_000), 2))
    assert read_arrays(path).shape == (126_000,)
