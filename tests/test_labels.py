import json

import pytest

from affectkit.errors import AffectkitError
from affectkit.labels import Target, map_labels, parse_label_map, spelt_alike


def test_a_map_is_text_or_json(tmp_path):
    assert parse_label_map("exc=happy, fru=") == {"exc": "happy", "fru": ""}
    (tmp_path / "m.json").write_text(json.dumps({"exc": "happy"}))
    assert parse_label_map(str(tmp_path / "m.json")) == {"exc": "happy"}
    (tmp_path / "l.json").write_text(json.dumps({"classes": ["happy"], "map": {"exc": "happy"}}))
    assert parse_label_map(str(tmp_path / "l.json")) == {"exc": "happy"}


@pytest.mark.parametrize("text", ["exc", "=happy", "exc=happy,fru"])
def test_a_pair_without_two_sides_is_a_usage_error(text):
    with pytest.raises(AffectkitError, match="is not source=class"):
        parse_label_map(text)


def test_a_partial_map_keeps_the_others_a_complete_one_drops_them():
    source = ["exc", "sad", "", "xxx"]
    assert map_labels(source, {"exc": "happy", "xxx": ""}, complete=False) == ["happy", "sad", "", None]
    assert map_labels(source, {"exc": "happy"}, complete=True) == ["happy", None, "", None]


def test_a_source_label_that_no_row_has_is_refused_with_the_nearest():
    with pytest.raises(AffectkitError, match="no row is labelled 'exs'; did you mean exc"):
        map_labels(["exc", "sad"], {"exs": "happy"}, complete=False)


def test_targets_survive_json():
    for target in (
        Target("label", "class", ("a", "b")),
        Target("valence", "number", scale=(1, 5)),
        Target("x", "number"),
    ):
        assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (["joy", "Joy", "fear"], [["Joy", "joy"]]),
        (["very calm", "very  calm", "calm "], [["very  calm", "very calm"]]),
        (["e\u0301veil", "\u00e9veil"], [["e\u0301veil", "\u00e9veil"]]),
        (["", " ", "joy", "joys"], []),
    ],
)
def test_names_that_differ_by_spelling_only(names, alike):
    assert spelt_alike(names) == alike
