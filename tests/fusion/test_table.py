"""Features of predictions: values by hand, the same from tables and row by row, leaks, training on them."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.artifacts.features import read_features
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.tables import read_table
from affectkit.errors import AffectkitError
from affectkit.fusion.table import Tabulation
from affectkit.labels import Target

FOUR = ("angry", "happy", "neutral", "sad")
SER = [
    *("audio_prob_ang", "audio_prob_hap", "audio_prob_neu", "audio_prob_sad", "audio_confidence", "audio_entropy"),
    *("text_negative", "text_neutral", "text_positive", "text_negative_score", "text_length_norm"),
    *("text4_prob_ang", "text4_prob_hap", "text4_prob_neu", "text4_prob_sad", "text4_confidence", "text4_entropy"),
    *("text4_ready", "lang_is_zh"),
]


def label(*classes):
    return Target("label", "class", classes)


def answers(**sources):
    """{name: (target, rows of values)} as answers."""
    return {name: {t.name: TargetPrediction.of(t, np.array(rows, float))} for name, (t, rows) in sources.items()}


def tabulation(layout, columns, **sources):
    return Tabulation(layout, {name: (target,) for name, (target, _) in sources.items()}, columns)


def ser(text, rows, *, language="zh", words="hello", classes=FOUR):
    sources = {"audio": (label(*classes), [[0.7, 0.1, 0.1, 0.1]] * len(rows)), "text": (text, rows)}
    cells = {"text": [words] * len(rows), "language": [language] * len(rows)}
    columns = {"text": "length", "language": ["zh"]}
    return tabulation("ser-service", columns, **sources).features(answers(**sources), cells)


# --- Values


def test_columns_are_called_after_sources_and_classes_in_the_order_of_the_label_map():
    sources = {
        "audio": (label("sad", "calm"), [[0.25, 0.75], [np.nan, np.nan]]),
        "face": (Target("valence", "number"), [0.5, -1]),
    }
    made = {"language": ["de", "zh"], "text": "length", "duration_sec": "number"}
    cells = {"language": ["zh", ""], "text": ["x" * 64, None], "duration_sec": [1.5, ""]}
    columns = tabulation("named", made, **sources).features(answers(**sources), cells)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    expected = {
        "audio_prob_sad": [0.25, np.nan], "audio_prob_calm": [0.75, np.nan], "audio_confidence": [0.75, np.nan],
        "audio_entropy": [entropy, np.nan], "face_valence": [0.5, -1], "face_valence_var": [np.nan, np.nan],
        "lang_is_de": [0, 0], "lang_is_zh": [1, 0], "text_length_norm": [0.25, 0], "duration_sec": [1.5, np.nan],
    }  # fmt: skip
    assert list(columns) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(columns[name], values, rtol=0, atol=1e-12, err_msg=name)


def test_a_text_longer_than_256_characters_counts_as_1_and_a_class_without_mass_has_no_entropy():
    sources = {"a": (label("x", "y"), [[1.0, 0.0]])}
    columns = tabulation("named", {"text": "length"}, **sources).features(answers(**sources), {"text": ["字" * 10_000]})
    assert columns["text_length_norm"] == 1 and columns["a_entropy"] == 0


def test_ser_service_has_its_19_columns_in_order():
    columns = ser(label("negative", "neutral", "positive"), [[0.5, 0.3, 0.2]])
    assert list(columns) == SER
    expected = {
        "audio_confidence": 0.7, "text_negative": 0.5, "text_negative_score": 0.5, "text_length_norm": 5 / 256,
        "text4_prob_ang": 0.25, "text4_prob_sad": 0.25, "text4_prob_neu": 0.3, "text4_prob_hap": 0.2,
        "text4_confidence": 0.3, "text4_ready": 0, "lang_is_zh": 1,
    }  # fmt: skip
    assert {name: pytest.approx(columns[name][0], abs=1e-12) for name in expected} == expected


def test_ser_service_by_hand():
    """Seven classes of a text model, two of which are negative by name; an English text of 128 characters."""
    text = label("negative", "very negative", "joy", "odd")
    columns = ser(text, [[0.2, 0.1, 0.3, 0.4]], language="en-US", words="x" * 128)
    audio, said = [0.7, 0.1, 0.1, 0.1], [0.15, 0.3, 0.4, 0.15]  # ang and sad: half of .3 each; hap; neu: the rest
    expected = [*audio, 0.7, -sum(p * np.log(p) for p in audio), 0.3, 0.4, 0.3, 0.3, 0.5]
    expected += [*said, 0.4, -sum(p * np.log(p) for p in said), 0, 0]
    np.testing.assert_allclose([columns[name][0] for name in SER], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rest", "ready"), [(0.05, 1), (0.06, 0)])
def test_the_text_models_own_four_classes_stand_where_they_have_95_percent(rest, ready):
    left = 1 - rest
    columns = ser(label("angry", "happy", "neutral", "sad", "bored"), [[0.5 * left, 0.5 * left, 0, 0, rest]])
    assert columns["text4_ready"][0] == ready
    assert columns["text4_prob_ang"][0] == pytest.approx(0.5 if ready else left / 4)
    assert columns["text_neutral"][0] == pytest.approx(rest)  # of a name that says nothing


@pytest.mark.parametrize(("language", "chinese"), [("zh-CN", 1), ("Mandarin", 1), ("en", 0), ("", 0)])
def test_chinese_is_told_by_the_rows_language(language, chinese):
    assert ser(label("negative", "positive"), [[0.5, 0.5]], language=language)["lang_is_zh"] == chinese


def test_ser_service_refuses_other_classes_of_speech():
    with pytest.raises(AffectkitError, match="class 'fear' is none of ang, hap, neu, sad"):
        ser(label("negative", "positive"), [[0.5, 0.5]], classes=("angry", "happy", "neutral", "fear"))


def test_a_layout_of_elsewhere_is_refused():
    with pytest.raises(ValueError, match="no layout"):
        Tabulation.from_json({"layout": "other", "sources": {}, "columns": {}})


# --- One definition: of tables, and of one row at a time

probabilities = st.lists(st.floats(0, 1), min_size=4, max_size=4).map(np.array).filter(lambda p: p.sum() > 1e-6)
spoken_in = st.sampled_from(["en", "zh", "", "fr"])
row = st.tuples(probabilities, probabilities, st.booleans(), st.text(max_size=300), spoken_in)


@pytest.mark.parametrize("layout", ["named", "ser-service"])
@given(rows=st.lists(row, min_size=1, max_size=6))
def test_a_row_has_the_same_features_alone_and_in_a_table(layout, rows):
    speech, words, spoken, texts, languages = zip(*rows, strict=True)
    heard = [p / p.sum() if here else np.full(4, np.nan) for p, here in zip(speech, spoken, strict=True)]
    read = [p / p.sum() for p in words]
    targets = {"audio": label(*FOUR), "text": label("joy", "anger", "sad", "odd")}
    made = {"text": "length", "language": ["en", "zh"]}
    stored = json.loads(json.dumps(Tabulation(layout, {n: (t,) for n, t in targets.items()}, made).to_json()))

    def features(places):
        sources = {"audio": [heard[i] for i in places], "text": [read[i] for i in places]}
        cells = {"text": [texts[i] for i in places], "language": [languages[i] for i in places]}
        known = answers(**{name: (targets[name], values) for name, values in sources.items()})
        return Tabulation.from_json(stored).features(known, cells)

    table = features(range(len(rows)))
    for i in range(len(rows)):
        for name, values in features([i]).items():
            np.testing.assert_allclose(values, table[name][i : i + 1], rtol=0, atol=1e-9, err_msg=name)


# --- The command


@pytest.fixture
def study(tmp_path):
    """A manifest of 40 rows, two languages, and what an acoustic and a text model say of them, cross-fitted."""
    rng, count = np.random.default_rng(0), 40
    frame = pd.DataFrame({"id": [f"r{i:02}" for i in range(count)], "label": [FOUR[i % 4] for i in range(count)]})
    frame["speaker"] = [f"s{i % 10}" for i in range(count)]
    frame["language"] = ["zh" if i % 3 else "en" for i in range(count)]
    frame["text"] = ["word " * (i % 7) for i in range(count)]
    frame["duration_sec"] = [1 + i / 10 for i in range(count)]
    frame["split"] = ["train" if i < 20 else "val" if i < 30 else "test" for i in range(count)]
    frame.to_csv(tmp_path / "manifest.csv", index=False)
    for name, classes in {"audio": FOUR, "text": ("negative", "neutral", "positive")}.items():
        shares = rng.dirichlet(np.ones(len(classes)), count)
        table = pd.DataFrame(shares, columns=[f"prob_{c}" for c in classes])
        table = frame[["id", "split"]].assign(seen=np.where(frame["split"] == "train", "oof", "heldout")).join(table)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def line(study, *more, sources=("audio", "text")):
    named = [f"{name}={study / name}.csv" for name in sources]
    return ["tabulate", *named, "--manifest", study / "manifest.csv", "-o", study / "table", *more]


def test_the_folder_can_be_trained_on(affectkit, study):
    affectkit(*line(study, "--columns", "language,duration_sec,text"))
    summary = json.loads((study / "table" / "summary.json").read_text())
    parts = {file.name: len(read_table(file)) for file in (study / "table").glob("*.csv")}
    assert parts == {"train_features.csv": 20, "val_features.csv": 10, "test_features.csv": 10}
    assert summary["seen"] == {name: {"heldout": 20, "oof": 20} for name in ("audio", "text")}
    assert [name for name in summary["features"] if not name.startswith(("audio_", "text_p", "text_c", "text_e"))] == [
        "lang_is_en", "lang_is_zh", "duration_sec", "text_length_norm",
    ]  # fmt: skip
    for features in (study / "table", study / "table" / "train_features.csv"):
        assert read_features(features).names == summary["features"]
    affectkit(
        *("train", "--manifest", study / "manifest.csv", "--features", study / "table", "--model", "linear"),
        *("-o", study / "model"),
    )
    spec = json.loads((study / "model" / "best_model" / "affectkit.json").read_text())
    assert Tabulation.from_json(spec["features"][0]["tabulation"]).to_json() == summary["tabulation"]


def test_the_table_holds_what_the_function_says_of_each_row(affectkit, study):
    affectkit(*line(study, "--layout", "ser-service"))
    summary = json.loads((study / "table" / "summary.json").read_text())
    assert summary["features"] == SER
    made = Tabulation.from_json(summary["tabulation"])
    manifest, written = read_table(study / "manifest.csv"), read_table(study / "table" / "val_features.csv")
    assert {"path", "transcript", "text_length", "label", "language"} - set(written.columns) == {"path"}
    said = {name: read_table(study / f"{name}.csv").set_index("id") for name in ("audio", "text")}
    for place, key in enumerate(written["id"]):
        request = {}
        for name, [target] in made.sources.items():
            values = said[name].loc[[key], [f"prob_{c}" for c in target.classes]].to_numpy(float)
            request[name] = {"label": TargetPrediction.of(target, values)}
        row = manifest[manifest["id"] == key]
        served = made.features(request, {name: row[name].tolist() for name in ("text", "language")})
        for name in SER:
            assert float(written[name][place]) == pytest.approx(served[name][0], abs=1e-9), (key, name)


def edit(file, change):
    frame = pd.read_csv(file, keep_default_na=False)
    change(frame).to_csv(file, index=False)


LEAKS = {
    "in-sample answers": (lambda t: t.assign(seen=t["seen"].replace("oof", "fit")), "train it with --cv"),
    "nothing says how they were made": (lambda t: t.drop(columns="seen"), "give it a column `seen`"),
}


@pytest.mark.parametrize("what", LEAKS)
def test_rows_that_a_source_was_fitted_on_are_refused(what, affectkit, study):
    change, remedy = LEAKS[what]
    edit(study / "text.csv", change)
    result = affectkit(*line(study), code=1)
    assert "'text' was fitted on 20 of the rows" in result.stderr and remedy in result.stderr


def test_so_are_rows_that_a_model_kept_no_answers_for(affectkit, study):
    edit(study / "text.csv", lambda t: t[t["split"] != "train"])
    pd.DataFrame({"id": ["r03"], "group": [""], "role": ["fit"]}).to_csv(study / "fit_rows.csv", index=False)
    (study / "text.csv").rename(study / "predictions.csv")
    words = [word.replace("text.csv", "predictions.csv") if isinstance(word, str) else word for word in line(study)]
    assert "has no cross-fitted answers for them, as 'r03'" in affectkit(*words, code=1).stderr


def test_a_row_without_an_answer_has_gaps(affectkit, study):
    edit(study / "text.csv", lambda t: t[t["id"] != "r21"])
    affectkit(*line(study))
    table = read_table(study / "table" / "val_features.csv").set_index("id")
    assert table.loc["r21", "text_confidence"] == "" != table.loc["r21", "audio_confidence"]


@pytest.mark.parametrize("how", ["no rows", "declined"])
def test_a_split_of_which_a_source_answers_nothing_is_refused(how, affectkit, study):
    def without(table):
        train = table["split"] == "train"
        if how == "no rows":
            return table[~train]
        return table.assign(**{name: table[name].where(~train, "") for name in table if name.startswith("prob_")})

    edit(study / "text.csv", lambda t: without(t.assign(seen="heldout")))
    result = affectkit(*line(study), code=1)
    assert "'text' answers none of the 20 train rows" in result.stderr and "affectkit predict" in result.stderr


def test_folds_are_one_table(affectkit, study):
    edit(study / "manifest.csv", lambda m: m.drop(columns="split").assign(fold=np.arange(40) % 5))
    for name in ("audio", "text"):
        edit(study / f"{name}.csv", lambda t: t.drop(columns="split").assign(seen="oof"))
    affectkit(*line(study))
    assert [file.name for file in (study / "table").glob("*.csv")] == ["folds_features.csv"]


REFUSED = {
    "label": "says what is to be learned",
    "split": "says what is to be learned",
    "nothing": "there is no column 'nothing'",
    "id": "says what is to be learned",
}


@pytest.mark.parametrize("column", REFUSED)
def test_columns_that_make_no_feature_are_refused(column, affectkit, study):
    assert REFUSED[column] in refusal(affectkit, line(study, "--columns", column))


def test_a_column_of_many_values_is_refused(affectkit, study):
    edit(study / "manifest.csv", lambda m: m.assign(place=[f"p{i}" for i in range(40)]))
    assert "'place' has 40 values" in refusal(affectkit, line(study, "--columns", "place"))


def test_a_source_called_as_a_column_is_refused(affectkit, study):
    edit(study / "manifest.csv", lambda m: m.assign(audio_entropy=0))
    assert "has a column 'audio_entropy' already" in refusal(affectkit, line(study))


def test_ser_service_needs_its_sources(affectkit, study):
    words = line(study, "--layout", "ser-service", sources=("audio",))
    assert "takes the sources audio and text" in refusal(affectkit, words)


def refusal(affectkit, words):
    from typer.testing import CliRunner

    from affectkit.cli import app

    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code in (1, 2), result.output
    return result.stderr
