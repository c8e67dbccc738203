"""`affectkit query` as it is used."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

CLASSES = ("anger", "joy", "sadness")


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        table = csv.DictWriter(handle, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


@pytest.fixture
def study(tmp_path):
    """60 rows of 12 people, two of whom are judged by half of their rows; a third has a label."""
    rng = np.random.default_rng(0)
    manifest, answers = [], []
    for number in range(60):
        person, split = f"s{number // 5:02}", "test" if number >= 55 or number in (50, 51) else "train"
        label = CLASSES[number // 3 % 3] if number % 3 == 0 or split == "test" else ""
        row = {"id": f"r{number:02}", "path": f"wav/r{number:02}.wav", "text": f"text {number}", "label": label}
        manifest.append({**row, "speaker": person, "sex": ("f", "m")[number // 5 % 2], "split": split})
        p = rng.dirichlet([1, 1, 1])
        seen = "fit" if label and split == "train" else "heldout"
        told = dict(zip((f"prob_{name}" for name in CLASSES), p.round(6), strict=True))
        answers.append({"id": row["id"], "seen": seen, **told})
    for split in ("train", "test"):
        write(tmp_path / "m" / f"{split}.csv", [row for row in manifest if row["split"] == split])
    write(tmp_path / "p.csv", answers)
    features = [{"id": row["id"], "a": rng.normal(), "b": rng.normal()} for row in manifest]
    write(tmp_path / "features.csv", features)
    return tmp_path


def queue(study, affectkit, *words, name="q.csv", code=0):
    result = affectkit("query", study / "p.csv", "-m", study / "m", *words, "-o", study / name, code=code)
    return result if code else pd.read_csv(study / name, dtype={"id": str}, keep_default_na=False)


def test_neither_test_rows_nor_their_people_are_asked_about(study, affectkit):
    found = queue(study, affectkit, "-n", 60, "--strategy", "margin")
    people = {f"r{number:02}" for number in range(50)}
    assert set(found["id"]) == {key for key in people if int(key[1:]) % 3}
    assert list(found["score"]) == sorted(found["score"], reverse=True)
    assert set(found["split"]) == {"train"} and set(found["strategy"]) == {"margin"}
    table = pd.read_csv(study / "p.csv").set_index("id").loc[found["id"]]
    top = np.sort(table[[f"prob_{name}" for name in CLASSES]].to_numpy(), axis=1)
    np.testing.assert_allclose(found["score"], 1 - (top[:, 2] - top[:, 1]), atol=1e-8)
    assert list(found["path"]) == [str(study / "m" / "wav" / f"{key}.wav") for key in found["id"]]
    assert found["reason"].str.startswith("between two: ").all()
    record = json.loads((study / "q.csv.run.json").read_text())
    assert record["notes"]["left_out"] == {"test rows": 7, "rows of a speaker of test rows": 3}


def test_a_queue_that_is_answered_is_not_asked_again(study, affectkit):
    first = queue(study, affectkit, "-n", 10)
    second = queue(study, affectkit, "-n", 60, "--exclude", study / "q.csv", name="q2.csv")
    assert not set(first["id"]) & set(second["id"]) and len(second) == 33 - 10


def test_media_are_found_without_the_manifest(study, affectkit, tmp_path):
    """Paths of the corpus's root, of --media-root, and of further media; where nobody knows the root, cells as they
    are."""
    for path in (study / "m").glob("*.csv"):
        table = pd.read_csv(path, keep_default_na=False)
        table["path_face"] = [f"{key}.png" if int(key[1:]) % 2 else "" for key in table["id"]]
        table.to_csv(path, index=False)
    found = queue(study, affectkit, "--media-root", tmp_path / "elsewhere")
    assert list(found["path"]) == [str(tmp_path / "elsewhere" / "wav" / f"{key}.wav") for key in found["id"]]
    faces = [str(tmp_path / "elsewhere" / f"{key}.png") if int(key[1:]) % 2 else "" for key in found["id"]]
    assert list(found["path_face"]) == faces
    table = pd.read_csv(study / "p.csv").assign(path=[f"x/{number}.wav" for number in range(60)])
    table.to_csv(study / "p.csv", index=False)
    affectkit("query", study / "p.csv", "-n", 3, "-o", study / "bare.csv")
    found = pd.read_csv(study / "bare.csv")
    assert list(found["path"]) == [f"x/{int(key[1:])}.wav" for key in found["id"]]
    refused = affectkit("query", study / "p.csv", "--media-root", study, "-o", study / "no.csv", code=2)
    assert "--media-root" in refused.stderr and "--manifest" in refused.stderr


def test_other_tools_get_their_own_formats_and_are_not_asked_again(study, affectkit):
    """By the ending or by name; a project's configuration beside the tasks, which is not written over either."""
    line = ("query", study / "p.csv", "-m", study / "m", "-n", 8)
    told = affectkit(*line, "-o", study / "q.json").stderr
    tasks = json.loads((study / "q.json").read_text())
    assert str(study / "q.xml") in told and "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=" in told
    ids = [task["data"]["row_id"] for task in tasks]
    assert (study / "q.json.run.json").exists() and (study / "q.xml.run.json").exists()
    affectkit(*line, "-o", study / "q.jsonl", "--show-predictions")
    lines = [json.loads(each) for each in (study / "q.jsonl").read_text().splitlines()]
    found = queue(study, affectkit, "-n", 8)
    assert list(found["id"]) == ids == [each["meta"]["id"] for each in lines]
    assert [each["accept"] for each in lines] == [[name] for name in found["pred"]]
    affectkit(*line, "--format", "prodigy", "-o", study / "q.txt")
    assert [json.loads(each)["audio"] for each in (study / "q.txt").read_text().splitlines()] == list(found["path"])
    for name in ("q.json", "q.jsonl"):
        again = queue(study, affectkit, "-n", 60, "--exclude", study / name, name=f"{name}.csv")
        assert not set(again["id"]) & set(ids) and len(again) == 33 - 8
    (study / "q.json").unlink()
    before = (study / "q.xml").read_bytes()
    assert "q.xml" in affectkit(*line, "-o", study / "q.json", code=1).stderr and not (study / "q.json").exists()
    affectkit(*line, "-o", study / "q.json", "--overwrite")
    assert json.loads((study / "q.json").read_text()) == tasks and (study / "q.xml").read_bytes() == before


def test_it_says_in_a_few_lines_what_was_picked(study, affectkit):
    line = ("query", study / "p.csv", "-m", study / "m", "-n", 9, "--strategy", "margin,random", "-o")
    told = affectkit(*line, study / "q.csv").stderr
    found = pd.read_csv(study / "q.csv")
    counts, people = found["pred"].value_counts(), found["speaker"].value_counts()
    assert "9 rows of 60: 5 by margin, 4 by random" in told
    assert f"label as predicted: {counts.iloc[0]} {sorted(counts[counts == counts.iloc[0]].index)[0]}" in told
    assert f"of {len(people)} by speaker, at most {people.iloc[0]} of one" in told
    assert "7 not asked about: test rows" in told
    facts = json.loads(affectkit(*line, study / "q.csv", "--overwrite", "--json").stdout)
    assert facts["predicted"] == {"label": counts.to_dict()} and facts["groups"] == people.to_dict()
    assert facts["strategies"] == {"margin": 5, "random": 4} and (facts["rows"], facts["of"]) == (9, 60)


def test_quotas_hold(study, affectkit):
    found = queue(study, affectkit, "-n", 60, "--per-group", 1)
    assert found["speaker"].is_unique and len(found) == 10
    assert queue(study, affectkit, "-n", 60, "--per-class", 4, name="b.csv")["pred"].value_counts().max() == 4
    found = queue(study, affectkit, "-n", 60, "--quota", "sex=f:3", "--quota", "sex=m:0", name="c.csv")
    assert len(found) == 3 and {int(key[1:]) // 5 % 2 for key in found["id"]} == {0}


def test_several_strategies_have_their_shares_from_the_first_row_on(study, affectkit):
    words = ("-n", 20, "--strategy", "margin=.7,random=.3")
    found = queue(study, affectkit, *words)
    assert found["strategy"].value_counts().to_dict() == {"margin": 14, "random": 6} and found["id"].is_unique
    for count in range(1, 21):
        assert abs((found["strategy"][:count] == "random").sum() - 0.3 * count) <= 1
    again = queue(study, affectkit, *words, name="again.csv")
    assert (study / "q.csv").read_bytes() == (study / "again.csv").read_bytes() and len(again) == 20


def test_features_bring_rows_that_differ(study, affectkit):
    found = queue(study, affectkit, "-n", 5, "--strategy", "core-set,badge", "--features", study / "features.csv")
    assert set(found["strategy"]) == {"core-set", "badge"} and found["id"].is_unique


def test_of_a_mix_no_strategy_asks_for_what_another_has_asked_about(study, affectkit):
    """Margin takes a row of a pair that lie on each other in the features: core-set, once told, leaves the other."""
    table = pd.read_csv(study / "p.csv")
    features = pd.DataFrame({"id": table["id"], "a": np.zeros(60)})
    probabilities = np.tile([0.98, 0.01, 0.01], (60, 1))
    probabilities[10] = [0.5, 0.5, 0]  # the first that margin picks lies where only r11 lies
    features.loc[[10, 11], "a"], features.loc[[40, 41], "a"] = 100.0, -30.0
    table[[f"prob_{name}" for name in CLASSES]] = probabilities
    table.to_csv(study / "p.csv", index=False)
    features.to_csv(study / "features.csv", index=False)
    found = queue(study, affectkit, "-n", 2, "--strategy", "margin,core-set", "--features", study / "features.csv")
    assert found["id"][0] == "r10" and found["id"][1] in ("r40", "r41")


def test_a_cold_start_needs_no_predictions(study, affectkit):
    line = ("query", "-m", study / "m", "--features", study / "features.csv", "-n", 4, "--strategy", "typicality")
    affectkit(*line, "-o", study / "q.csv")
    found = pd.read_csv(study / "q.csv")
    assert len(found) == 4 and found["reason"].str.startswith("typical of").all()
    assert all(int(key[1:]) % 3 and int(key[1:]) < 50 for key in found["id"])


def test_sources_of_several_models_are_asked_where_they_differ(study, affectkit):
    table = pd.read_csv(study / "p.csv")
    columns = [f"prob_{name}" for name in CLASSES]
    table[columns] = table[columns].to_numpy()[:, ::-1]
    table.to_csv(study / "other.csv", index=False)
    named = (f"one={study / 'p.csv'}", f"two={study / 'other.csv'}")
    for strategy in ("bald", "disagreement"):
        affectkit("query", *named, "-m", study / "m", "--strategy", strategy, "-n", 5, "-o", study / f"{strategy}.csv")
    found = pd.read_csv(study / "disagreement.csv")
    assert (found["score"] == 1).all() and found["reason"].str.contains("one says .*, two says ").all()


def test_labels_are_doubted_by_cross_fitted_answers_alone(study, affectkit):
    result = queue(study, affectkit, "--strategy", "label-errors", code=1)
    assert "no row has a label to be given again" in result.stderr and "train --cv" in result.stderr
    table = pd.read_csv(study / "p.csv").assign(seen="oof")
    told = np.full((60, 3), 0.1)
    told[np.arange(60), np.arange(60) // 3 % 3] = 0.8
    told[9] = [0.05, 0.9, 0.05]
    table[[f"prob_{name}" for name in CLASSES]] = told
    table.to_csv(study / "p.csv", index=False)
    found = queue(study, affectkit, "--strategy", "label-errors")
    assert list(found["id"]) == ["r09"] and list(found["reason"]) == ["labelled anger (0.050), joy is 0.900"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--strategy", "margni"), "there is no strategy 'margni'; did you mean margin"),
        (("--strategy", "margin=.7,random=.7"), "shares add up to 1.4"),
        (("--strategy", "margin=.7,random"), "some lack a share"),
        (("--strategy", "margin,margin"), "names one twice"),
        (("--strategy", "margin=2"), "a share is above 0 and at most 1"),
        (("--strategy", ""), "names none"),
        (("--strategy", "core-set"), "need --features"),
        (("--strategy", "variance"), "no number has a variance"),
        (("--strategy", "bald"), "one source disagrees with nobody"),
        (("--quota", "sex=f"), "is not COLUMN=VALUE:N"),
        (("--quota", "sxe=f:3"), "there is no column 'sxe'"),
        (("--quota", "sex=x:3"), "no row has sex 'x'"),
        (("--format", "label-stduio"), "Invalid value"),
        (("--show-predictions",), "a CSV has them in any case"),
        (("--document-root", "/"), "--document-root is of label-studio, not of csv"),
        (("--format", "prodigy", "--document-root", "/"), "--document-root is of label-studio, not of prodigy"),
        (("--group", "spaeker"), "there is no column 'spaeker'; did you mean speaker"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_written(study, affectkit, words, message):
    result = queue(study, affectkit, *words, code=2)
    assert message in result.stderr and not (study / "q.csv").exists()


def test_where_all_have_labels_there_is_nothing_to_ask(study, affectkit):
    for path in (study / "m").glob("*.csv"):
        table = pd.read_csv(path, keep_default_na=False)
        table.assign(label="joy").to_csv(path, index=False)
    result = queue(study, affectkit, code=1)
    assert "no row lacks a label" in result.stderr and "--relabel" in result.stderr


def test_where_groups_of_test_rows_hold_all_that_lack_a_label_it_says_so_and_what_to_do(study, affectkit):
    for path in (study / "m").glob("*.csv"):
        table = pd.read_csv(path, keep_default_na=False)
        table.assign(speaker="everybody", dialogue=table["id"]).to_csv(path, index=False)
    result = affectkit("query", "-m", study / "m", "--strategy", "random", "-o", study / "q.csv", code=1)
    assert "no row that lacks a label may be asked about" in result.stderr and "--group" in result.stderr
    assert "--relabel" not in result.stderr
    affectkit("query", "-m", study / "m", "--strategy", "random", "--group", "dialogue", "-o", study / "q.csv")


def test_without_splits_it_says_that_nobody_knows_the_test_rows(study, affectkit, tmp_path):
    affectkit("query", study / "p.csv", "-n", 3, "-o", tmp_path / "q.csv")
    result = affectkit("query", study / "p.csv", "-n", 3, "-o", tmp_path / "q.csv", "--overwrite")
    assert "no split says which rows are test rows" in result.stderr
