"""The audit by names, its report, and the guard: planted leaks of every kind, and clean splits that have none."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit import splits
from affectkit.artifacts.manifest import read_manifest
from affectkit.errors import AffectkitError
from affectkit.leakage.audit import audit, normal_text
from affectkit.leakage.held_out import hold_out_rows, seen_of
from affectkit.leakage.sides import COPIES, KINDS, sides_of, sort_sides, straddling


def frame(**columns) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})


def clean() -> pd.DataFrame:
    """Six rows, two in each split, that share nothing across splits."""
    return frame(
        id=list("abcdef"),
        corpus=["c"] * 6,
        split=["train", "train", "val", "val", "test", "test"],
        speaker=["s1", "s1", "s2", "s2", "s3", "s3"],
        session=["x1", "x1", "x2", "x2", "x3", "x3"],
        dialogue=["d1", "d2", "d3", "d4", "d5", "d6"],
        sequence=["q1", "q2", "q3", "q4", "q5", "q6"],
        text=["Good morning.", "good morning", "How are you?", "Fine", "Not so well", ""],
        text_id=["t1", "t1", "t2", "t2", "t3", ""],
    )


def planted(column: str) -> pd.DataFrame:
    """`clean`, where the first train row and the last test row share a value."""
    rows = clean()
    rows.loc[5, column] = rows.loc[0, column]
    return rows


def kinds(report) -> list[str]:
    return [leak.kind for leak in report.leaks]


def test_a_clean_split_has_no_leak():
    report = audit(clean(), level="names")
    assert report.leaks == () and report.notes == ()
    assert report.sides == {"train": 2, "val": 2, "test": 2}
    report.require()


@pytest.mark.parametrize(
    ("column", "kind"),
    [("speaker", "speaker"), ("session", "session"), ("dialogue", "dialogue"), ("sequence", "source"),
     ("text_id", "text"), ("text", "text")],
)  # fmt: skip
def test_planted_leaks_are_found_and_named(column, kind):
    report = audit(planted(column), level="names")
    (leak,) = report.leaks
    assert (leak.kind, leak.what, leak.count, leak.sides) == (kind, column, 1, ("train", "test"))
    assert leak.examples[0]["ids"] == {"train": "a", "test": "f"}
    with pytest.raises(AffectkitError) as caught:
        report.require()
    assert caught.value.code == "leak"
    assert kind in caught.value.message and "a in train, f in test" in caught.value.message
    assert f"--allow-leaks {kind}" in caught.value.remedy
    report.require({kind})


def test_subject_is_a_speaker_and_path_a_source(tmp_path):
    rows = planted("speaker").rename(columns={"speaker": "subject"})
    assert kinds(audit(rows, level="names")) == ["speaker"]
    media = [tmp_path / name for name in ("1.wav", "2.wav", "3.wav", "4.wav", "5.wav", "1.wav")]
    (leak,) = audit(clean(), level="names", media=media).leaks
    assert (leak.kind, leak.what, leak.examples[0]["value"]) == ("source", "path", str(tmp_path / "1.wav"))


def test_a_group_of_ones_own():
    rows = clean().assign(family=list("mmnnom"))
    assert audit(rows, level="names").leaks == ()
    report = audit(rows, level="names", group_column="family")
    assert kinds(report) == ["group"]
    with pytest.raises(AffectkitError, match="group leak: family: 1 of 3"):
        report.require({"speaker"})


def test_counts_of_a_leak():
    rows = clean().assign(speaker=["s1", "s2", "s1", "s4", "s2", "s1"])
    (leak,) = audit(rows, level="names").leaks
    assert (leak.count, leak.total, leak.rows, leak.sides) == (2, 3, 5, ("train", "val", "test"))


def test_names_mean_nothing_in_another_corpus_but_texts_do():
    rows = planted("speaker").assign(corpus=["c"] * 5 + ["other"])
    assert audit(rows, level="names").leaks == ()
    rows = planted("text").assign(corpus=["c"] * 5 + ["other"])
    assert kinds(audit(rows, level="names")) == ["text"]


def test_declared_leaks_pass_and_are_repeated():
    rows = planted("speaker")
    defects = [("speaker", "The cast is in all splits."), ("text", "Texts recur."), ("media", "Images recur.")]
    report = audit(rows, level="names", defects=defects)
    report.require()
    assert report.leaks[0].declared == "The cast is in all splits."
    # The split has no shared text, so that nobody needs to hear of it; media were not looked at.
    assert report.declared_sentences() == ["The cast is in all splits.", "Images recur."]


def test_undeclared_leaks_beside_declared_ones():
    rows = planted("speaker")
    rows.loc[5, "session"], rows.loc[5, "text"] = "x1", "Good morning!"
    report = audit(rows, level="names", defects=[("text", "Texts recur.")])
    assert kinds(report) == ["speaker", "session", "text"]
    with pytest.raises(AffectkitError, match="speaker leak \\(and session\\)") as caught:
        report.require()
    assert "--allow-leaks speaker,session" in caught.value.remedy
    with pytest.raises(AffectkitError, match=r"^session leak"):
        report.require({"speaker"})
    report.require({"speaker", "session"})
    assert report.declared_sentences({"speaker", "session"})[1].startswith("speaker leak, allowed: speaker: 1 of 3")


def test_allowing_what_is_no_kind():
    with pytest.raises(AffectkitError, match="'speakers' is no kind of leak; did you mean speaker"):
        audit(clean(), level="names").require({"speakers"})


def test_folds_are_sides():
    rows = clean().drop(columns="split").assign(fold=[0, 0, 1, 1, 10, 10])
    assert audit(rows, level="names").sides == {"fold 0": 2, "fold 1": 2, "fold 10": 2}
    (leak,) = audit(planted("speaker").assign(split="train", fold=[0, 0, 1, 1, 2, 2]), level="names").leaks
    assert leak.sides == ("fold 0", "fold 2")


def test_folds_within_a_split():
    rows = clean().assign(split=["train"] * 4 + ["test"] * 2, fold=["0", "0", "1", "1", "", ""])
    assert sides_of(rows) == ["train fold 0"] * 2 + ["train fold 1"] * 2 + ["test"] * 2
    assert audit(rows, level="names").leaks == ()


def test_sides_in_order():
    assert sort_sides({"test", "fold 10", "val", "fold 9", "train"}) == ("train", "val", "test", "fold 9", "fold 10")


def test_rows_without_a_split_are_on_no_side():
    rows = planted("speaker")
    rows.loc[5, "split"] = ""
    assert audit(rows, level="names").leaks == ()


@pytest.mark.parametrize("column", ["session", "dialogue", "text_id", "text"])
def test_a_column_that_says_the_same_of_all_rows_is_noted(column):
    rows = clean().assign(**{column: "once"})
    report = audit(rows, level="names")
    assert not report.leaks and f"{column} is 'once' in every row" in report.notes[0]
    assert audit(rows.assign(speaker="once"), level="names").leaks  # one person is on both sides
    kind = "text" if "text" in column else column
    assert kinds(audit(rows, level="names", defects=[(kind, "as the corpus says")])) == [kind]


def test_rows_without_a_speaker_are_noted():
    rows = clean().assign(speaker=["s1", "", "s2", "s2", "", ""])
    report = audit(rows, level="names")
    assert report.leaks == ()
    assert [note.split(":")[0] for note in report.notes] == [
        "1 rows of train name no speaker", "2 rows of test name no speaker",
    ]  # fmt: skip


def test_random_rows_leak_and_grouped_rows_do_not():
    speakers = np.repeat([f"s{i}" for i in range(12)], 20)
    rows = frame(id=[f"u{i}" for i in range(240)], speaker=speakers)
    fractions = {"val_fraction": 0.2, "test_fraction": 0.2, "seed": 0}
    rows["split"] = splits.by_group(speakers, None, **fractions)
    assert audit(rows, level="names").leaks == ()
    rows["split"] = splits.random_rows(None, 240, **fractions)
    (leak,) = audit(rows, level="names").leaks
    assert (leak.kind, leak.count, leak.rows) == ("speaker", 12, 240)


@given(
    st.lists(st.tuples(st.sampled_from(["", "p", "q", "r", "s"]), st.sampled_from(["", "train", "val", "test"]))),
)
def test_straddling_is_what_a_group_by_says(cells):
    values, sides = [v for v, _ in cells], [s for _, s in cells]
    leak = straddling("speaker", "speaker", values, sides, [str(i) for i in range(len(cells))])
    table = pd.DataFrame({"value": values, "side": sides})
    table = table[(table["value"] != "") & (table["side"] != "")]
    several = table.groupby("value")["side"].nunique()
    expected = several[several > 1]
    assert (leak.count if leak else 0) == len(expected)
    if leak:
        assert leak.rows == table["value"].isin(expected.index).sum()


@pytest.mark.parametrize(
    ("one", "other"),
    [("Good morning.", "good  MORNING"), ("Straße!", "strasse"), ("cafe\u0301", "caf\u00e9"), ("1 2", "\uff11 \uff12")],
)
def test_texts_that_are_the_same(one, other):
    assert normal_text(one) == normal_text(other) != ""


def test_texts_that_are_not():
    assert normal_text("None") == "none"
    assert normal_text("...") == ""
    assert normal_text("to day") != normal_text("today")


def test_the_longest_shared_text_is_the_example():
    rows = clean().assign(text=["yes", "I never said that to her", "yes", "no", "No!", "i never said that to her"])
    (leak,) = audit(rows, level="names").leaks
    assert leak.examples[0]["value"] == "i never said that to her" and leak.count == 3


def test_the_report_as_json():
    report = audit(planted("speaker"), level="names", defects=[("text", "Texts recur.")])
    data = json.loads(json.dumps(report.to_json()))
    assert data["level"] == "names" and data["sides"] == {"train": 2, "val": 2, "test": 2}
    assert data["leaks"][0]["kind"] == "speaker" and data["leaks"][0]["declared"] is None
    assert data["declared"] == [{"kind": "text", "text": "Texts recur."}]
    assert set(KINDS) >= {leak["kind"] for leak in data["leaks"]}


# The guard


def test_rows_whose_group_was_fitted_on_are_not_held_out():
    fit_rows = frame(id=["a", "b"], group=["s1", ""], role=["fit", "fit"])
    assert seen_of(["a", "c", "d", "e"], ["s9", "s1", "s2", ""], fit_rows) == ["fit", "fit", "heldout", "heldout"]
    assert seen_of(["a", "c"], None, fit_rows[["id"]]) == ["fit", "heldout"]


# --- the whole list of what leaks, and which rows go


def test_all_that_leaks_is_listed_with_its_rows():
    rows = planted("speaker")
    rows.loc[[1, 3], "text"] = "Good morning."
    report = audit(rows, level="names", media=[Path(f"{key}.wav") for key in rows["id"]])
    table = report.listing().to_dict("records")
    assert table == [
        {"kind": "speaker", "value": "s1", "ids": "a|b|f", "sides": "train|train|test", "files": "a.wav|b.wav|f.wav"},
        {"kind": "text", "value": "good morning", "ids": "a|b|d", "sides": "train|train|val",
         "files": "a.wav|b.wav|d.wav"},
    ]  # fmt: skip
    assert list(report.listing({"speaker"})["kind"]) == ["text"] and report.listing(KINDS).empty


@pytest.mark.parametrize(
    ("places", "train", "test"),
    [("train test", "0", "1"), ("train val", "0", "1"), ("val test", "0", "1"), ("train val test", "01", "12"),
     ("train train test test", "01", "23"), ("train train", "", "")],
)  # fmt: skip
def test_copies_go_from_one_side_by_rule(places, train, test):
    sides = [*places.split(), "train", "val", "test"]
    texts = ["the same words"] * len(places.split()) + ["a b", "c d", "e f"]
    rows = frame(id=[str(n) for n in range(len(sides))], split=sides, text=texts, speaker=["s"] * len(sides))
    report = audit(rows, level="names")
    assert "".join(report.copies("train")) == train and "".join(report.copies("test")) == test
    assert report.copies("train", {"text"}) == {}
    assert "speaker" not in COPIES and kinds(report)[0] == "speaker"
    left = audit(rows[~rows["id"].isin(report.copies("train"))], level="names")
    assert "text" not in kinds(left)


def test_copies_of_folds_have_no_side():
    rows = frame(id=["a", "b"], split=["train"] * 2, fold=["0", "1"], text=["same words"] * 2)
    with pytest.raises(AffectkitError, match="folds have no train and no test side"):
        audit(rows, level="names").copies("train")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"label": ["joy", "fear"]}, ["1 recordings stand under more than one label, as x.wav: joy (a), fear (b)"]),
        ({"speaker": ["s1", "s2"]}, ["1 recordings stand under more than one speaker, as x.wav: s1 (a), s2 (b)"]),
        ({"label": ["joy", ""], "speaker": ["s1", "s1"]}, []),
        ({"label": ["joy", "fear"], "start_sec": [0.0, 1.0], "end_sec": [1.0, 2.0]}, []),
        ({"label": ["joy", "fear"], "person_x": [0.0, 100.0]}, []),
    ],
)
def test_a_recording_under_two_labels_or_speakers_is_told_of(columns, told):
    rows = frame(id=["a", "b"], split=["train"] * 2, **columns)
    report = audit(rows, level="names", media=[Path("x.wav")] * 2)
    assert [sentence.partition(";")[0] for sentence in report.conflicts] == told
    assert ("conflicts" in report.to_json()) == bool(told)


@pytest.mark.parametrize(
    ("cv", "told"),
    [
        (False, "class 'rare' of label has rows that are judged, but none that is fitted: "),
        (True, "class 'lone' of label has rows that are judged, but none that is fitted in 1 of 3 fits: "),
    ],
)
def test_classes_that_are_judged_and_not_fitted_are_named(tmp_path, caplog, cv, told):
    lines = ["a,joy,s1,train", "b,lone,s1,train", "c,joy,s2,train", "d,rare,s3,test", "e,joy,s3,test"]
    (tmp_path / "m.csv").write_text("id,label,speaker,split\n" + "\n".join(lines) + "\n")
    manifest = read_manifest(tmp_path / "m.csv")
    hold_out_rows(manifest, list(manifest.targets.values()), cv=cv)
    assert told in caplog.text and ("'lone'" in caplog.text) == cv


def test_rows_of_nobody_are_said_where_subjects_stand_for_speakers():
    rows = pd.DataFrame({"id": ["a", "b", "c"], "subject": ["p1", "", "p2"], "split": ["train", "test", "test"]})
    assert audit(rows, level="names").notes == ("1 rows of test name no subject: theirs may be on another side",)
