import os
import pickle
import struct

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
