"""What records know of a prediction's past."""

import hashlib

import pytest

from affectkit.artifacts.files import write_json
from affectkit.artifacts.records import file_digest
from affectkit.results.lineage import digests, lineage
from affectkit.results.words import warnings

DEFECT = "MELD's cast is in all splits: speaker-dependent by protocol"


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """manifest -> run of train -> predictions; `chain(normalize)` gives the predictions' path."""
    monkeypatch.chdir(tmp_path)

    def make(normalize):
        manifest, run = tmp_path / "manifest", tmp_path / "run"
        corpora = {"meld": {"root": "MELD", "title": "MELD", "licence": "GPL-3.0", "citation": "Poria et al. 2019"}}
        write_json(manifest / "summary.json", {"declared": [DEFECT], "corpora": corpora})
        write_json(run / "best_model" / "affectkit.json", {"normalize": normalize})
        (run / "predictions.csv").write_text("id\na\n")
        outputs = [output(run, name) for name in ("predictions.csv", "best_model/affectkit.json")]
        options = {"normalize": normalize}
        write_json(run / "run.json", {"options": options, "parents": ["manifest", "gone"], "outputs": outputs})
        return run / "predictions.csv"

    return make


def output(run, name):
    return {**file_digest(run / name, None), "path": name, "mtime_ns": (run / name).stat().st_mtime_ns}


@pytest.mark.parametrize(
    ("normalize", "expected"), [("speaker", "transductive"), ("train", "inductive"), ("none", "inductive")]
)
def test_follows_a_run_to_its_manifest(chain, normalize, expected):
    found = lineage([chain(normalize)])
    assert found["normalization"] == expected
    assert found["declared"] == [DEFECT]
    facts = {"title": "MELD", "licence": "GPL-3.0", "citation": "Poria et al. 2019", "synthetic": False}
    assert found["corpora"] == [{"name": "meld", **facts}]


def test_notes_of_a_corpus_are_kept_and_those_of_its_manifests_joined(chain, tmp_path):
    predictions = chain("train")
    corpus = {"title": "DAIC-WOZ", "notes": ["asked for her turns"], "warnings": ["409 contradicts itself"]}
    write_json(tmp_path / "manifest" / "summary.json", {"corpora": {"daic-woz": corpus}})
    write_json(tmp_path / "other" / "summary.json", {"corpora": {"daic-woz": {"title": "DAIC-WOZ", "notes": ["more"]}}})
    write_json(tmp_path / "bare" / "summary.json", {"corpora": {"daic-woz": {"title": "DAIC-WOZ"}}})
    past = lineage([tmp_path / "bare", predictions, tmp_path / "other"])
    assert past["corpora"][0]["notes"] == ["more", "asked for her turns"]  # the nearest come first
    assert warnings({"corpora": past["corpora"]}) == ["DAIC-WOZ: more", "DAIC-WOZ: asked for her turns"]


def test_follows_a_file_with_a_record_of_its_own(chain, tmp_path):
    chain("speaker")
    (tmp_path / "p.csv").write_text("id\na\n")
    write_json(tmp_path / "p.csv.run.json", {"options": {"model_dir": "run"}, "parents": ["run", "manifest"]})
    assert lineage([tmp_path / "p.csv"])["normalization"] == "transductive"


@pytest.mark.parametrize("folder", ["run", "run/best_model"])
def test_reads_a_model_folder(chain, tmp_path, folder):
    chain("speaker")
    assert lineage([tmp_path / folder])["normalization"] == "transductive"


def test_a_stranger_in_a_run_folder_is_not_its_child(chain):
    stranger = chain("speaker").with_name("other.csv")
    stranger.write_text("id\na\n")
    found = lineage([stranger])
    assert (found["normalization"], found["declared"], found["corpora"]) == ("unknown", [], [])


def test_inputs_by_name_and_digest(tmp_path):
    (tmp_path / "p.csv").write_text("id\na\n")
    (tmp_path / "manifest").mkdir()
    (tmp_path / "manifest" / "test.csv").write_text("id\nb\n")
    names = {item["name"]: item for item in digests([tmp_path / "p.csv", tmp_path / "manifest"])}
    assert sorted(names) == ["manifest/test.csv", "p.csv"]
    assert names["p.csv"] == {"name": "p.csv", "size": 5, "sha256": hashlib.sha256(b"id\na\n").hexdigest()}


def test_records_that_name_each_other_end(tmp_path):
    for name, other in (("a.csv", "b.csv"), ("b.csv", "a.csv")):
        (tmp_path / name).write_text("id\n")
        write_json(tmp_path / f"{name}.run.json", {"parents": [str(tmp_path / other)]})
    assert lineage([tmp_path / "a.csv"])["normalization"] == "unknown"


def test_a_broken_record_is_no_reason_to_stop(tmp_path):
    (tmp_path / "p.csv").write_text("id\na\n")
    (tmp_path / "p.csv.run.json").write_text("{")
    assert lineage([tmp_path / "p.csv"])["normalization"] == "unknown"
