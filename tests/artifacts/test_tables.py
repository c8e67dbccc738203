import csv
import io
import os
import threading

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectkit.artifacts import tables
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
    with pytest.raises(AffectkitError, match=r"row 2: valence 'high' is not a number; correct it"):
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


@settings(max_examples=30)
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


# --- Arrow and the careful reader are one reader; the writer is pandas'


def outcome(read, path, **options):
    """The columns of a table as text or numbers, or what is said of it."""
    try:
        table = read(path, **options)
        return {name: to_numbers(table[name]).tolist() if name == "x" else list(table[name]) for name in table}
    except AffectkitError as error:
        return str(error)


def carefully(path, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "read_plain", lambda *_: None)
        return read_table(path, **options)


@pytest.mark.parametrize(
    ("data", "by_arrow"),
    [
        (b"id,x\n1,2\n", True),
        (b"\xef\xbb\xbfid,x\r\n1,2\r\n", True),
        (b'"id" , x\n1,2\n', False),  # a quoted name is followed by a space
        (b'"id",x\n"1, ""2""\n",2\n3,4', True),
        (b"id,x\r1,2\r", False),
        (b"id,x\n1,2\r3,4\n", True),
        (b"\nid,x\n1,2\n", False),
        (b"id,x\n\n1,2\n\n", True),
        (b"id,x\n1,2\n,\n", False),
        (b"id,x\n1,2,\n", False),
        (b'id,x\n1",2\n', False),
        (b'id,x\n"1"2,2\n', False),
        (b'id,x\n"1,2\n', False),
        (b"id,x\n1,\n2,0.5\n", True),
        (b"id,x\n1,nan\n", False),
        (b"id,x\n1,1e999\n", False),
        (b"id,x\n1,+1\n", True),
        (b"id,x\n1,1_0\n", False),
        (b"id,x\n1,zero\n", False),
        (b"id,x\n\xe9,2\n", False),
        (b"id,x\n", True),
        (b"id,x", False),
    ],
)
def test_what_arrow_may_read_is_read_as_the_careful_reader_does(tmp_path, data, by_arrow):
    path = written(tmp_path, data)
    assert (tables.read_plain(path, ["id", "x"], ",", {"x"}) is not None) == by_arrow
    numbers = {"numbers": lambda header: {"x"}}
    assert repr(outcome(read_table, path, **numbers)) == repr(outcome(carefully, path))


@given(data=st.text(alphabet='ab1.,"\n\r \t\u2028é\ufeff', max_size=40))
def test_any_text_is_read_alike_or_refused_alike(tmp_path_factory, data):
    path = written(tmp_path_factory.mktemp("t"), "id,x\n" + data)
    numbers = {"numbers": lambda header: {"x"} & set(header)}
    assert repr(outcome(read_table, path, **numbers)) == repr(outcome(carefully, path))


CELLS = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, st.floats(allow_infinity=False)), max_size=6), quoting=st.sampled_from([0, 1])
)
def test_whatever_a_writer_of_csv_writes_is_read_alike(tmp_path_factory, rows, quoting):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    with open(path, "w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, quoting=quoting).writerows([("id", "a, b", "x"), *rows])
    numbers = {"numbers": lambda header: {"x"}}
    assert repr(outcome(read_table, path, **numbers)) == repr(outcome(carefully, path))


COLUMNS = {
    "float": st.floats() | st.sampled_from([-0.0, 1e-320, 1e308, 0.1 + 0.2, 123456789.5]),
    "int": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "text": CELLS,
    "gaps": CELLS | st.none() | st.just(float("nan")),
    "mixed": st.integers(0, 9) | CELLS | st.floats() | st.none(),
}


@given(
    data=st.data(),
    kinds=st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4),
    length=st.integers(0, 5),
    as_object=st.booleans(),
)
def test_the_bytes_are_those_of_pandas(data, kinds, length, as_object):
    columns = {
        f"{place}, {kind}": pd.Series(
            data.draw(st.lists(COLUMNS[kind], min_size=length, max_size=length)), dtype=object if as_object else None
        )
        for place, kind in enumerate(kinds)
    }
    frame = pd.DataFrame(columns)
    ours = io.StringIO(newline="")
    tables.write_rows(ours, frame)
    assert ours.getvalue() == frame.to_csv(index=False, lineterminator="\n", float_format="%.9g")


@pytest.mark.parametrize("rows", [tables.LINES - 1, tables.LINES, 2 * tables.LINES + 1])
def test_gaps_and_quotes_in_some_of_many_lines(tmp_path, rows):
    frame = pd.DataFrame(
        {"id": [f"clip {i}" for i in range(rows)], "x": [i / 7 for i in range(rows)], "n": range(rows)}
    )
    frame.loc[rows - 1, ["id", "x"]] = ['a "late", one', None]
    frame["x32"] = frame["x"].astype("float32")
    write_table(tmp_path / "t.csv", frame)
    assert (tmp_path / "t.csv").read_text() == frame.to_csv(index=False, lineterminator="\n", float_format="%.9g")


def test_a_column_that_repeats_itself_holds_each_text_once(tmp_path):
    path = written(tmp_path, "id,label\n" + "".join(f"{i},joy\n" for i in range(300)))
    table = read_table(path)
    assert len({id(cell) for cell in table["label"]}) == 1 and table["label"].dtype == object


@pytest.mark.parametrize("cell", ["a\rb", "a\r\nb", "a\nb", 'a"b', '"', "a,b", "\r"])
def test_marks_in_a_cell_come_back(tmp_path, cell):
    frame = pd.DataFrame({"id": ["r1", "r2"], "text": [f"x{cell}x", "y"], "other": ["1", "2"]}, dtype=object)
    write_table(tmp_path / "t.csv", frame)
    assert read_table(tmp_path / "t.csv").to_dict("list") == frame.to_dict("list")
