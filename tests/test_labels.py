import json

import pytest

from affectkit.errors import AffectkitError
from affectkit.labels import Target, are_targets, map_labels, parse_label_map, spelt_alike


def test_a_map_is_text_or_json(tmp_path):
    assert parse_label_map("exc=happy, fru=") == {"exc": "happy", "fru": ""}
    with pytest.raises(AffectkitError, match="maps a label twice"):
        parse_label_map("exc=happy,exc=sad")
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


@pytest.mark.parametrize(
    "change",
    [
        {"name": ".."}, {"name": "a/b"}, {"name": ""}, {"name": 3}, {"name": "a\nb"}, {"kind": "x"}, {"kind": None},
        {"kind": "number"}, {"classes": []}, {"classes": "abc"}, {"classes": {"a": 0}}, {"classes": ["a", 3]},
        {"classes": ["a", ["b"]]}, {"classes": ["a", True]}, {"classes": ["a", ""]}, {"classes": ["a", "a"]},
        {"kind": "number", "classes": None, "scale": [1]}, {"kind": "number", "classes": None, "scale": [2, 1]},
        {"kind": "number", "classes": None, "scale": ["1", "2"]}, {"kind": "number", "classes": None, "scale": 5},
    ],
)  # fmt: skip
def test_a_target_is_what_to_json_writes(change):
    sound = {"name": "label", "kind": "class", "classes": ["a", "b"]}
    assert Target.from_json(sound).to_json() == sound and are_targets([sound])
    with pytest.raises(ValueError, match=r"\w"):
        Target.from_json({**sound, **change})
    assert not are_targets([{**sound, **change}])


def test_no_target_has_a_name_that_leads_elsewhere():
    with pytest.raises(AffectkitError, match="cannot be a target's name"):
        Target("../x", "number")


@pytest.mark.parametrize("text", ["[" * 5000, '{"a": 1' + "0" * 400 + "}", "[]", '{"a": 1}', "{", '{"map": ["a"]}'])
def test_a_label_map_that_is_none_is_one_line(tmp_path, text):
    path = tmp_path / "map.json"
    path.write_text(text)
    with pytest.raises(AffectkitError, match=r"map\.json: "):
        parse_label_map(str(path))
