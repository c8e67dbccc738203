"""Model folders: what they must say, and what their names may not do."""

import pandas as pd
import pytest

from affectkit.artifacts.files import write_json
from affectkit.artifacts.models import copy_model, model_digest, read_fit_rows, read_spec, read_stage, write_fit_rows
from affectkit.artifacts.sources import named_paths
from affectkit.errors import AffectkitError

ROWS = pd.DataFrame({"id": ["1", "2", "3"], "group": ["a", "a", "b"], "role": "fit"})
LABEL = {"name": "label", "kind": "class", "classes": ["joy", "rage"]}


@pytest.fixture
def model(tmp_path):
    """A function that writes a `best_model/` with its fit rows."""

    def write(name="best_model", **changes):
        folder = tmp_path / name
        folder.mkdir()
        fit_rows = write_fit_rows([folder], ROWS)
        write_json(folder / "affectkit.json", {"kind": "x", "targets": [LABEL], "fit_rows": fit_rows, **changes})
        return folder

    return write


def test_fit_rows_are_those_that_the_model_was_saved_with(model):
    assert list(read_fit_rows(model())["id"]) == ["1", "2", "3"]


@pytest.mark.parametrize("kept", [[], [0], [0, 1]])
def test_a_cut_table_of_fit_rows_is_refused(model, kept):
    folder = model()
    write_fit_rows([folder], ROWS.iloc[kept])
    with pytest.raises(AffectkitError, match=f"a table of 3 rows, and now of {len(kept)}") as refused:
        read_fit_rows(folder)
    assert refused.value.file == str(folder / "fit_rows.csv")


def test_fit_rows_that_are_others_or_have_gone_are_refused(model):
    folder = model()
    write_fit_rows([folder], ROWS.assign(id=["1", "2", "4"]))
    with pytest.raises(AffectkitError, match="is not as the model was saved with it: a table of 3 rows;"):
        read_fit_rows(folder)
    (folder / "fit_rows.csv").unlink()
    with pytest.raises(AffectkitError, match=r"lacks fit_rows\.csv: nothing says which rows"):
        read_fit_rows(folder)


@pytest.mark.parametrize("name", ["../../..", "..", ".", "/tmp/x", "a/b", "", None, 3, "a\nb"])
def test_a_parent_with_a_name_that_leads_elsewhere_is_never_copied(model, tmp_path, name):
    parent = model("parent")
    child = model("child", parents=[{"name": name, "path": "../parent", "sha256": model_digest(parent)}])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(AffectkitError, match="'name' is not a name that a file can have"):
        copy_model(child, tmp_path / "runs" / "deep" / "copy")
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.is_file()] == []


@pytest.mark.parametrize("name", ["..", ".", " ", "a/b", "a\\b", "a\tb"])
def test_a_source_is_named_as_a_file_can_be(name):
    with pytest.raises(AffectkitError, match="is not NAME=PATH"):
        named_paths([f"{name}=x.csv"])


@pytest.mark.parametrize(
    "change",
    [
        {"kind": None}, {"targets": {}}, {"targets": "label"}, {"targets": [LABEL, LABEL]}, {"options": []},
        {"features": [3]}, {"features": [{"encoder": 1}]}, {"needs": "audio"}, {"dimensions": ["3"]}, {"group": 1},
        {"normalize": True}, {"parents": {}}, {"parents": [{"name": "a"}]}, {"fit_rows": {"rows": "3"}},
        {"parents": [{"name": "a", "path": 1, "sha256": None}]},
    ],
)  # fmt: skip
def test_a_description_whose_fields_have_other_types_is_one_line(model, change):
    folder = model(**change)
    with pytest.raises(AffectkitError, match=r"affectkit\.json: is no model description: ") as refused:
        read_spec(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["calibration.json", "fusion.json"])
@pytest.mark.parametrize(
    "stage",
    [{}, {"targets": []}, {"targets": {"label": 1}}, {"targets": {"label": {"method": "x", "rule": "x"}}},
     {"targets": {"label": {"method": 1, "rule": 1, "options": {}, "parameters": {}}}}],
)  # fmt: skip
def test_a_stage_whose_fields_have_other_types_is_one_line(tmp_path, name, stage):
    write_json(tmp_path / name, {"sources": ["a"], **stage})
    with pytest.raises(AffectkitError, match=f"{name}: is no {name[:-5]}: "):
        read_stage(tmp_path, name)
