"""What kind a column is of, and tables as blocks of features."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.columns import Column, Table, in_words, infer, read_as
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.table_features import columns_of, open_features, open_known, refuse_unknown
from affectkit.artifacts.tables import read_table
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.plain import comma_separated

ROWS = 30


def where(position):
    return {"file": Path("t.csv"), "row": position + 1}


def inferred(cells, **others):
    return infer(pd.DataFrame({"x": cells, **others}, dtype=object), where)


def cycled(*values):
    return [values[row % len(values)] for row in range(ROWS)]


@pytest.mark.parametrize(
    ("cells", "kind", "form"),
    [
        (cycled("1", "2.5", "-3e2", ""), "number", ""),
        (cycled("1", "NA", "n/a", "?", "-", "None", " null ", "NaN"), "number", ""),
        (cycled(""), "number", ""),
        (cycled("f", "m", "NA"), "category", ""),
        (cycled("A1", "2", "B"), "category", ""),
        (cycled("same"), "category", ""),
        (cycled("none", "boot", "-"), "category", ""),
        (cycled("2024-01-31T10:00:00Z", "-"), "date", "%Y-%m-%dT%H:%M:%SZ"),
        (cycled("2024年1月31日", "1999年12月1日"), "date", "%Y年%m月%d日"),
        ([f"病人{row}的伤口很干净" for row in range(ROWS)], "text", ""),
        (cycled("2024-01-31", "1999-12-01"), "date", "%Y-%m-%d"),
        (cycled("31.01.2024", "?"), "date", "%d.%m.%Y"),
        (cycled("01/31/2024", "02/01/2024"), "date", "%m/%d/%Y"),
        (cycled("31/01/2024", "02/01/2024"), "date", "%d/%m/%Y"),
        (cycled("2024-01-31 12:00"), "date", "%Y-%m-%d %H:%M"),
        ([f"a wound of {row} mm" for row in range(ROWS)], "text", ""),
    ],
)
def test_all_cells_of_a_column_say_what_kind_it_is_of(cells, kind, form):
    table = inferred(cells)
    assert table.columns == (Column("x", kind, form),)
    assert table.shape == (ROWS, 1)
    known = read_as(pd.DataFrame({"x": cells}, dtype=object), table.columns, where)
    np.testing.assert_array_equal(known.codes, table.codes)


def test_among_words_none_and_minus_are_words():
    assert inferred(cycled("none", "boot", "?")).cells[0][:3].tolist() == ["none", "boot", ""]
    assert inferred(cycled("+", "-", "null")).cells[0][:3].tolist() == ["+", "-", ""]


@pytest.mark.parametrize(
    ("others", "slip"),
    [
        (cycled("2024-01-31", "1999-12-01"), "yesterday"),
        (cycled("2024-01-31", "1999-12-01"), "31.12.2024"),
        (cycled("31/01/2024", "28/01/2024"), "01/31/2024"),
        (cycled("01/02/2024", "03/04/2024"), "2024-01-31"),
    ],
)
def test_a_slip_among_dates_is_named_with_its_row(others, slip):
    with pytest.raises(AffectkitError, match=f"x '{slip}' is no date such as .*, and 30 of 31 cells are") as caught:
        inferred([*others, slip])
    assert caught.value.row == 31
    assert caught.value.remedy.startswith("write all dates as 2024-01-31")


def test_what_is_a_date_now_and_then_is_none():
    assert inferred(cycled("2024-01-31", "never")).columns[0].kind == "category"


@pytest.mark.parametrize(
    ("cells", "named"), [(cycled("yes", "Yes", "no"), "['Yes', 'yes']"), (cycled("1", "1.0", "b"), "['1', '1.0']")]
)
def test_categories_that_are_spelt_alike_are_named(caplog, cells, named):
    assert inferred(cells).columns[0].kind == "category"
    assert f"x: {named} differ by case" in caplog.text


@pytest.mark.parametrize("unit", [" mm", "mm", "°C"])
def test_numbers_with_a_unit_are_named(caplog, unit):
    inferred([f"{row * 3}.5{unit}" for row in range(ROWS)], y=cycled("f", "m"))
    assert f"x: cells such as '0.5{unit}' are no numbers" in caplog.text


@pytest.mark.parametrize(
    "cells",
    [[f"P{row:03}" for row in range(ROWS)], [str(row + 7) for row in range(ROWS)], [f"张{row}" for row in range(ROWS)]],
)
def test_identifiers_are_left_out_and_named(cells, caplog):
    assert inferred(cells, y=cycled("f", "m")).names == ["y"]
    assert "x: left out" in caplog.text
    with pytest.raises(AffectkitError, match="holds no features"):
        inferred(cells)


def test_dates_are_days_and_may_be_read_in_two_ways(caplog):
    table = inferred(cycled("01/02/1970", "01/03/1970", ""))
    np.testing.assert_array_equal(table.cells[0][:3], [1, 2, np.nan])
    assert "month/day/year" in caplog.text


@pytest.mark.parametrize("cell", ["1,5", "<0.5", "inf", "1_0", "1e300"])
def test_a_slip_among_numbers_is_named_with_its_row(cell):
    with pytest.raises(AffectkitError, match="not a number") as caught:
        inferred([*map(str, range(0, 50, 2)), cell])
    assert caught.value.row == 26
    assert "--exclude x" in caught.value.remedy or cell == "1,5"


def test_a_remedy_quotes_names_as_a_shell_needs_it():
    with pytest.raises(AffectkitError) as caught:
        infer(pd.DataFrame({"Phase, sure (%)": [*map(str, range(30)), "old"]}, dtype=object), where)
    typed = caught.value.remedy.removeprefix("correct it, leave the cell empty, or pass --exclude ")
    assert comma_separated(*shlex.split(typed)) == ["Phase, sure (%)"]


@pytest.mark.parametrize(
    ("cells", "remedy"),
    [
        (cycled("1,5", "22,75", "?"), "write decimals with a point: 1.5"),
        (cycled("45%", "7 %"), "write shares of 1"),
        (cycled("1,234", "2,000"), "write 1234, without a separator of thousands, or 1.234 if"),
        (cycled("1 234", "2 000"), "write 1234, without a separator of thousands"),
        (cycled("1,234,567.5", "2"), "write 1234567.5, without"),
        (cycled("#DIV/0!", "2"), "leave the cell empty"),
    ],
)
def test_numbers_written_otherwise_are_no_categories(cells, remedy):
    with pytest.raises(AffectkitError, match="not a number") as caught:
        inferred(cells)
    assert caught.value.remedy.startswith(remedy)


def test_codes_that_begin_with_a_hash_are_categories():
    assert inferred(cycled("#ff0000", "#12")).columns[0].kind == "category"


@pytest.mark.parametrize(("kind", "form", "cell"), [("number", "", "old"), ("date", "%Y-%m-%d", "31.12.2024")])
def test_cells_of_another_kind_than_the_models_are_named(kind, form, cell):
    frame = pd.DataFrame({"x": ["", cell]}, dtype=object)
    with pytest.raises(AffectkitError, match=f"x '{cell}' is not a") as caught:
        read_as(frame, [Column("x", kind, form)], where)
    assert caught.value.row == 2


def test_a_table_is_indexed_by_rows_and_counts_its_kinds():
    table = inferred(cycled("1", "2", ""), y=cycled("f", "m", "?"))
    part = table[np.array([5, 0])]
    np.testing.assert_array_equal(part.numbers, [[np.nan], [1]])
    assert part.cells[1].tolist() == ["", "f"]
    assert len(table[np.arange(ROWS) < 4]) == 4
    assert in_words(table.columns) == ["numbers (1): x", "categories (1): y"]
    assert np.isnan(Table.of_gaps(table.columns).codes).all()


# --- What `--features` names


def manifest(**columns):
    rows = pd.DataFrame({"id": ["a", "b"], "label": ["x", "y"], "subject": ["s", "t"], **columns}, dtype=object)
    origin = [(Path("m.csv"), 1), (Path("m.csv"), 2)]
    return Manifest(Path("m.csv"), rows, origin, {"label": Target("label", "class", ("x", "y"))})


def test_every_column_of_a_manifest_that_says_something_of_the_row():
    box = {f"wound_{name}": ["1", "2"] for name in ("x", "y", "width", "height")}
    rows = manifest(path="p", path_depth="q", split="train", votes_x="1", age=["1", "2"], sex="f", tax_x="1", **box)
    assert columns_of(Path("manifest:*"), rows) == ["age", "sex", "tax_x"]
    assert columns_of(Path("manifest:sex, split"), rows) == ["split", "sex"]
    with pytest.raises(AffectkitError, match="has no column 'agee'") as caught:
        columns_of(Path("manifest:agee"), rows)
    assert "age" in caught.value.remedy


def test_columns_that_rows_are_judged_or_divided_by_are_left_out(tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("id,label,subject,fold,age,sex\na,x,s,1,4,f\nb,y,t,2,NA,m\n", newline="\r\n")
    features = open_features(path, manifest(), apart=["label", "subject"])
    assert features.names == ["age", "sex"]
    assert "label, subject, fold: left out" in caplog.text
    assert (
        open_features(path, manifest(), apart=["label", "subject"], exclude=["sex"]).matrix(["a"]).dtype == np.float32
    )
    with pytest.raises(AffectkitError, match="no table of features has a column 'sexx'"):
        refuse_unknown(["sexx"], [path], manifest())


@pytest.mark.parametrize("encoded", ["id,n\na,1.5\nb,2\n", "\ufeffid,n\r\na,1.5\r\nb,2\r\n", "id,n\na,1.5\nb,NA\n"])
def test_a_csv_of_nothing_but_numbers_is_a_matrix(tmp_path, encoded):
    path = tmp_path / "t.csv"
    path.write_bytes(encoded.encode())
    features = open_features(path, manifest())
    values = features.matrix(["b", "a"])
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[np.nan if "NA" in encoded else 2], [1.5]])
    known = open_known(path, manifest(), features.described())
    np.testing.assert_array_equal(known.matrix(["b", "a"]), values)


def test_text_in_another_encoding_is_refused_with_its_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("id,n\na,müde\n".encode("latin-1"))
    with pytest.raises(AffectkitError, match=r"not UTF-8 text \(line 2\)"):
        open_features(path, manifest())


def test_numbers_are_read_as_such_beside_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,a,b,c\n1,NA,x,1\n2, 3,y,inf\n3,?,NA,2\n")
    frame = read_table(path, numbers=lambda header: ["a", "b", "c"], gaps=["", "na", "?"])
    assert [str(kind) for kind in frame.dtypes] == ["object", "float64", "object", "object"]
    np.testing.assert_array_equal(frame["a"], [np.nan, 3, np.nan])


def test_a_column_that_numbers_the_rows_of_a_matrix_is_named(tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("id,,age\n" + "".join(f"r{row},{row},{row % 7 + 0.5}\n" for row in range(ROWS)))
    assert open_features(path, manifest()).names == ["", "age"]
    assert "'' numbers the rows" in caplog.text


def test_languages_of_a_table_are_codes_as_those_of_a_manifest(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,language\na,German\nb,english\n")
    assert open_features(path, manifest()).matrix(["a", "b"]).cells[0].tolist() == ["de", "en"]


@pytest.mark.parametrize(("asked", "there"), [("01", "1"), ("7", "7.0"), ("R1", "r1"), ("a ", "a")])
def test_ids_that_are_spelt_otherwise_are_named(tmp_path, asked, there):
    path = tmp_path / "t.csv"
    path.write_text(f"id,n\n{there},1.5\nother,2\n")
    with pytest.raises(AffectkitError, match="has no features of id") as caught:
        open_features(path, manifest()).matrix([asked])
    assert caught.value.remedy == f"'{there}' is there: write ids alike"


def test_a_column_that_is_spelt_otherwise_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,Age\na,1.5\nb,2\n")
    with pytest.raises(AffectkitError, match="has no column 'age'") as caught:
        open_known(path, manifest(), {"feature_names": ["age"]})
    assert caught.value.remedy == "rename 'Age', if that is it"
