"""fuse --rule route: each row by the model of its column's value, and no other model is run for it."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.artifacts.files import write_json
from affectkit.artifacts.manifest import read_manifest
from affectkit.artifacts.models import parent_of, write_fit_rows
from affectkit.artifacts.outputs import GroundTruth
from affectkit.artifacts.predictions import read_predictions
from affectkit.errors import AffectkitError
from affectkit.fusion.rules.route import build
from affectkit.inference import Work, load_model, needs
from affectkit.inference.model import Model, Needs

LANGUAGES, DEFAULTS = st.sampled_from(["en", "zh", "de", ""]), st.sampled_from(["", "zh"])


def rows_in(languages):
    cells = np.array(languages, dtype=object).astype(str)
    return GroundTruth(np.full(len(cells), np.nan), np.full(len(cells), ""), {"language": cells})


# --- The rule


@pytest.mark.parametrize("kind", ["class", "number"])
@given(languages=st.lists(LANGUAGES, min_size=1, max_size=20), default=DEFAULTS, missing=st.booleans())
def test_a_row_is_its_sources_answer_or_declined(kind, class_sources, number_sources, languages, default, missing):
    make = class_sources if kind == "class" else number_sources
    sources, _ = make(len(languages), ("zh", "en"), missing=0.4 * missing)
    rule, rows = build(by="language", default=default), rows_in(languages)
    parameters = json.loads(json.dumps(rule.fit(sources, rows)))
    said = rule.apply(parameters, sources, rows)
    turned = {name: sources[name].take(np.arange(len(languages))[::-1]) for name in ("en", "zh")}
    back = rule.apply(parameters, turned, rows_in(languages[::-1]))
    for place, language in enumerate(languages):
        source = sources.get(language, sources.get(default))
        expected = np.full(said.values.shape[1:], np.nan) if source is None else source.values[place]
        np.testing.assert_array_equal(said.values[place], expected)
        np.testing.assert_array_equal(back.values[len(languages) - 1 - place], expected)
        if said.var is not None and source is not None:
            assert said.var[place] == source.var[place] or np.isnan(source.var[place])


REFUSED = {
    "no column": ({}, "route needs --by"),
    "no such default": ({"by": "language", "default": "fr"}, "--default fr is none of the sources en, zh"),
    "a default that is not asked for": ({"default": "en", "unknown": "decline"}, "has no use for --default"),
    "no default": ({"unknown": "default"}, "needs --default"),
    "no policy": ({"unknown": "guess"}, "use default, decline or error"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_policy_that_cannot_be_is_refused(what, class_sources):
    options, message = REFUSED[what]
    with pytest.raises(AffectkitError) as caught:
        build(**options).fit(class_sources(4, ("en", "zh"))[0], rows_in(["en"] * 4))
    assert message in str(caught.value) and caught.value.code == "usage"


# --- The command


@pytest.fixture
def study(tmp_path):
    """24 rows in English, Chinese and one in German; one model for each of two languages, each with rows of both."""
    rng, count = np.random.default_rng(0), 24
    frame = pd.DataFrame(
        {"id": [f"r{i:02}" for i in range(count)], "label": ["joy" if i % 2 else "rage" for i in range(count)]}
    )
    frame["speaker"] = [f"s{i % 8}" for i in range(count)]
    frame["language"] = ["de" if i == 23 else "zh" if i % 3 else "en" for i in range(count)]
    frame["split"] = ["val" if i < 12 else "test" for i in range(count)]
    frame.to_csv(tmp_path / "manifest.csv", index=False)
    for name in ("en", "zh"):
        p = rng.uniform(size=count)
        table = frame.drop(columns="language").assign(seen="heldout", prob_joy=p, prob_rage=1 - p)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def line(study, *more):
    sources = [f"{name}={study / name}.csv" for name in ("en", "zh")]
    return ["fuse", *sources, "--rule", "route", "--manifest", study / "manifest.csv", "-o", study / "routed", *more]


def test_rows_go_to_the_model_of_their_language_and_the_rest_to_the_default(affectkit, study):
    result = affectkit(*line(study, "--by", "language", "--default", "zh"))
    assert "1 of 24 rows have a language that no source is called ('de'): answered by zh" in result.stderr
    said = read_predictions(study / "routed" / "predictions.csv").frame.set_index("id")
    for name, languages in {"en": ["en"], "zh": ["zh", "de"]}.items():
        alone = read_predictions(study / f"{name}.csv").frame.set_index("id")
        rows = said["language"].isin(languages)
        assert rows.any() and np.allclose(said["prob_joy"][rows], alone["prob_joy"][rows], rtol=0, atol=1e-8)
    report = json.loads((study / "routed" / "train_report.json").read_text())
    routed = {"by": "language", "rows": {"en": 8, "zh": 16}, "unanswered": {"en": 0, "zh": 0}}
    assert report["routed"] == {**routed, "unknown": {"de": 1}, "policy": "answered by zh, the default"}
    assert report["fit_rows"] == 0 and set(said["seen"]) == {"heldout"}
    assert {verdict["part"] for verdict in report["verdicts"]} == {"val", "test"}
    spec = json.loads((study / "routed" / "best_model" / "affectkit.json").read_text())
    assert spec["columns"] == ["language"]


def test_without_a_default_other_rows_are_declined_and_counted(affectkit, study):
    result = affectkit(*line(study, "--by", "language"))
    assert "('de'): declined" in result.stderr
    said = read_predictions(study / "routed" / "predictions.csv").frame.set_index("id")
    assert said["pred"]["r23"] == "" and (said["pred"].drop("r23") != "").all()


def test_another_value_may_be_an_error(affectkit, study):
    result = affectkit(*line(study, "--by", "language", "--unknown", "error"), code=1)
    assert "language 'de' is none of en, zh" in result.stderr


def test_a_column_that_is_not_there_is_named(affectkit, study):
    assert "no column 'dialect'" in affectkit(*line(study, "--by", "dialect"), code=1).stderr


def test_rows_are_seen_as_their_own_model_saw_them(affectkit, study):
    """A row that the other model was fitted on may be judged, and one that its own was fitted on may not."""
    for name in ("en", "zh"):
        table = pd.read_csv(study / f"{name}.csv")
        seen = np.where(table["id"].isin(["r00", "r01"]), "fit", np.where(table["id"] == "r03", "oof", "heldout"))
        table.assign(seen=seen if name == "en" else "heldout").to_csv(study / f"{name}.csv", index=False)
    affectkit(*line(study, "--by", "language", "--default", "zh"))
    said = read_predictions(study / "routed" / "predictions.csv").frame.set_index("id")["seen"]
    assert dict(said[["r00", "r01", "r03", "r04"]]) == {"r00": "fit", "r01": "heldout", "r03": "oof", "r04": "heldout"}


def test_models_without_a_row_in_common_are_joined(affectkit, study):
    frame = pd.read_csv(study / "manifest.csv")
    for name in ("en", "zh"):
        table = pd.read_csv(study / f"{name}.csv")
        table[(frame["language"] == name).to_numpy()].to_csv(study / f"{name}.csv", index=False)
    result = affectkit(*line(study, "--by", "language"))
    assert re.search(r"test rows: UAR 0\.\d+ .*, macro F1 ", result.output), "there is nothing to compare it with"
    report = json.loads((study / "routed" / "train_report.json").read_text())
    assert report["verdicts"] == [] and report["routed"]["rows"] == {"en": 8, "zh": 15}
    assert "test_uar" in report["metrics"]


def test_test_rows_alone_are_enough_for_what_learns_nothing(affectkit, study):
    for name in ("en", "zh"):
        table = pd.read_csv(study / f"{name}.csv")
        table[table["split"] == "test"].to_csv(study / f"{name}.csv", index=False)
    affectkit(*line(study, "--by", "language"))


def test_a_fallback_has_no_rows_to_be_chosen_on(affectkit, study):
    assert "route learns from none" in affectkit(*line(study, "--by", "language", "--fallback", "best"), code=2).stderr


def test_sources_and_rows_may_spell_a_language_as_they_like(affectkit, study):
    plain = affectkit(*line(study, "--by", "language", "--default", "zh"))
    frame = pd.read_csv(study / "manifest.csv")
    frame["language"] = frame["language"].replace({"en": "en_GB", "zh": "Mandarin", "de": "German"})
    frame.to_csv(study / "spelt.csv", index=False)
    sources = [f"EN={study / 'en.csv'}", f"cmn={study / 'zh.csv'}"]
    affectkit("fuse", *sources, "--rule", "route", "--by", "language", "--default", "Chinese",
              "--manifest", study / "spelt.csv", "-o", study / "spelt")  # fmt: skip
    tables = [read_predictions(study / name / "predictions.csv").frame for name in ("routed", "spelt")]
    pd.testing.assert_frame_equal(*tables)
    assert "rows by language: 8 to en, 16 to zh; answered by zh, the default: de (1)" in plain.stderr


def test_two_sources_of_one_language_are_refused(affectkit, study):
    sources = [f"en={study / 'en.csv'}", f"en-US={study / 'zh.csv'}"]
    words = ("--rule", "route", "--by", "language", "--manifest", study / "manifest.csv", "-o", study / "routed")
    assert (
        "the sources en and en-US are called after one language" in affectkit("fuse", *sources, *words, code=2).stderr
    )


def test_a_source_without_an_answer_to_its_rows_is_named(affectkit, study):
    table = pd.read_csv(study / "zh.csv")
    table[table["id"] != "r04"].to_csv(study / "zh.csv", index=False)
    result = affectkit(*line(study, "--by", "language"))
    assert "zh has no answer for 1 of the 15 rows that go to it: they are declined" in result.stderr
    assert "en has no answer" not in result.stderr
    said = read_predictions(study / "routed" / "predictions.csv").frame.set_index("id")
    assert said["pred"]["r04"] == "" and said["pred"]["r05"] != ""


def test_classes_are_told_by_name(affectkit, study):
    affectkit(*line(study, "--by", "language", "--default", "zh"))
    table = pd.read_csv(study / "zh.csv")
    turned = [name for name in table if name != "prob_joy"] + ["prob_joy"]
    table[turned].to_csv(study / "zh.csv", index=False)
    affectkit(*line(study, "--by", "language", "--default", "zh", "--overwrite"))
    said = read_predictions(study / "routed" / "predictions.csv").frame.set_index("id")["prob_joy"]
    alone = table.set_index("id")["prob_joy"]
    np.testing.assert_allclose(said["r04"], alone["r04"], rtol=0, atol=1e-8)


def test_what_has_no_truth_is_routed_and_not_judged(affectkit, study):
    """Two models of texts, whose classes no row is labelled with."""
    for name in ("en", "zh"):
        table = pd.read_csv(study / f"{name}.csv").drop(columns="label").assign(mood_pred="joy")
        table = table.rename(columns={"prob_joy": "mood_prob_joy", "prob_rage": "mood_prob_rage"})
        table.to_csv(study / f"{name}.csv", index=False)
    affectkit(*line(study, "--by", "language", "--default", "zh"))
    assert (read_predictions(study / "routed" / "predictions.csv").frame["mood_prob_joy"] > 0).all()
    report = json.loads((study / "routed" / "train_report.json").read_text())
    assert report["verdicts"] == [] and report["routed"]["rows"] == {"en": 8, "zh": 16}


# --- As a model


LABEL = {"name": "label", "kind": "class", "classes": ["joy", "rage"]}


def saved(folder, kind, **more):
    folder.mkdir(parents=True)
    rows = write_fit_rows([folder], pd.DataFrame({"id": [], "group": [], "role": []}))
    write_json(folder / "affectkit.json", {"kind": kind, "targets": [LABEL], "fit_rows": rows, **more})
    return folder


def routed(folder, **options):
    """A route of two models that have no weights to load."""
    models = {name: saved(folder / name, "face-expert") for name in ("en", "zh")}
    place = saved(folder / "routed", "fusion")
    parents = [parent_of(name, model, place) for name, model in models.items()]
    spec = {"kind": "fusion", "targets": [LABEL], "columns": ["language"], "parents": parents}
    rows = write_fit_rows([place], pd.DataFrame({"id": [], "group": [], "role": []}))
    write_json(place / "affectkit.json", {**spec, "fit_rows": rows})
    options = {"by": "language", "default": "", "unknown": "decline", **options}
    rule = {"rule": "route", "options": options, "parameters": {"sources": ["en", "zh"]}}
    write_json(place / "fusion.json", {"sources": ["en", "zh"], "targets": {"label": rule}})
    return place


@pytest.fixture
def asked(monkeypatch):
    """Which rows each model predicted; each is as sure of joy as its name is early in the alphabet."""
    from affectkit.inference.faces import FaceModel

    rows = {}

    def predict(self, manifest, work, features=()):
        from affectkit.artifacts.outputs import TargetPrediction
        from affectkit.artifacts.predictions import build_predictions
        from affectkit.labels import Target

        rows[self.folder.name] = list(manifest.rows["id"])
        p = np.full(len(manifest.rows), 0.9 if self.folder.name == "en" else 0.2)
        output = TargetPrediction.of(Target.from_json(LABEL), np.stack([p, 1 - p], axis=1))
        return build_predictions(
            manifest.rows, [output], ["fit" if key == "r01" else "heldout" for key in manifest.rows["id"]]
        )

    monkeypatch.setattr(FaceModel, "predict", predict)
    return rows


def manifest(folder, languages):
    lines = [f"r{place:02},{language}" for place, language in enumerate(languages)]
    (folder / "rows.csv").write_text("\n".join(["id,language", *lines]) + "\n")
    return read_manifest(folder / "rows.csv")


def test_only_the_model_that_a_row_needs_is_run(tmp_path, asked):
    model = load_model(routed(tmp_path))
    said = model.predict(manifest(tmp_path, ["zh", "en", "fr", "zh"]), Work()).frame
    assert asked == {"en": ["r01"], "zh": ["r00", "r03"]}
    assert list(said["id"]) == ["r00", "r01", "r02", "r03"]
    assert list(said["pred"]) == ["rage", "joy", "", "rage"] and list(said["language"]) == ["zh", "en", "fr", "zh"]
    assert list(said["seen"]) == ["heldout", "fit", "heldout", "heldout"]
    assert isinstance(model, Model) and needs(model) == Needs(frozenset(), ("language",))


@pytest.mark.parametrize("kind", ["fusion", "calibration"])
def test_a_chain_needs_what_its_parents_need_and_runs_none_before_it_is_there(kind, tmp_path, asked):
    """A mean of a route and another model, and a calibration of a route: the rows lack the route's column."""
    inner, other, place = routed(tmp_path / "r"), saved(tmp_path / "fr", "face-expert"), tmp_path / "outer"
    saved(place, kind)
    names = {"fr": other, "routed": inner} if kind == "fusion" else {"routed": inner}
    parents = [parent_of(name, model, place) for name, model in names.items()]
    spec = json.loads((place / "affectkit.json").read_text())
    write_json(place / "affectkit.json", {**spec, "parents": parents})
    mean = {"rule": "mean", "options": {"recalibrate": False}, "parameters": {"weights": {"fr": 0.5, "routed": 0.5}}}
    write_json(place / "fusion.json", {"sources": list(names), "targets": {"label": mean}})
    temperature = {"method": "temperature", "options": {}, "parameters": {"temperature": 1.5}}
    write_json(place / "calibration.json", {"targets": {"label": temperature}})
    model = load_model(place)
    assert needs(model).columns == ("language",)
    (tmp_path / "rows.csv").write_text("id\na\n")
    with pytest.raises(AffectkitError, match="needs a column 'language' of every row"):
        model.predict(read_manifest(tmp_path / "rows.csv"), Work())
    assert not asked
    said = model.predict(manifest(tmp_path, ["en", "fr", "ZH"]), Work()).frame
    assert asked["en"] == ["r00"] and asked["zh"] == ["r02"]
    assert list(said["pred"]) == ["joy", "rage" if kind == "fusion" else "", "rage"]


def test_a_model_that_no_row_needs_is_not_run(tmp_path, asked):
    said = load_model(routed(tmp_path)).predict(manifest(tmp_path, ["zh", "zh"]), Work()).frame
    assert list(asked) == ["zh"] and list(said["pred"]) == ["rage", "rage"]


def test_rows_of_no_model_are_all_declined(tmp_path, asked):
    said = load_model(routed(tmp_path)).predict(manifest(tmp_path, ["fr"]), Work()).frame
    assert not asked and list(said["pred"]) == [""]


def test_the_row_of_a_refused_value_is_named(tmp_path, asked):
    model = load_model(routed(tmp_path, unknown="error"))
    with pytest.raises(AffectkitError) as caught:
        model.predict(manifest(tmp_path, ["en", "fr"]), Work())
    assert (caught.value.row, caught.value.file) == (2, str(tmp_path / "rows.csv")) and not asked


def test_a_column_that_rows_lack_is_refused_before_any_model_runs(tmp_path, asked):
    (tmp_path / "rows.csv").write_text("id\na\n")
    with pytest.raises(AffectkitError, match="needs a column 'language' of every row"):
        load_model(routed(tmp_path)).predict(read_manifest(tmp_path / "rows.csv"), Work())
    assert not asked


@pytest.mark.parametrize(
    "options", [{"default": "fr", "unknown": "default"}, {"unknown": "guess"}, {"by": ""}, {"shell": "x"}]
)
def test_a_damaged_route_is_refused_when_it_is_loaded(tmp_path, options):
    with pytest.raises(AffectkitError) as caught:
        load_model(routed(tmp_path, **options))
    assert caught.value.file == str(tmp_path / "routed")


def test_a_routed_calibrated_chain_predicts_from_one_folder(affectkit, tmp_path):
    """Two models of their own languages, joined, calibrated for each, selected: `predict` says what is written."""
    words = {"en": ("glad laugh", "shout hate"), "zh": ("高兴 欢笑", "生气 讨厌")}
    rows = ["id,label,text,speaker,language,split"]
    for n in range(160):
        language, joy = ("en", "zh")[n % 2], n // 2 % 2
        word = words[language][1 - joy].split()[n // 4 % 2] if n % 5 else "day"
        split = "train" if n < 64 else "val" if n < 120 else "test"
        rows.append(f"u{n:03},{'joy' if joy else 'rage'},{word} {n},s{n // 8},{language},{split}")
    for name in ("en", "zh", "all"):
        table = [rows[0], *(row for row in rows[1:] if name == "all" or f",{name}," in row)]
        (tmp_path / f"{name}.csv").write_text("\n".join(table) + "\n")
    for name in words:
        rows_of = ("--manifest", tmp_path / f"{name}.csv")
        affectkit("extract-features", *rows_of, "--encoder", "text-ngrams", "-o", tmp_path / f"f_{name}")
        affectkit("train", *rows_of, "--features", tmp_path / f"f_{name}", "--cv", "--c-grid", 1, "-o", tmp_path / name)
    sources = [f"{name}={tmp_path / name}" for name in words]
    affectkit("fuse", *sources, "--rule", "route", "--by", "language", "-o", tmp_path / "routed")
    line = ("--method", "temperature", "--per", "language", "--min-rows", 30)
    affectkit("calibrate", tmp_path / "routed", *line, "-o", tmp_path / "calibrated")
    affectkit("select", tmp_path / "calibrated", "-o", tmp_path / "best", "--replace-stable")
    moved = (tmp_path / "best").rename(tmp_path / "elsewhere")
    for name in (*words, "routed", "calibrated"):
        (tmp_path / name).rename(tmp_path / f"{name}.gone")
    affectkit("predict", "--model-dir", moved, "--manifest", tmp_path / "all.csv", "-o", tmp_path / "said.csv")
    said = read_predictions(tmp_path / "said.csv").frame.set_index("id")
    written = read_predictions(moved / "predictions.csv").frame.set_index("id").loc[said.index]
    assert set(said["split"]) == {"test"} and set(said["language"]) == {"en", "zh"}
    np.testing.assert_allclose(said["prob_joy"], written["prob_joy"], rtol=0, atol=1e-8)
    alone = read_predictions(moved / "predictions.csv").frame
    assert set(alone["seen"]) == {"oof", "heldout"}
    key, text = next((row.split(",")[0], row.split(",")[2]) for row in rows if row.endswith(",en,test"))
    (tmp_path / "one.txt").write_text(text)
    words = ("predict", "--model-dir", moved, tmp_path / "one.txt", "-o", tmp_path / "one.csv")
    assert "give it with --column language=VALUE" in affectkit(*words, code=1).stderr
    affectkit(*words, "--column", "language=English")
    said = read_predictions(tmp_path / "one.csv").frame
    np.testing.assert_allclose(said["prob_joy"], written["prob_joy"][key], rtol=0, atol=1e-8)


CELLS = {
    "no value": (["--column", "language"], "--column 'language' is no cell"),
    "an empty one": (["--column", "language="], "is no cell"),
    "a column of ours": (["--column", "path=x"], "is no cell"),
    "a manifest": (["--column", "language=en", "--manifest"], "--column is for FILES"),
}


@pytest.mark.parametrize("what", CELLS)
def test_a_cell_of_files_that_cannot_be_is_refused(what, affectkit, tmp_path, study):
    words, message = CELLS[what]
    words = [*words, study / "manifest.csv"]
    assert message in affectkit("predict", "--model-dir", tmp_path, *words, code=2).stderr
