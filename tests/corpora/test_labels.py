"""People's labels become a manifest: what they add, what stays, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.annotations import Annotation, open_journal
from affectkit.artifacts.manifest import read_manifest
from affectkit.evaluation.raters import krippendorff_alpha
from affectkit.finetuning.rows import truth_of
from affectkit.labels import Target

MOOD = Target("label", "class", ("joy", "grief"))
VALENCE = Target("valence", "number", scale=(1.0, 5.0))
PAIN = Target("pain", "ordinal", ("none", "mild", "severe"))


def write(path, targets, *answers):
    """A journal of (id, who, labels) or of annotations."""
    with open_journal(path, targets) as journal:
        for number, each in enumerate(answers):
            if not isinstance(each, Annotation):
                key, who, labels = each
                each = Annotation(f"{path.stem}{number}", key, who, labels)
            journal.append(each)
    return path


def votes(key, *classes):
    """Answers of ann, bob, cem, ... to a row; None for no answer."""
    people = ("ann", "bob", "cem", "dan")
    return [(key, who, {"label": name}) for who, name in zip(people, classes, strict=False) if name]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Anybody's CSV: of 24 rows of 6 speakers every third has a label, and half of them a note."""
    lines = ["id,text,label,speaker,split,note"]
    for number in range(24):
        label = ("joy", "grief")[number % 2] if number % 3 == 0 else ""
        split = "train" if number < 12 else "val" if number < 16 else "test"
        word = ("glad", "lost")[number % 2]
        lines.append(f"r{number:02},a {word} day,{label},s{number // 4},{split},{'-5' if number % 2 else ''}")
    path = tmp_path_factory.mktemp("labels") / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def label(affectkit, table, tmp_path):
    """`label(journal, ...)`: a manifest with the labels, by id, and its summary."""

    def run(*words, manifest=table, to="out", code=0):
        line = ["prepare-manifest", "labels", *words, *(["-m", manifest] if manifest else [])]
        result = affectkit(*line, "-o", tmp_path / to, code=code)
        if code:
            return result.stderr
        made = read_manifest(tmp_path / to)
        return made.rows.set_index("id"), {**made.summary, "said": result.stderr}

    return run


# --- What becomes of answers


def test_majority_votes_and_what_stays(label, table, tmp_path):
    journal = write(
        tmp_path / "labels.jsonl", [MOOD], *votes("r01", "joy", "joy", "grief"), *votes("r02", "grief"),
        *votes("r03", "joy", "joy"),
    )  # fmt: skip
    rows, summary = label(journal)
    before = read_manifest(table).rows.set_index("id")
    assert rows.loc[["r01", "r02", "r03"], "label"].tolist() == ["joy", "grief", "joy"]
    others = rows.index.difference(["r01", "r02", "r03"])
    assert rows.loc[others, "label"].equals(before.loc[others, "label"]) and (rows.loc[others, "label"] == "").any()
    assert rows[["text", "speaker", "split", "note"]].equals(before[["text", "speaker", "split", "note"]])
    assert rows.loc["r01", ["votes_joy", "votes_grief"]].tolist() == [2, 1]
    assert rows.loc[others, "votes_joy"].isna().all()
    assert rows["raters"].tolist()[:4] == ["", "3", "1", "2"]
    told = summary["annotations"]["targets"]["label"]
    assert told["rows"] == 3 and told["raters"] == {"1": 1, "2": 1, "3": 1}
    assert (told["relabelled"], told["changed"], told["ties"], told["test_rows"]) == (1, 1, 0, 0)
    alpha = krippendorff_alpha([[0, 1, 0], [0, np.nan, 0], [1, np.nan, np.nan]], "nominal")
    assert told["agreement"]["alpha"]["value"] == pytest.approx(alpha)
    assert summary["annotations"]["annotators"]["ann"]["answers"] == 3
    assert "label: 3 rows labelled, 1 relabelled (1 changed); alpha" in summary["said"]


def test_all_kinds_of_targets_at_once(label, tmp_path):
    said = {"label": "joy", "valence": 4.5, "pain": "mild"}
    journal = write(
        tmp_path / "labels.jsonl", [MOOD, VALENCE, PAIN], ("r01", "ann", said),
        ("r01", "bob", {"label": "joy", "valence": 3.5, "pain": "mild"}), ("r02", "bob", {"pain": "severe"}),
    )  # fmt: skip
    rows, summary = label(journal)
    first, second = rows.loc["r01"], rows.loc["r02"]
    assert (first["label"], first["valence"], first["pain"]) == ("joy", 4.0, "mild")
    assert float(first["valence_sd"]) == pytest.approx(0.5**0.5) and first["votes_pain_mild"] == 2
    assert (second["label"], second["pain"], second["raters"]) == ("", "severe", "1") and np.isnan(second["valence"])
    assert [target["name"] for target in summary["targets"]] == ["label", "valence", "pain"]
    assert summary["targets"][2]["classes"] == ["none", "mild", "severe"]
    levels = {name: told["agreement"]["level"] for name, told in summary["annotations"]["targets"].items()}
    assert levels == {"label": "nominal", "valence": "interval", "pain": "ordinal"}


def test_numbers_by_their_median(label, tmp_path):
    answers = [("r01", who, {"valence": value}) for who, value in (("ann", 1), ("bob", 1), ("cem", 4))]
    journal = write(tmp_path / "labels.jsonl", [VALENCE], *answers)
    assert label(journal)[0].loc["r01", "valence"] == 2
    assert label(journal, "--merge-numbers", "median", to="median")[0].loc["r01", "valence"] == 1


def test_a_tie_stays_as_it_was_or_goes_to_whom_one_believes(label, tmp_path):
    journal = write(tmp_path / "labels.jsonl", [MOOD], *votes("r01", "joy", "grief"), *votes("r03", "joy", "grief"))
    rows, summary = label(journal)
    assert rows.loc[["r01", "r03"], "label"].tolist() == ["", "grief"]  # the second is the manifest's own
    assert rows.loc["r01", "votes_joy"] == 1 and np.isnan(rows.loc["r03", "votes_joy"])
    assert summary["annotations"]["targets"]["label"]["ties"] == 2 and "2 tied" in summary["said"]
    rows, _ = label(journal, "--ties", "first", to="first")
    assert rows.loc[["r01", "r03"], "label"].tolist() == ["joy", "joy"]
    rows, _ = label(journal, "--ties", "first", "--annotators", "bob,ann", to="bob")
    assert rows.loc[["r01", "r03"], "label"].tolist() == ["grief", "grief"]


def test_too_few_raters_label_nothing(label, tmp_path):
    journal = write(tmp_path / "labels.jsonl", [MOOD], *votes("r01", "joy", "joy"), *votes("r02", "joy"))
    rows, summary = label(journal, "--min-raters", 2)
    assert rows.loc[["r01", "r02"], "label"].tolist() == ["joy", ""]
    assert np.isnan(rows.loc["r02", "votes_joy"]) and rows.loc["r02", "raters"] == ""
    assert summary["annotations"]["targets"]["label"]["too_few_raters"] == 1


def test_labels_that_the_manifest_has_are_kept_where_that_is_asked_for(label, tmp_path):
    journal = write(tmp_path / "labels.jsonl", [MOOD], *votes("r01", "joy"), *votes("r03", "joy"))
    rows, summary = label(journal, "--keep-labels")
    assert rows.loc[["r01", "r03"], "label"].tolist() == ["joy", "grief"] and np.isnan(rows.loc["r03", "votes_joy"])
    told = summary["annotations"]["targets"]["label"]
    assert (told["kept"], told["relabelled"], told["rows"]) == (1, 0, 1)


def test_soft_labels_are_what_finetuning_learns_from(label, tmp_path):
    journal = write(
        tmp_path / "labels.jsonl", [MOOD], *votes("r01", "joy", "joy", "grief"), *votes("r02", "joy", "grief")
    )
    label(journal, "--merge", "soft")
    made = read_manifest(tmp_path / "out")
    assert made.rows.loc[1, ["votes_grief", "votes_joy"]].tolist() == pytest.approx([1 / 3, 2 / 3])
    target = made.targets["label"]
    truth = truth_of(made.rows, [target], votes=True)["label"]
    wanted = {0: [0, 1], 1: [1 / 3, 2 / 3], 2: [0.5, 0.5], 3: [1, 0]}
    for row, shares in wanted.items():
        assert truth[row].tolist() == pytest.approx(shares) and target.classes == ("grief", "joy")
    assert np.isnan(truth[4]).all()


def test_dawid_skene_tells_what_each_rater_is_worth(label, table, tmp_path):
    rng = np.random.default_rng(0)
    truth = {f"r{number:02}": ("joy", "grief")[number % 2] for number in range(24)}
    skill, answers = {"ann": 0.95, "bob": 0.9, "cem": 0.5}, []
    for key, name in truth.items():
        for who, sure in skill.items():
            said = name if rng.random() < sure else {"joy": "grief", "grief": "joy"}[name]
            answers.append((key, who, {"label": said}))
    journal = write(tmp_path / "labels.jsonl", [MOOD], *answers)
    rows, summary = label(journal, "--merge", "dawid-skene")
    assert (rows["label"] == pd.Series(truth)).mean() >= 0.95
    np.testing.assert_allclose(rows["votes_joy"] + rows["votes_grief"], 1, atol=1e-8)
    fitted = summary["annotations"]["targets"]["label"]["dawid_skene"]
    assert fitted["converged"] and min(fitted["accuracy"]["ann"], fitted["accuracy"]["bob"]) > 0.8
    assert fitted["accuracy"]["cem"] < 0.7
    two = label(journal, "--merge", "dawid-skene", "--annotators", "ann,bob", to="two")[1]
    assert "of fewer than three raters Dawid-Skene cannot tell who is right" in two["said"]


def test_the_newest_answer_counts_over_files_and_one_taken_back_does_not(label, tmp_path):
    one = write(tmp_path / "one.jsonl", [MOOD], *votes("r01", "joy"), *votes("r02", "joy"), *votes("r04", "joy"))
    two = write(
        tmp_path / "two.jsonl", [MOOD, VALENCE], *votes("r01", "grief"), Annotation("u", "r02", "ann", undo="one1"),
        ("r04", "bob", {"label": "joy"}),
    )  # fmt: skip
    rows, summary = label(one, two, one)  # a file that is named twice counts once
    assert rows.loc[["r01", "r02", "r04"], "label"].tolist() == ["grief", "", "joy"]
    assert [told["answers"] for told in summary["annotations"]["journals"]] == [3, 3, 3]
    assert len({told["sha256"] for told in summary["annotations"]["journals"]}) == 2
    assert [target["name"] for target in summary["targets"]] == ["label"]  # valence was asked, and nobody answered


def test_a_new_class_comes_last_and_is_told(label, tmp_path):
    wider = Target("label", "class", ("calm", "joy", "rage", "grief"))
    rows, summary = label(write(tmp_path / "labels.jsonl", [wider], *votes("r01", "rage"), *votes("r02", "joy")))
    assert summary["targets"][0]["classes"] == ["grief", "joy", "rage"] and rows.loc["r01", "label"] == "rage"
    assert json.loads((tmp_path / "out" / "label_map.json").read_text())["classes"] == ["grief", "joy", "rage"]
    assert "warning: label: new to the manifest, and last in its order: rage" in summary["said"]
    assert rows.loc["r01", ["votes_grief", "votes_joy", "votes_rage"]].tolist() == [0, 0, 1]


def test_labels_of_test_rows_are_taken_and_said(label, tmp_path):
    rows, summary = label(write(tmp_path / "labels.jsonl", [MOOD], *votes("r01", "joy"), *votes("r20", "grief")))
    assert rows.loc["r20", "label"] == "grief" and summary["annotations"]["targets"]["label"]["test_rows"] == 1
    assert "warning: label: 1 row of test labelled" in summary["said"]


def test_comments_and_skips_are_kept(label, tmp_path):
    journal = write(
        tmp_path / "labels.jsonl", [MOOD], *votes("r02", "joy"),
        Annotation("a", "r01", "an\x1b[2Jn", comment='no, "so"\nsad', seconds=3, at="2026-01-01"),
    )  # fmt: skip
    rows, summary = label(journal)
    comments = pd.read_csv(tmp_path / "out" / "comments.csv")
    assert comments.values.tolist() == [["r01", "an\x1b[2Jn", "2026-01-01", 'no, "so"\nsad']]
    person = summary["annotations"]["annotators"]["an\x1b[2Jn"]
    assert (person["skipped"], person["comments"], person["median_seconds"]) == (1, 1, 3)
    assert rows.loc["r01", "label"] == ""


def test_a_second_round_keeps_the_first(label, tmp_path):
    first = write(
        tmp_path / "first.jsonl", [MOOD, VALENCE], *votes("r01", "joy", "joy"), ("r01", "cem", {"valence": 2.0}),
        Annotation("c", "r02", "ann", comment="first"),
    )  # fmt: skip
    second = write(
        tmp_path / "second.jsonl", [MOOD], *votes("r02", "grief"), Annotation("d", "r05", "ann", comment="second")
    )
    label(first)
    rows, summary = label(second, manifest=tmp_path / "out", to="again")
    assert rows.loc["r01", ["label", "valence", "votes_joy"]].tolist() == ["joy", 2.0, 2.0]
    assert rows.loc[["r01", "r02"], "raters"].tolist() == ["3", "1"]
    assert summary["annotations"]["targets"]["label"]["rows"] == 1
    assert [told["targets"]["label"]["rows"] for told in summary["annotations"]["before"]] == [1]
    assert pd.read_csv(tmp_path / "again" / "comments.csv")["comment"].tolist() == ["first", "second"]


# --- The manifest around them


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    from affectkit import registry

    root = tmp_path_factory.mktemp("twin") / "labels"
    registry.load("corpora", "labels").synthesize(root, size=60, speakers=6, seed=0)
    return root


def test_the_twin_is_the_same_for_a_seed(affectkit, twin, tmp_path):
    affectkit("synthesize", "labels", tmp_path / "again", "--size", 60, "--speakers", 6)
    affectkit("synthesize", "labels", tmp_path / "other", "--size", 60, "--speakers", 6, "--seed", 1)
    same, other = ((tmp_path / name / "labels.jsonl").read_bytes() for name in ("again", "other"))
    assert (twin / "labels.jsonl").read_bytes() == same != other
    assert b"SYNTHETIC" in (twin / "README.md").read_bytes()


def test_splits_media_audit_and_defects_are_those_of_the_manifest(label, twin, tmp_path):
    before = read_manifest(twin / "manifest")
    summary = label(twin / "labels.jsonl", manifest=twin / "manifest")[1]
    made = read_manifest(tmp_path / "out")
    assert made.rows["id"].tolist() == before.rows["id"].tolist()
    same = ["path", "source_label", "duration_sec", "speaker", "split"]
    assert made.rows[same].equals(before.rows[same])
    assert all(path.exists() for path in made.media())
    for name in ("corpora", "declared", "defects", "split_by", "group", "hours", "dropped"):
        assert summary[name] == before.summary[name]
    assert summary["declared"] and summary["counts"]["train"]["unlabelled"] < (before.rows["label"] == "").sum()
    audits = [json.loads((folder / "leak_audit.json").read_text()) for folder in (tmp_path / "out", twin / "manifest")]
    assert audits[0] == audits[1] and audits[0]["leaks"]
    assert set(summary["annotations"]["targets"]) == {"label", "valence"}


def test_folds_stay_and_a_new_split_is_audited(label, affectkit, twin, tmp_path):
    affectkit("prepare-manifest", "emodb", twin / "emodb", "--preset", "4class", "--folds", 3, "-o", tmp_path / "folds")
    rows, summary = label(twin / "labels.jsonl", manifest=tmp_path / "folds")
    before = read_manifest(tmp_path / "folds").rows.set_index("id")
    assert rows["fold"].equals(before["fold"]) and summary["split_by"] == "3 folds"
    rows, summary = label(twin / "labels.jsonl", "--split-by", "speaker", manifest=tmp_path / "folds", to="split")
    assert "fold" not in rows and {"train", "test"} <= set(rows["split"]) and summary["split_by"] == "speaker"
    assert rows.groupby("speaker")["split"].nunique().max() == 1
    assert json.loads((tmp_path / "split" / "leak_audit.json").read_text())["sides"].keys() == set(rows["split"])
    assert rows.loc[before.index[0], "source_label"] == before["source_label"].iloc[0]
    rows, _ = label(twin / "labels.jsonl", "--folds", "speaker", manifest=twin / "manifest", to="by_speaker")
    assert rows["fold"].nunique() == 6


def test_classes_are_mapped_and_ordered_as_ever(label, twin):
    labels = twin / "labels.jsonl"
    options = ["--label-map", "happy=glad", "--labels", "sad,glad,angry"]
    rows, summary = label(labels, *options, manifest=twin / "manifest")
    assert summary["targets"][0]["classes"] == ["sad", "glad", "angry"]
    assert set(rows["label"]) == {"sad", "glad", "angry", ""}


def test_media_beside_a_table_of_anybodys_are_found_again(label, table, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"not looked at")
    (folder / "t.csv").write_text("id,path,split\nr01,a.wav,train\nr02,,train\n")
    label(write(tmp_path / "labels.jsonl", [MOOD], *votes("r01", "joy")), manifest=folder / "t.csv")
    made = read_manifest(tmp_path / "out")
    assert made.media()[0].samefile(folder / "a.wav") and made.rows["label"].tolist() == ["joy", ""]
    assert not (tmp_path / "out" / "leak_audit.json").exists()


def test_the_same_answers_give_the_same_bytes(label, table, tmp_path):
    journal = write(tmp_path / "labels.jsonl", [MOOD, VALENCE], *votes("r01", "joy", "grief"), *votes("r07", "joy"))
    for to in ("one", "two"):
        label(journal, "--merge", "dawid-skene", to=to)
    for path in (tmp_path / "one").iterdir():
        if path.name not in ("run.json", "started.json", ".lock"):
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_run_is_resumed_only_with_the_same_answers(label, affectkit, table, tmp_path):
    journal = write(tmp_path / "labels.jsonl", [MOOD], *votes("r01", "joy"))
    label(journal)
    line = ["prepare-manifest", "labels", journal, "-m", table, "-o", tmp_path / "out", "--resume"]
    affectkit(*line)
    with open_journal(journal, [MOOD]) as opened:
        opened.append(Annotation("new", "r02", "ann", {"label": "joy"}))
    assert "--overwrite" in affectkit(*line, code=2).stderr
    what = ["prepare-manifest", "labels", journal, "-m", tmp_path / "out", "-o", tmp_path / "out", "--overwrite"]
    assert "would delete the input" in affectkit(*what, code=1).stderr and (tmp_path / "out" / "train.csv").exists()


def test_from_a_journal_to_a_model(label, affectkit, table, tmp_path):
    answers = [each for number in range(24) for each in votes(f"r{number:02}", *[("joy", "grief")[number % 2]] * 2)]
    label(write(tmp_path / "labels.jsonl", [MOOD], *answers))
    affectkit("extract-features", "-m", tmp_path / "out", "--encoder", "text-ngrams", "-o", tmp_path / "features")
    line = ["train", "-m", tmp_path / "out", "--features", tmp_path / "features", "--model", "linear"]
    affectkit(*line, "-o", tmp_path / "model")
    affectkit("evaluate", tmp_path / "model" / "predictions.csv", "-o", tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["n"] == 8 and metrics["metrics"]["uar"]["value"] == 1  # the words say it


# --- What does not fit


def test_a_row_that_the_manifest_lacks_stops_or_is_left_out(label, tmp_path):
    journal = write(tmp_path / "labels.jsonl", [MOOD], *votes("zz", "joy", "joy"), *votes("r01", "joy"))
    said = label(journal, code=1)
    assert "labels.jsonl: answers a row that the manifest does not have: 'zz' by ann (and 1 more such)" in said
    assert "pass the manifest whose rows were labelled, or leave such rows out with --on-error skip" in said
    rows, summary = label(journal, "--on-error", "skip")
    assert "zz" not in rows.index and summary["annotations"]["unknown_rows"] == 2
    assert [told["reason"] for told in summary["dropped"]] == [
        "answers a row that the manifest does not have: 'zz' by ann",
        "answers a row that the manifest does not have: 'zz' by bob",
    ]


@pytest.mark.parametrize(
    ("targets", "labels", "said"),
    [
        ([Target("label", "ordinal", ("joy", "grief"))], {"label": "joy"}, "label is joy < grief here and grief | joy"),
        ([Target("label", "number")], {"label": 1}, "label is a number here and grief | joy in"),
        ([Target("note", "number")], {"note": 1}, "labels of 'note', which is a column of the manifest and none"),
        ([Target("split", "class", ("train",))], {"split": "train"}, "labels of 'split', which is a column"),
        ([Target("id", "class", ("x",))], {"id": "x"}, "labels of 'id', which is a column"),
        ([Target("raters", "number")], {"raters": 1}, "labels of 'raters', which is a column"),
        ([Target("votes_joy", "number")], {"votes_joy": 1}, "labels of 'votes_joy', which is a column"),
        ([VALENCE, Target("valence_sd", "number")], {"valence": 1, "valence_sd": 1}, "'valence_sd' would be two"),
        ([Target("label", "class", ("a\0b",))], {"label": "a\0b"}, "holds a NUL character, which no table can"),
        ([MOOD], {}, "holds no label to add; label some rows first"),
    ],
    ids=["kind", "number", "column", "split", "id", "raters", "votes", "two columns", "NUL", "skips"],
)
def test_answers_that_do_not_fit_the_manifest_are_refused(label, tmp_path, targets, labels, said):
    journal = write(tmp_path / "labels.jsonl", targets, ("r01", "ann", labels))
    told = label(journal, code=1)
    assert said in told and "Traceback" not in told and not (tmp_path / "out" / "train.csv").exists()


def test_journals_that_do_not_fit_each_other_are_refused(label, tmp_path):
    one = write(tmp_path / "one.jsonl", [VALENCE, PAIN], ("r01", "ann", {"valence": 2, "pain": "mild"}))
    narrow = Target("valence", "number", scale=(-1.0, 1.0))
    two = write(tmp_path / "two.jsonl", [narrow], ("r01", "bob", {"valence": 0.5}))
    said = label(one, two, code=1)
    assert "two.jsonl: valence is a number from -1 to 1 here and a number from 1 to 5 in another file" in said
    levels = Target("pain", "ordinal", ("severe", "mild", "none"))
    three = write(tmp_path / "three.jsonl", [levels], ("r01", "bob", {"pain": "none"}))
    assert "pain is severe < mild < none here and none < mild < severe in" in label(one, three, code=1)
    more = Target("pain", "ordinal", ("none", "mild", "strong", "severe"))
    four = write(tmp_path / "four.jsonl", [more], ("r01", "bob", {"pain": "strong"}))
    summary = label(one, four)[1]
    assert summary["targets"][2]["classes"] == ["none", "mild", "strong", "severe"]
    key = write(tmp_path / "five.jsonl", [MOOD], Annotation("one0", "r02", "ann", {"label": "joy"}))
    assert "key 'one0' is that of another answer in" in label(one, key, to="key", code=1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no label to add"),
        (b'{"schema": 1, "targets": []}\n{"key": \n', "row 2: "),
        (b"\xff\xfe\x00\n", "is not UTF-8"),
        (b'{"schema": 99, "targets": []}\n', "schema 99 is newer"),
        (b"id,label\nr01,joy\n", "holds no labels of a tool that is known"),
    ],
)
def test_a_damaged_journal_is_one_error(label, tmp_path, content, said):
    (tmp_path / "labels.jsonl").write_bytes(content)
    told = label(tmp_path / "labels.jsonl", code=1)
    assert said in told and told.count("error:") == 1 and "Traceback" not in told


def test_what_is_mistyped_is_one_error(label, table, tmp_path):
    journal = write(tmp_path / "labels.jsonl", [MOOD], *votes("r01", "joy"))
    assert "name it with --manifest" in label(journal, manifest=None, code=2)
    assert "is a folder; name the labels.jsonl in it" in label(tmp_path, code=1)
    assert "no such file or folder" in label(tmp_path / "nowhere.jsonl", code=1)
    assert "'an' has answered nothing; did you mean ann?" in label(journal, "--annotators", "an", code=2)
    assert "split anew with --split-by or --folds" in label(journal, "--val-fraction", ".2", code=2)
    assert "--min-raters" in label(journal, "--min-raters", 0, code=2)
    assert "no row is labelled 'jo'" in label(journal, "--label-map", "jo=x", code=2)


def test_a_column_that_is_not_what_it_is_called_is_refused(label, tmp_path):
    (tmp_path / "t.csv").write_text("id,raters,split\nr01,ann and bob,train\n")
    journal = write(tmp_path / "labels.jsonl", [MOOD], *votes("r01", "joy"))
    said = label(journal, manifest=tmp_path / "t.csv", code=1)
    assert "raters 'ann and bob' is not a number" in said


def test_many_answers_take_no_time(label, table, tmp_path):
    """20,000 answers to 10,000 rows."""
    import time

    (tmp_path / "t.csv").write_text("id,text,split\n" + "".join(f"r{n},t,train\n" for n in range(10_000)))
    lines = [json.dumps({"schema": 1, "targets": [MOOD.to_json()]})]
    for number in range(20_000):
        said = {"label": MOOD.classes[number % 3 % 2]}
        each = Annotation(f"k{number}", f"r{number // 2}", ("ann", "bob")[number % 2], said)
        lines.append(json.dumps(each.to_json()))
    (tmp_path / "labels.jsonl").write_text("\n".join(lines) + "\n")
    start = time.process_time()
    rows, _ = label(tmp_path / "labels.jsonl", manifest=tmp_path / "t.csv")
    assert len(rows) == 10_000 and time.process_time() - start < 8  # measured 1 s


# --- The whole way round, by another tool


def test_what_people_answered_in_label_studio_comes_into_the_manifest(affectkit, label, table, tmp_path):
    """query -> tasks -> its export, answers of two -> a manifest, whose classes are those that it had."""
    answers = pd.read_csv(table)[["id"]].assign(seen="heldout", prob_grief=0.4, prob_joy=0.6)
    answers.to_csv(tmp_path / "answers.csv", index=False)
    affectkit("query", tmp_path / "answers.csv", "-m", table, "-n", 3, "-o", tmp_path / "queue.json")
    tasks = json.loads((tmp_path / "queue.json").read_text())
    for number, task in enumerate(tasks):
        result = {"from_name": "label", "type": "choices", "value": {"choices": ["joy"]}}
        task["annotations"] = [
            {"id": number, "completed_by": who, "unique_id": f"{number}-{who}", "result": [result]} for who in (1, 2)
        ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    rows, summary = label(tmp_path / "export.json")
    ids = [task["data"]["row_id"] for task in tasks]
    assert list(rows.loc[ids, "label"]) == ["joy"] * 3 and list(rows.loc[ids, "raters"]) == ["2"] * 3
    assert summary["targets"][0]["classes"] == read_manifest(table).targets["label"].to_json()["classes"]
    tasks[1]["annotations"][0]["result"][0]["value"]["choices"] = ["glee"]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    assert "task 2: label 'glee' is not in grief, joy" in label(tmp_path / "export.json", to="no", code=1)
