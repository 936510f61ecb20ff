"""What is opened at all, how much of it, and what an error shows of it."""

import os
import socket

import pytest

from helo.files import MissingFile
from helo.reading import memory, regular, shown


def test_a_regular_file_and_a_link_to_one_are_its_path(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert regular(str(tmp_path / "x")) == regular("~/x") == tmp_path / "x"
    assert regular(tmp_path / "link").read_bytes() == b"12345"
    assert regular(tmp_path / "x", limit=5)
    with pytest.raises(ValueError, match=r"x: 5 bytes; expected a card of at most 4$"):
        regular(tmp_path / "x", limit=4, expected="a card")


def test_nothing_else_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "1.mat").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        (tmp_path / "empty").touch()
        (tmp_path / "endless").symlink_to("/proc/self/pagemap")
        for name, message in {
            "empty": r"empty: not a table \(it is empty\)",
            "endless": r"endless: not a table \(it is empty\)"
            if os.path.exists("/proc/self/pagemap")
            else "no such file",
            "pipe": "pipe: is a named pipe; expected a table, a regular file",
            "1.mat": "1.mat: is a folder",
            "zero": "zero: is a device",
            "s": "s: is a socket",
            "loop": "loop: no file can be read there",
            "x" * 300: "xxx: no file can be read there .*too long",
            "a\0b": "no file can be read there",
        }.items():
            with pytest.raises(ValueError, match=message) as error:
                regular(tmp_path / name, expected="a table")
            assert not isinstance(error.value, MissingFile) and len(str(error.value)) < 700
    for name in ("none", "zero/below"):
        with pytest.raises(MissingFile, match="no such file; expected a table"):
            regular(tmp_path / name, expected="a table")
    with pytest.raises(ValueError, match="~nouser-at-all/x: "):
        regular("~nouser-at-all/x")


def test_what_a_file_may_take_is_said_by_the_environment(tmp_path, monkeypatch):
    (tmp_path / "big").touch()
    os.truncate(tmp_path / "big", 3 * 10**9)
    with pytest.raises(ValueError, match="3000000000 bytes; .* at most 2000000000; .* HELO_MEMORY=3 "):
        regular(tmp_path / "big")
    monkeypatch.setenv("HELO_MEMORY", "3")
    assert regular(tmp_path / "big") and memory() == 3 * 10**9
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("HELO_MEMORY", wrong)
        with pytest.raises(ValueError, match=f"HELO_MEMORY is '{wrong}'; expected gigabytes"):
            memory()


def test_what_an_error_shows_is_short_and_has_no_codes():
    assert shown("a name, Ä, 喜び") == "a name, Ä, 喜び"
    assert shown("\x1b[31mred\x07\u202eback\ud800\n") == r"\x1b[31mred\x07\u202eback\ud800 "
    for text in ("x" * 10**6, "\x1b" * 10**6):
        assert len(shown(text)) <= 2000 and shown(text).isprintable()
    assert shown("begin" + "x" * 9999 + "end").startswith("begin") and shown("b" + "x" * 9999 + "end").endswith("end")
