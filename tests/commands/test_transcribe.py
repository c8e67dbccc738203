"""`affectkit transcribe`: a manifest in, the same manifest with texts out."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from affectkit.artifacts.manifest import read_manifest
from affectkit.distributed import Ranks
from affectkit.results.lineage import lineage
from affectkit.transcribers.hf import Hf

MODEL = ("--model", "tiny-random:wav2vec2-ctc", "--device", "cpu")
SAID = {"c0": "so it is", "c1": "never mind", "c4": "on we go"}


@pytest.fixture
def manifest(tmp_path):
    """Twelve clips by four speakers in splits; three have a text, one is silent, one has no language."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = []
    for number in range(12):
        samples = np.random.default_rng(number).normal(size=3200 + 160 * number) * (0.1 if number != 3 else 0.0)
        soundfile.write(folder / f"c{number}.wav", samples, 16000)
        key = f"c{number}"
        rows.append(
            {
                "id": key,
                "path": f"{key}.wav",
                "text": SAID.get(key, ""),
                "label": ("joy", "rage")[number % 2],
                "speaker": f"s{number // 3}",
                "language": "" if number == 5 else "en",
                "split": ("train", "train", "val", "test")[number // 3],
            }
        )
    pd.DataFrame(rows).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def table(folder):
    return read_manifest(folder).rows.set_index("id")


def languages_heard(folder):
    """Of the rows that were heard to say something, without c5, of which the corpus says none."""
    heard = map(json.loads, (folder / "transcripts.jsonl").read_text().splitlines()[1:])
    return {row["language"] for row in heard if row["text"] and row["id"] != "c5"}


def report(folder):
    return json.loads((folder / "transcription.json").read_text())


def test_a_text_of_the_corpus_stays_and_the_others_are_heard(affectkit, manifest, tmp_path):
    result = affectkit("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "out", "--language", "en")
    rows = table(tmp_path / "out")
    assert rows.loc[list(SAID), "text"].to_dict() == SAID
    assert rows["text_source"].value_counts().to_dict() == {"heard": 8, "corpus": 3, "": 1}
    assert (rows.loc["c3", "text"], rows.loc["c3", "text_source"]) == ("", "")
    heard = rows[rows["text_source"] == "heard"]
    assert heard["asr_confidence"].between(0, 1).all() and (heard["asr_seconds"] > 0).all() and heard["text"].all()
    assert rows.loc[list(SAID), ["asr_confidence", "asr_seconds"]].isna().all(axis=None)
    assert set(rows["language"]) == {"en"}
    assert rows["split"].to_dict() == pd.read_csv(manifest, index_col="id")["split"].to_dict()
    counts = {"corpus": 3, "cache": 0, "heard": 8, "empty": 1}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["transcripts"]
    assert (
        summary["counts"] == counts and summary["model"] == "tiny-random:wav2vec2-ctc" and len(summary["digest"]) == 64
    )
    assert (summary["engine"], summary["options"]["chunk_seconds"]) == ("hf", 30.0)
    line = "3 of the corpus, 8 heard by tiny-random:wav2vec2-ctc, 1 empty"
    assert f"texts: {line}" in result.stderr and "1 rows are silent" in result.stderr
    assert f"Texts: {line}." in (tmp_path / "out" / "report.html").read_text()


def test_media_are_found_from_the_new_folder(affectkit, manifest, tmp_path):
    affectkit("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "out")
    assert all(path.exists() for path in read_manifest(tmp_path / "out").media())


def test_every_text_is_heard_where_that_is_asked_for_and_judged(affectkit, manifest, tmp_path):
    affectkit("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "out", "--replace")
    rows, errors = table(tmp_path / "out"), report(tmp_path / "out")["errors"]
    assert rows["text_source"].value_counts().to_dict() == {"heard": 11, "": 1}
    assert (errors["n"], errors["reference"], errors["groups"]) == (3, "text", {"column": "speaker", "count": 2})
    judged = pd.read_csv(tmp_path / "out" / "error_rates.csv", index_col="id")
    assert judged["reference"].to_dict() == SAID
    assert judged["heard"].to_dict() == rows.loc[list(SAID), "text"].to_dict()
    wer = errors["rates"]["all"]["wer"]
    made = judged[["wer_substitutions", "wer_deletions", "wer_insertions"]].to_numpy().sum()
    assert wer["value"] == pytest.approx(made / judged["wer_length"].sum()) and wer["length"] == 8


def test_against_a_column_judges_and_leaves_the_texts(affectkit, manifest, tmp_path):
    result = affectkit("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "out", "--against", "text")
    assert table(tmp_path / "out").loc[list(SAID), "text"].to_dict() == SAID
    assert report(tmp_path / "out")["errors"]["n"] == 3 and report(tmp_path / "out")["asked"] == 12
    assert "word error rate: " in result.stderr and "character error rate: " in result.stderr
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Error rates" in page and "Unicode" in page and "jackknife" in page
    affectkit("report", tmp_path / "out", "-o", tmp_path / "again")
    assert (tmp_path / "again" / "report.html").read_text() == page
    for option, name, known in (("--against", "txet", "text"), ("--group", "speakr", "speaker")):
        unknown = affectkit("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "x", option, name, code=1)
        assert f"did you mean {known}" in unknown.stderr


def test_what_was_heard_is_never_a_reference_and_stays_heard(affectkit, manifest, tmp_path):
    affectkit("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "one")
    affectkit("transcribe", "-m", tmp_path / "one", *MODEL, "-o", tmp_path / "two", "--against", "text")
    first, second = table(tmp_path / "one"), table(tmp_path / "two")
    assert second["text_source"].to_dict() == first["text_source"].to_dict()
    assert report(tmp_path / "two")["errors"]["n"] == 3
    pd.testing.assert_frame_equal(first, second)
    assert lineage([tmp_path / "two"])["texts"] == lineage([tmp_path / "one"])["texts"]
    rows = pd.read_csv(tmp_path / "one" / "train.csv", keep_default_na=False)
    rows[rows["text_source"] == "heard"].assign(text_source="cache").to_csv(tmp_path / "some.csv", index=False)
    words = ("transcribe", "-m", tmp_path / "some.csv", *MODEL, "-o", tmp_path / "x")
    none = affectkit(*words, "--against", "text", code=1)
    assert "no row has a text in 'text' to judge by" in none.stderr
    affectkit(*words)
    assert lineage([tmp_path / "x"])["texts"] == ["2 heard by an unknown model"]
    affectkit("transcribe", "-m", tmp_path / "one" / "val.csv", *MODEL, "-o", tmp_path / "val")
    assert lineage([tmp_path / "val"])["texts"] == ["3 heard by tiny-random:wav2vec2-ctc"]
    other = ("--model", "tiny-random:whisper", "--device", "cpu", "--retry-empty")
    affectkit("transcribe", "-m", tmp_path / "two", *other, "-o", tmp_path / "more")
    line = "3 of the corpus, 1 heard by tiny-random:whisper, 8 heard by tiny-random:wav2vec2-ctc"
    assert lineage([tmp_path / "more"])["texts"] == [line]
    other = ("--model", "tiny-random:whisper", "--device", "cpu", "--replace")
    affectkit("transcribe", "-m", tmp_path / "two", *other, "-o", tmp_path / "three")
    assert lineage([tmp_path / "three"])["texts"] == ["11 heard by tiny-random:whisper, 1 empty"]


def test_a_language_of_the_corpus_stays_and_another_is_said(affectkit, manifest, tmp_path):
    words = ("--model", "tiny-random:whisper", "--device", "cpu", "-o", tmp_path / "out")
    result = affectkit("transcribe", "-m", manifest, *words, "--language", "zh")
    rows = table(tmp_path / "out")
    assert rows.loc["c5", "language"] == "zh" and set(rows["language"].drop("c5")) == {"en"}
    assert "7 rows were heard in another language than the corpus says" in result.stderr
    result = affectkit("transcribe", "-m", manifest, *words, "--language", "column", "--overwrite")
    assert "another language" not in result.stderr
    assert languages_heard(tmp_path / "out") == {"en"}
    refused = affectkit("transcribe", "-m", manifest, *words, "--language", "fr", "--overwrite", code=2)
    assert "does not write --language fr" in refused.stderr


def test_a_language_may_be_called_as_tables_call_it(affectkit, manifest, tmp_path):
    rows = pd.read_csv(manifest, keep_default_na=False)
    rows["language"] = ["English", "EN", "en-GB", "eng"] * 3
    rows.to_csv(manifest, index=False)
    words = ("--model", "tiny-random:whisper", "--device", "cpu", "-o", tmp_path / "out")
    result = affectkit("transcribe", "-m", manifest, *words, "--language", "column")
    assert "another language" not in result.stderr
    affectkit("transcribe", "-m", manifest, *words, "--language", "EN-us", "--overwrite")
    assert languages_heard(tmp_path / "out") == {"en"}
    unknown = ("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "x", "--language", "gibberish")
    assert "'gibberish' is no code of a language" in affectkit(*unknown, code=2).stderr


def test_folds_labels_and_the_audit_are_carried(affectkit, tmp_path):
    affectkit("synthesize", "emodb", tmp_path / "twin", "--size", "8", "--speakers", "4")
    affectkit("prepare-manifest", "emodb", tmp_path / "twin", "--folds", "speaker", "-o", tmp_path / "manifest")
    affectkit("transcribe", "-m", tmp_path / "manifest", *MODEL, "--replace", "-o", tmp_path / "out")
    for name in ("label_map.json", "leak_audit.json"):
        assert json.loads((tmp_path / "out" / name).read_text()) == json.loads(
            (tmp_path / "manifest" / name).read_text()
        )
    before, after = read_manifest(tmp_path / "manifest"), read_manifest(tmp_path / "out")
    carried = before.rows.columns.difference(["text", "language"])
    pd.testing.assert_frame_equal(before.rows[carried], after.rows[carried])
    assert {**before.summary, "transcripts": after.summary["transcripts"]} == after.summary
    assert before.media() == after.media()


def test_texts_that_turn_out_the_same_on_several_sides_are_declared(affectkit, manifest, tmp_path):
    rows = pd.read_csv(manifest, keep_default_na=False)
    rows.loc[rows.index[-1], "path"] = rows.loc[rows.index[2], "path"]
    rows.to_csv(manifest, index=False)
    result = affectkit("transcribe", "-m", manifest, *MODEL, "--retry-empty", "-o", tmp_path / "out")
    declared = "text leak, heard: text: 1 of 11 on more than one side, as"
    assert result.stderr.count(declared) == 1
    again = affectkit("transcribe", "-m", tmp_path / "out", *MODEL, "--replace", "-o", tmp_path / "again")
    assert again.stderr.count(declared) == 1
    affectkit("extract-features", "-m", tmp_path / "out", "--encoder", "text-ngrams", "-o", tmp_path / "features")
    words = ("-m", tmp_path / "out", "--features", tmp_path / "features", "-o", tmp_path / "model")
    assert declared in affectkit("train", *words).stderr


def test_rows_of_no_split_are_kept(affectkit, manifest, tmp_path):
    rows = pd.read_csv(manifest, keep_default_na=False)
    rows.drop(columns="split").to_csv(manifest, index=False)
    affectkit("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "none")
    rows.loc[rows.index[-2:], "split"] = ""
    rows.to_csv(manifest, index=False)
    affectkit("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "some")
    assert len(table(tmp_path / "none")) == len(table(tmp_path / "some")) == 12
    assert (table(tmp_path / "some")["split"] == "").sum() == 2


def test_a_row_that_cannot_be_read_names_its_place_or_is_listed(affectkit, manifest, tmp_path):
    (manifest.parent / "c7.wav").write_bytes(b"RIFF")
    words = ("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "out")
    result = affectkit(*words, code=1)
    assert "rows.csv" in result.stderr and "row 8" in result.stderr and "c7.wav" in result.stderr
    affectkit(*words, "--on-error", "skip", "--overwrite")
    assert pd.read_csv(tmp_path / "out" / "skipped.csv")["id"].tolist() == ["c7"]
    assert table(tmp_path / "out").loc["c7", "text"] == "" and len(table(tmp_path / "out")) == 12


def test_several_processes_are_refused(affectkit, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("affectkit.distributed.ranks", lambda **_: Ranks(1, 2, 1, 2))
    result = affectkit("transcribe", "-m", manifest, *MODEL, "-o", tmp_path / "out", code=2)
    assert "transcribe runs in one process; start it without a launcher" in result.stderr
    assert not (tmp_path / "out").exists()


def test_killed_and_resumed_nothing_is_heard_twice(affectkit, manifest, tmp_path, monkeypatch):
    heard, hear = [], Hf.hear

    def counting(transcriber, waves, languages, **how):
        if len(heard) == 3:
            heard.append("killed")
            raise KeyboardInterrupt
        heard.append([len(wave) for wave in waves])
        return hear(transcriber, waves, languages, **how)

    monkeypatch.setattr(Hf, "hear", counting)
    words = ("transcribe", "-m", manifest, *MODEL, "--batch-seconds", ".5", "-o", tmp_path / "out")
    affectkit(*words, code=130)
    affectkit(*words, "--resume")
    lengths = [length for batch in heard if batch != "killed" for length in batch]
    assert len(lengths) == len(set(lengths)) == 8
    whole = affectkit("transcribe", "-m", manifest, *MODEL, "--batch-seconds", "99", "-o", tmp_path / "whole")
    assert whole.exit_code == 0
    assert table(tmp_path / "out")["text"].to_dict() == table(tmp_path / "whole")["text"].to_dict()


def test_runs_share_a_cache_and_say_so(affectkit, manifest, tmp_path):
    words = ("transcribe", "-m", manifest, *MODEL, "--asr-cache-json", tmp_path / "cache.json")
    affectkit(*words, "-o", tmp_path / "one")
    result = affectkit(*words, "-o", tmp_path / "two")
    first, second = table(tmp_path / "one"), table(tmp_path / "two")
    assert second["text_source"].value_counts().to_dict() == {"cache": 8, "corpus": 3, "": 1}
    assert first.drop(columns="text_source").equals(second.drop(columns="text_source"))
    assert "8 heard by" in result.stderr
    other = ("--model", "tiny-random:wav2vec2-ctc,hidden_size=64", "--device", "cpu")
    affectkit("transcribe", "-m", manifest, *other, *words[-2:], "-o", tmp_path / "three")
    assert (table(tmp_path / "three")["text_source"] == "cache").sum() == 0
    inside = affectkit("transcribe", "-m", manifest, *MODEL, "--asr-cache-json", tmp_path / "x/c.json",
                       "-o", tmp_path / "x", code=2)  # fmt: skip
    assert "which it is to outlive" in inside.stderr
    (tmp_path / "cache.json").write_text("{")
    damaged = affectkit(*words, "-o", tmp_path / "four", code=1)
    assert damaged.stderr.count("error: ") == 1 and "cache.json" in damaged.stderr


def test_a_silent_row_is_heard_where_that_is_asked_for(affectkit, manifest, tmp_path):
    affectkit("transcribe", "-m", manifest, *MODEL, "--retry-empty", "-o", tmp_path / "out")
    assert table(tmp_path / "out").loc["c3", "text_source"] == "heard"


@pytest.mark.parametrize("last", ["evaluate", "calibrate", "aggregate", "report"])
def test_everything_downstream_says_which_texts_were_heard(affectkit, manifest, tmp_path, last):
    run = tmp_path
    affectkit("transcribe", "-m", manifest, *MODEL, "--retry-empty", "-o", run / "texts")
    affectkit("extract-features", "-m", run / "texts", "--encoder", "text-ngrams", "-o", run / "features")
    trained = affectkit("train", "-m", run / "texts", "--features", run / "features", "-o", run / "model")
    line = "texts: 3 of the corpus, 9 heard by tiny-random:wav2vec2-ctc"
    assert line in trained.stderr
    rest = {"aggregate": ("--to", "speaker", "--truth", "majority"), "evaluate": ("--split", "val"),
            "calibrate": ("--method", "temperature")}  # fmt: skip
    result = affectkit(last, run / "model", *rest.get(last, ()), "-o", run / last)
    assert result.stderr.count(line) == 1
    assert all("Texts: 3 of the corpus" in page.read_text() for page in (run / last).glob("*.html"))
    card = (run / "model" / "best_model" / "README.md").read_text()
    assert f"- {line}" in card
