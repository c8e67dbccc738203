"""`affectkit finetune` of text networks as a user runs it, on small ones and drawn sentences."""

import json

import numpy as np
import pandas as pd
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from affectkit.finetuning.media._text import TextExamples
from affectkit.finetuning.media.text import Text

TINY = "tiny-random:bert"
QUICK = ("--epochs", 2, "--batch-size", 8, "--learning-rate", "3e-3", "--device", "cpu", "--num-workers", 0)
THREE = json.dumps(
    [
        {"name": "head", "train": "head", "epochs": 1, "learning_rate": 1e-2},
        {"name": "top", "train": "last-1", "epochs": 1, "learning_rate": "1e-4..1e-2"},
        {"name": "all", "train": "all", "epochs": 1, "learning_rate": 1e-3, "warmup": 0.5},
    ]
)
WORDS = {"angry": "furious shouting rage", "happy": "joy laughing sunshine", "sad": "tears lonely grief"}


def drawn(count=48):
    """Sentences of one feeling each; speakers are of one split."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        label = list(WORDS)[number % 3]
        text = " ".join(rng.choice(WORDS[label].split(), rng.integers(2, 12)))
        split = ("train", "train", "val", "test")[number // 3 % 4]
        votes = {f"votes_{name}": 3 * (name == label) + 1 for name in WORDS}
        numbers = {"valence": {"angry": 2, "happy": 4.5, "sad": 1.5}[label], "arousal": 2 + rng.random()}
        row = {"id": f"t{number:02}", "text": text, "label": label, "split": split, "speaker": f"{split}{number % 4}"}
        rows.append({**row, **votes, **numbers})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "rows.csv"
    drawn().to_csv(path, index=False)
    return path


@pytest.fixture
def finetuned(affectkit, manifest, tmp_path):
    """`finetuned("--head", "mean")`: the run folder."""

    def run(*more, name="run", data=manifest, code=0):
        line = ("finetune", "--manifest", data, "--base-model", TINY, "-o", tmp_path / name, *QUICK, *more)
        result = affectkit(*line, code=code)
        return result.stderr if code else tmp_path / name

    return run


def answers(path):
    table = pd.read_csv(path).set_index("id")
    return table.select_dtypes("number").filter(regex="_prob_|^prob_|_pred$")


def test_a_class_is_learned_and_plain_transformers_answers_the_same(finetuned, affectkit, manifest):
    run = finetuned("--epochs", 12)
    report = json.loads((run / "train_report.json").read_text())
    assert report["metrics"]["test_uar"]["value"] > 0.6, "the letters tell the class"
    spec = json.loads((run / "best_model" / "affectkit.json").read_text())
    assert spec["reads"] == "text" and spec["needs"] == ["text"] and spec["base"]["tiny_random"]
    assert spec["head"] == "cls" and spec["long_texts"] == "head" and spec["base"]["max_tokens"] == 128
    model = AutoModelForSequenceClassification.from_pretrained(run / "best_model")
    tokenizer = AutoTokenizer.from_pretrained(run / "best_model")
    table = answers(run / "predictions.csv")
    texts = pd.read_csv(manifest).set_index("id").loc[table.index, "text"]
    batch = tokenizer(list(texts), padding=True, return_tensors="pt", return_token_type_ids=False)
    expected = model(**batch).logits.softmax(dim=1).detach().numpy()
    names = [f"prob_{model.config.id2label[place]}" for place in range(3)]
    np.testing.assert_allclose(table[names], expected, atol=1e-6)


@pytest.mark.parametrize("head", ["cls", "mean", "attentive"])
def test_several_targets_and_every_batch_give_the_same_answers(head, finetuned, affectkit, manifest, tmp_path):
    run = finetuned("--head", head, "--target", "label,valence,arousal", "--batch-tokens", 200)
    files = []
    for row in pd.read_csv(manifest).query("split == 'test'").itertuples():
        files.append(tmp_path / f"{row.id}.txt")
        files[-1].write_text(row.text, encoding="utf-8")
    affectkit("predict", "--model-dir", run, *files, "-o", tmp_path / "together.csv")
    affectkit("predict", "--model-dir", run, files[0], "-o", tmp_path / "alone.csv")
    own, together = answers(run / "predictions.csv"), answers(tmp_path / "together.csv")
    assert list(together) == list(own) and {"valence_pred", "arousal_pred", "prob_sad"} <= set(own)
    np.testing.assert_allclose(together, own.loc[together.index], atol=1e-6)
    np.testing.assert_allclose(answers(tmp_path / "alone.csv"), together.iloc[:1], atol=1e-6)


@pytest.mark.parametrize(
    "more",
    [
        ("--stages", THREE),
        ("--head", "attentive", "--long-texts", "pieces", "--max-tokens", 20, "--token-dropout", 0.2),
        ("--head", "mean", "--stages", "frozen", "--loss", "soft"),
    ],
    ids=["stages", "pieces", "frozen"],
)
def test_a_killed_run_goes_on_to_the_same_bytes(more, finetuned, stopped, manifest, tmp_path):
    whole = finetuned(*more)
    line = ("finetune", "--manifest", manifest, "--base-model", TINY, "-o", tmp_path / "other", *QUICK, *more)
    assert stopped(*line, "--checkpoint-steps", 1, write=9) is not False
    again = finetuned(*more, "--checkpoint-steps", 1, "--resume", name="other")
    for name in ("predictions.csv", "best_model/model.safetensors"):
        assert (whole / name).read_bytes() == (again / name).read_bytes(), name
    history = [pd.read_csv(run / "history.csv").filter(regex="loss|uar") for run in (whole, again)]
    pd.testing.assert_frame_equal(*history)


def test_what_a_frozen_network_makes_of_a_text_is_computed_once(finetuned, monkeypatch):
    monkeypatch.setattr(TextExamples, "costs", property(lambda rows: np.ones(len(rows.items))))  # the same batches
    once = finetuned("--head", "mean", "--stages", "frozen", "--dropout", 0)
    monkeypatch.setattr(Text, "encodes_once", False)
    anew = finetuned("--head", "mean", "--stages", "frozen", "--dropout", 0, name="anew")
    np.testing.assert_allclose(answers(once / "predictions.csv"), answers(anew / "predictions.csv"), atol=1e-5)


def test_a_frozen_stage_trains_the_head_alone(finetuned):
    from safetensors.torch import load_file

    from affectkit.models import tiny

    weights = load_file(finetuned("--stages", "frozen") / "best_model" / "model.safetensors")
    before = {f"bert.{name}": value for name, value in tiny.build(TINY, "text")[0].state_dict().items()}
    same = {name for name, value in before.items() if name in weights and weights[name].equal(value)}
    assert same == {name for name in before if "pooler" not in name}


def spoilt(tmp_path, **texts):
    table = drawn().set_index("id")
    for row_id, text in texts.items():
        table.loc[row_id, "text"] = text
    table.to_csv(tmp_path / "spoilt.csv")
    return tmp_path / "spoilt.csv"


def test_rows_without_text_are_refused_by_row_or_skipped_and_listed(finetuned, affectkit, tmp_path):
    data = spoilt(tmp_path, t00="", t09=" \t")
    assert "spoilt.csv row 1: has no text; fill it in" in finetuned(data=data, code=1)
    run = finetuned("--on-error", "skip", data=data)
    assert list(pd.read_csv(run / "skipped.csv")["id"]) == ["t00", "t09"]
    assert "t09" not in answers(run / "predictions.csv").index
    line = ("predict", "--model-dir", run, "--manifest", data, "--split", "test", "-o", tmp_path / "p.csv")
    assert "spoilt.csv row 10: has no text" in affectkit(*line, code=1).stderr
    assert "t09 is skipped: has no text" in affectkit(*line, "--on-error", "skip").stderr
    blank = tmp_path / "blank.txt"
    blank.write_text(" \n")
    assert f"{blank}: has no text" in affectkit("predict", "--model-dir", run, blank, code=1).stderr


@pytest.mark.parametrize("policy", ["head", "tail", "pieces"])
def test_emoji_single_characters_and_long_texts_are_read(policy, finetuned, affectkit, tmp_path):
    data = spoilt(tmp_path, t00="x " * 5000, t01="\U0001f600", t09="\U0001f62d " * 3333, t10="?", t11="word " * 2000)
    run = finetuned("--long-texts", policy, "--max-tokens", 24, data=data)
    assert answers(run / "predictions.csv").loc[["t09", "t10", "t11"]].notna().all().all()
    affectkit("predict", "--model-dir", run, "--manifest", data, "--split", "test", "-o", tmp_path / "p.csv")
    again = answers(tmp_path / "p.csv")
    np.testing.assert_allclose(again, answers(run / "predictions.csv").loc[again.index], atol=1e-6)


def test_texts_that_are_cut_are_counted(finetuned, affectkit, tmp_path):
    data = spoilt(tmp_path, t00="x " * 500)
    line = ("--max-tokens", 110, "--long-texts", "tail")
    result = affectkit("finetune", "--manifest", data, "--base-model", TINY, "-o", tmp_path / "run", *QUICK, *line)
    assert "1 of 24 texts are longer than 110 tokens: their tail is read" in result.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--head", "weighted"), "--head weighted; use cls, mean or attentive"),
        (("--max-seconds", 3), "text has no option --max-seconds; it is of speech"),
        (("--batch-seconds", 3), "text has no option --batch-seconds; it is of speech"),
        (("--augment", "light"), "text has no option --augment; it is of images, pictures, speech"),
        (("--max-tokens", 4000), "--max-tokens 4000: this checkpoint takes 128"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_options_that_make_no_sense(more, said, finetuned):
    assert said in finetuned(*more, code=2)


def test_passes_of_images_and_manifests_without_texts_are_refused(finetuned, affectkit, manifest, tmp_path):
    run = finetuned()
    text = tmp_path / "a.txt"
    text.write_text("joy")
    said = affectkit("predict", "--model-dir", run, text, "--tta", 3, code=2).stderr
    assert "--tta and --mc-dropout are of image networks, and this one reads text" in said
    drawn().drop(columns="text").to_csv(tmp_path / "silent.csv", index=False)
    assert "silent.csv: has no column 'text'" in finetuned(name="other", data=tmp_path / "silent.csv", code=1)


def test_texts_on_both_sides_are_counted_where_no_manifest_declares_them(affectkit, tmp_path):
    rows = drawn(24)
    rows["text"] = [f"sentence {number} of everybody" for number in range(24)]
    rows.loc[3, "text"], rows.loc[6, "text"] = "The same words!", "the same words"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    words = ("finetune", "-m", tmp_path / "rows.csv", "--base-model", TINY, "--epochs", 1, "--device", "cpu")
    result = affectkit(*words, "-o", tmp_path / "run")
    assert "warning: 1 rows have the same text as rows fitted on for them, as 't06'" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "weights"), [("cls", "equal"), ("mean", "uncertainty"), ("attentive", "label=2,severity=1,valence=.5")]
)
def test_classes_levels_and_numbers_side_by_side_where_rows_lack_some(
    head, weights, finetuned, affectkit, tmp_path, manifest
):
    """Levels are answered by a cumulative link, and weights of tasks are learned beside the network, not in it."""
    rows = pd.read_csv(manifest)
    rows["severity"] = rows["valence"].map({1.5: "severe", 2: "moderate", 4.5: "none"})
    rng = np.random.default_rng(1)
    lacking = (rows["split"] == "train").to_numpy()[:, None] & (rng.random((len(rows), 3)) < 0.5)
    targets = ["label", "severity", "valence"]
    rows[targets] = rows[targets].mask(lacking)
    folder = tmp_path / "manifest"
    folder.mkdir()
    rows.to_csv(folder / "folds.csv", index=False)
    levels = ["none", "mild", "moderate", "severe"]
    described = [
        {"name": "label", "kind": "class", "classes": list(WORDS)},
        {"name": "severity", "kind": "ordinal", "classes": levels},
        {"name": "valence", "kind": "number", "scale": [1, 5]},
    ]
    (folder / "summary.json").write_text(json.dumps({"schema": 1, "targets": described}))
    more = ("--target", "valence,severity,label", "--task-weights", weights, "--head", head, "--epochs", 20)
    run = finetuned(*more, data=folder)
    table = pd.read_csv(run / "predictions.csv").set_index("id")
    shares = table[[f"severity_prob_{level}" for level in levels]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    report = json.loads((run / "train_report.json").read_text())
    assert report["metrics"]["test_severity.kappa_quadratic"]["value"] > 0.5
    assert ("task_weights" in report) == (weights == "uncertainty")
    if weights == "uncertainty":
        assert np.mean(list(report["task_weights"].values())) == pytest.approx(1)
    affectkit("predict", "--model-dir", run, "--manifest", folder, "--split", "test", "-o", tmp_path / "again.csv")
    again = pd.read_csv(tmp_path / "again.csv").set_index("id")
    names = [name for name in again if "_prob_" in name or name.startswith("prob_") or name == "valence_pred"]
    np.testing.assert_allclose(again[names], table.loc[again.index, names], atol=1e-6)
    from safetensors.numpy import load_file

    assert not any("task" in name for name in load_file(run / "best_model" / "model.safetensors"))
    card = (run / "best_model" / "README.md").read_text()
    assert "severity: one of none, mild, moderate, severe, in this order: of its outputs s, a, d1" in card


@pytest.mark.slow
def test_targets_learned_together_are_compared_with_each_alone(finetuned, affectkit, stopped, manifest, tmp_path):
    more = ("--target", "label,valence", "--task-weights", "label=2", "--loss", "mse", "--separate")
    run = finetuned(*more)
    report = json.loads((run / "train_report.json").read_text())
    compared = {(row["part"], row["target"]): row for row in report["separate"]}
    assert set(compared) == {(part, name) for part in ("val", "test") for name in ("label", "valence")}
    together, alone = (pd.read_csv(run / name) for name in ("predictions.csv", "separate/predictions.csv"))
    assert list(together["id"]) == list(alone["id"]) and list(together) == list(alone)
    lone = finetuned("--target", "valence", "--loss", "mse", name="lone")
    np.testing.assert_array_equal(alone["valence_pred"], pd.read_csv(lone / "predictions.csv")["valence_pred"])
    lone = finetuned("--target", "label", name="other")  # --loss mse is of numbers
    np.testing.assert_array_equal(alone["prob_sad"], pd.read_csv(lone / "predictions.csv")["prob_sad"])
    row = compared["test", "valence"]
    assert row["difference"]["value"] == pytest.approx(row["first"] - row["second"])
    assert row["first"] == report["metrics"]["test_valence.ccc"]["value"] and not (run / "alone").exists()
    line = ("finetune", "--manifest", manifest, "--base-model", TINY, "-o", tmp_path / "killed", *QUICK, *more)
    assert stopped(*line, write=20)
    affectkit(*line, "--resume")
    for name in ("predictions.csv", "separate/predictions.csv", "train_report.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (run / name).read_bytes()
    refused = finetuned("--target", "label", "--separate", name="one", code=2)
    assert "--separate: there is one target, label" in refused
