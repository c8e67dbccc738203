import csv
import io
import os
import threading

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.artifacts.tables import read_table, to_numbers, write_table
from affectkit.errors import AffectkitError


def written(tmp_path, data):
    path = tmp_path / "table.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


def test_words_that_look_like_missing_values_are_words(tmp_path):
    table = read_table(written(tmp_path, "id,text\n1,None\n2,NA\n3,nan\n4,\n"))
    assert list(table["text"]) == ["None", "NA", "nan", ""]


@pytest.mark.parametrize(
    "data",
    [
        b'\xef\xbb\xbfid,text\r\n1,"a, b"\r\n2,\xc3\xa9\r\n',  # BOM, Windows line ends
        b'id,text\r1,"a, b"\r2,\xc3\xa9\r',  # bare CR
        b' id , text\n\n1,"a, b"\n\n2,\xc3\xa9',  # padded header, blank lines, no final line end
        b'id,text,,\n1,"a, b",,\n2,\xc3\xa9,,\n,,,\n ,,,\n',  # empty columns and rows around the cells in use
        b'id,text\n1,"a, b",\n,\n2,\xc3\xa9,,\n',  # commas too many, an empty row between
        b'sep=,\r\nid,text\r\n1,"a, b"\r\n2,\xc3\xa9\r\n',  # what Excel is told the separator by
        b'\xef\xbb\xbf"id","text"\n"1","a, b"\n"2","\xc3\xa9"\n',  # everything quoted
    ],
)
def test_spellings_of_one_table_read_alike(tmp_path, data):
    table = read_table(written(tmp_path, data))
    assert table.to_dict("list") == {"id": ["1", "2"], "text": ["a, b", "é"]}


def test_a_quoted_cell_may_hold_quotes_and_line_breaks(tmp_path):
    table = read_table(written(tmp_path, 'id,text\n1,"say ""hi""\nthere"\n'))
    assert table["text"][0] == 'say "hi"\nthere'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "is empty"),
        ("id,text\n1,a\n2\n", "row 2: 1 cells under a header of 2"),
        ("id,text\n1,a,b\n", "row 1: 3 cells under a header of 2"),
        ("id,text\n1,a,,b\n", "row 1: 4 cells under a header of 2; name every column in the first line"),
        ("id,id\n1,2\n", "column 'id' stands twice"),
        (",,id\n1,2,3\n", "two columns have no name"),
        (",text\n1,a\n", r"has no column 'id'; one has no name; if that is it, name it \(pandas: .*index_label='id'"),
        ('id,text\n1,"open\n', "malformed CSV"),
        (b"id,text\n1,\xff\xfe\n", r"is not UTF-8 text \(line 2\); save it as UTF-8"),
        ("name,text\n1,a\n", "has no column 'id'"),
    ],
)
def test_a_broken_table_is_one_error_that_says_where(tmp_path, data, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        read_table(written(tmp_path, data), required=["id"])
    assert str(caught.value).startswith(str(tmp_path / "table.csv"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            "id;text;x\n1;a;0,5\n",
            "separated by ';' and its decimals by ','; save it with commas between columns and points",
        ),
        ("id;text\n1;a\n", "separated by ';'; save it with commas$"),
        ('\ufeff"id";"text"\r\n"1";"a, b"\r\n', "separated by ';'; save it with commas$"),
        ("id;text;notes, free;x\n1;a;;2\n", "separated by ';'"),
        ("sep=;\nid;text\n1;a\n", "separated by ';'; save it with commas$"),
        ("id\ttext\n1\ta\n", "separated by tabs; name it .tsv, or save it with commas$"),
        ("id|text\n1|a\n", r"separated by '\|'"),
        ("id,text\n1,a\n".encode("utf-16"), "is not UTF-8 text but UTF-16; save it as CSV in UTF-8 with commas"),
        ("id,text\n1,a\n".encode("utf-16-le"), "is not UTF-8 text: it holds NUL bytes"),
        ("id,text\n1,a\n".encode("utf-32"), "is not UTF-8 text but UTF-32"),
        (b"PK\x03\x04\x14\x00", "is a workbook or another zip archive, not CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is a workbook, not CSV"),
        (b"\x1f\x8b\x08\x00", r"is compressed \(gzip\)"),
        ('[{"id": 1}]', "is JSON, not CSV"),
    ],
)
def test_what_is_no_csv_of_ours_is_named_with_a_remedy(tmp_path, data, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        read_table(written(tmp_path, data))
    assert str(caught.value).startswith(str(tmp_path / "table.csv")) and caught.value.remedy


@pytest.mark.parametrize(
    "data",
    ["id,a;b;c;d\n1,x\n", 'id,text\n1,a;b;c\n2,"x;y"\n', "text\n5;7\n", "[id],x\n1,2\n"],
)
def test_another_separator_within_names_and_cells_is_only_text(tmp_path, data):
    assert read_table(written(tmp_path, data)).to_csv(index=False, lineterminator="\n") == data.replace('"', "")


def test_the_ending_says_what_separates(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("id\ttext\n1\ta, b; c\n")
    assert read_table(path)["text"][0] == "a, b; c"
    path.write_text("id,text\n1,a\n")
    with pytest.raises(AffectkitError, match=r"separated by ','; name it \.csv"):
        read_table(path)


def test_the_line_of_another_encoding_is_found_far_into_a_file(tmp_path):
    path = written(tmp_path, b"id,text\n" + b"1,a\n" * 50_000 + b"1,\xe9\n")
    with pytest.raises(AffectkitError, match="line 50002"):
        read_table(path)


def test_a_table_may_come_through_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("id,text\n1,a\n",))
    writer.start()
    assert read_table(tmp_path / "pipe").to_dict("list") == {"id": ["1"], "text": ["a"]}
    writer.join()


def test_a_missing_table_and_a_folder_are_named(tmp_path):
    with pytest.raises(AffectkitError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(AffectkitError, match="is a folder"):
        read_table(tmp_path)


def test_a_word_among_numbers_is_named_with_its_row(tmp_path):
    assert to_numbers(["1.5", "", "-2e3"]).tolist()[::2] == [1.5, -2000.0]
    with pytest.raises(AffectkitError, match=r"row 2: valence 'high' is not a number$"):
        to_numbers(["1", "high"], column="valence")


@pytest.mark.parametrize(
    ("cell", "remedy"),
    [
        ("0,5", "write decimals with a point: 0.5"),
        ("-1,5E3", "write decimals with a point: -1.5E3"),
        ("45,2 %", "write shares of 1, without %"),
        ("#N/A", "leave the cell empty where there is no value"),
        ("NA", "leave the cell empty where there is no value"),
    ],
)
def test_what_spreadsheets_write_for_a_number_has_a_remedy(cell, remedy):
    with pytest.raises(AffectkitError) as caught:
        to_numbers([cell], column="valence")
    assert caught.value.remedy == remedy


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\x00")), min_size=2, max_size=2)))
def test_what_pandas_writes_is_read_back(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    frame = pd.DataFrame(cells, columns=["a", "b"], dtype=object)
    write_table(path, frame)
    assert [*csv.reader(io.StringIO(path.read_text("utf-8"), newline=""))][1:] == cells
    assert read_table(path).to_numpy().tolist() == [row for row in cells if "".join(row).strip()]


def test_floats_keep_nine_digits_and_missing_is_empty(tmp_path):
    write_table(tmp_path / "t.csv", pd.DataFrame({"x": [1 / 3, float("nan"), 2.0]}))
    assert (tmp_path / "t.csv").read_text() == 'x\n0.333333333\n""\n2\n'
