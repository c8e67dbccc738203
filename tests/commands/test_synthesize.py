import json

import pytest

from affectkit import registry


def test_a_twin_by_one_command_and_the_same_bytes_again(affectkit, tmp_path):
    result = affectkit("synthesize", "crema-d", tmp_path / "a", "--size", 12, "--speakers", 3, "--seed", 4, "--json")
    assert json.loads(result.stdout) == {
        "path": str(tmp_path / "a"), "corpus": "crema-d", "size": 12, "speakers": 3, "seed": 4,
    }  # fmt: skip
    affectkit("synthesize", "crema-d", tmp_path / "b", "--size", 12, "--speakers", 3, "--seed", 4)
    first, second = (
        {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.suffix != ".json"}
        for root in (tmp_path / "a", tmp_path / "b")
    )
    assert first == second and len([name for name in first if name.endswith(".wav")]) == 12


@pytest.mark.parametrize("corpus", ["tess", "emobank"])
def test_default_speakers_are_ten_or_all_that_there_are(affectkit, tmp_path, corpus):
    result = affectkit("synthesize", corpus, tmp_path / "twin", "--size", 14, "--json")
    assert json.loads(result.stdout)["speakers"] == {"tess": 2, "emobank": 10}[corpus]


def test_a_folder_with_something_in_it_is_refused(affectkit, tmp_path):
    (tmp_path / "03a01Wa.wav").write_bytes(b"precious")
    result = affectkit("synthesize", "emodb", tmp_path, "--size", 3, "--overwrite", code=1)
    assert "not a folder that affectkit wrote" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["03a01Wa.wav"]


def test_a_finished_twin_is_kept_resumed_or_made_anew(affectkit, tmp_path):
    run = ("synthesize", "emodb", tmp_path / "twin", "--size", 4, "--speakers", 2)
    affectkit(*run)
    clip = next((tmp_path / "twin").rglob("*.wav"))
    before = clip.read_bytes()
    assert "is finished" in affectkit(*run, code=1).stderr
    (tmp_path / "twin" / "run.json").unlink()
    clip.unlink()
    affectkit(*run, "--resume")
    assert clip.read_bytes() == before and (tmp_path / "twin" / "run.json").exists()
    affectkit(*run, "--seed", 1, "--overwrite")
    assert clip.exists() is False or clip.read_bytes() != before


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("emobd", "--size", 4), "there is no corpus 'emobd'; did you mean"),
        (("savee", "--speakers", 5), "this corpus has 4 speakers; ask for 1 to 4"),
        (("iemocap", "--speakers", 3), "ask for an even number"),
    ],
)
def test_mistakes_are_usage_errors(affectkit, tmp_path, arguments, message):
    corpus, *rest = arguments
    assert message in affectkit("synthesize", corpus, tmp_path / "twin", *rest, code=2).stderr
    assert not (tmp_path / "twin").exists()


def test_every_corpus_has_a_twin():
    assert all(hasattr(registry.load("corpora", name), "synthesize") for name in registry.names("corpora"))
