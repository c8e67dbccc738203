"""Files that somebody else writes meanwhile."""

import errno
import os

import pytest

from affectkit.artifacts.following import LONGEST, TableTail, Tail, opened, stamp


class Read:
    """What a tail has given, and how often it began anew."""

    def __init__(self, tail):
        self.tail, self.anew = tail, 0

    def __call__(self):
        def forget():
            self.anew += 1

        return list(self.tail.rows(forget) if isinstance(self.tail, TableTail) else self.tail.lines(forget))


def test_each_line_comes_once_when_it_is_whole(tmp_path):
    path = tmp_path / "log"
    read = Read(Tail(path))
    assert read() == []  # not there yet
    path.write_bytes(b"one\ntw")
    assert read() == ["one\n"]
    assert read() == []
    with open(path, "ab") as file:
        file.write(b"o\n\xff\nthr")
    assert read() == ["two\n", "\N{REPLACEMENT CHARACTER}\n"]
    assert read.anew == 0


def test_only_what_is_new_is_read(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"line\n" * 1000)
    read = Read(Tail(path))
    assert len(read()) == 1000
    with open(path, "rb+") as file:
        file.write(b"LINE\n")  # who reads it all again would see this
        file.seek(0, os.SEEK_END)
        file.write(b"new\n")
    assert (read(), read.anew) == (["new\n"], 0)


def test_a_file_that_goes_while_it_is_read_ends_there(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    with opened(path) as file:
        assert file.readline() == b"one\n"
        raise OSError(errno.ESTALE, "stale file handle")
    with pytest.raises(OSError, match="no disk"), opened(path):
        raise OSError(errno.EIO, "no disk")


def test_a_file_that_is_cut_replaced_or_removed_is_read_anew(tmp_path):
    path, other = tmp_path / "log", tmp_path / "other"
    read = Read(Tail(path))
    path.write_bytes(b"one\ntwo\n")
    assert read() == ["one\n", "two\n"]
    path.write_bytes(b"one\n")  # cut
    assert (read(), read.anew) == (["one\n"], 1)
    other.write_bytes(b"new\nand longer\n")  # replaced, as a table of steps is whose rows are joined
    os.replace(other, path)
    assert (read(), read.anew) == (["new\n", "and longer\n"], 2)
    path.unlink()
    assert (read(), read.anew) == ([], 3)
    path.write_bytes(b"again\n")
    assert (read(), read.anew) == (["again\n"], 3)


def test_a_file_that_is_written_again_with_more_rows_goes_on(tmp_path):
    path, other = tmp_path / "history.csv", tmp_path / "other"
    read = Read(TableTail(path))
    path.write_text("epoch,loss\n1,0.5\n")
    assert read() == [{"epoch": "1", "loss": "0.5"}]
    other.write_text('epoch,loss\n1,0.5\n2,"0.4"\n')
    os.replace(other, path)
    assert read() == [{"epoch": "2", "loss": "0.4"}]
    other.write_text("epoch,rate,loss\n1,1,0.5\n")  # another table
    os.replace(other, path)
    assert (read(), read.anew) == ([{"epoch": "1", "rate": "1", "loss": "0.5"}], 1)


def test_a_row_that_lacks_cells_is_none(tmp_path):
    path = tmp_path / "steps.csv"
    path.write_text("fit,step\nfinal,1\nfin\nfinal,2\n")
    assert [row["step"] for row in Read(TableTail(path))()] == ["1", "2"]


def test_a_line_without_an_end_is_passed_over_in_pieces(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"\0" * (2 * LONGEST + 5))
    read = Read(Tail(path))
    assert [len(line) for line in read()] == [LONGEST, LONGEST]
    with open(path, "ab") as file:
        file.write(b"\nnext\n")
    assert read()[-1] == "next\n"


def test_a_pipe_and_a_folder_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder", "nowhere/log"):
        assert Read(Tail(tmp_path / name))() == []


def test_a_stamp_changes_with_the_file(tmp_path):
    path = tmp_path / "log"
    assert stamp(path) is None
    path.write_text("one")
    before = stamp(path)
    assert stamp(path) == before
    path.write_text("other")
    assert stamp(path) != before
