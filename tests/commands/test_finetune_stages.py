"""`finetune --init --beside --mix --stages two-stage` as a user runs it, on small pictures and a table."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from command_lines import ran
from PIL import Image
from typer.testing import CliRunner

from affectkit.cli import app
from affectkit.models.weights import read_tensors

pytestmark = pytest.mark.usefixtures("without_pages")
QUICK = ("--batch-size", 16, "--device", "cpu", "--num-workers", 0)
SLOW = pytest.mark.slow
CLASSES = ["prob_a", "prob_b", "prob_c"]


def table(path):
    return pd.read_csv(path, keep_default_na=False).set_index("id")


def report(run):
    return json.loads((run / "train_report.json").read_text())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Sixty pictures whose colour tells the class and a table that half tells it, of thirty patients."""
    folder, rng = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    truth, patient, rows = np.arange(60) % 3, np.arange(60) // 2, []
    for row in range(60):
        pixels = np.full((32, 32, 3), 100.0) + rng.normal(0, 20, (32, 32, 3))
        pixels[..., truth[row]] += 60
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{row}.png")
        split = ("train", "train", "val", "test", "test")[patient[row] % 5]
        rows.append({"id": f"r{row:02}", "path": f"{row}.png", "subject": f"p{patient[row]}", "split": split})
    manifest = pd.DataFrame(rows).assign(label=[("a", "b", "c")[k] for k in truth])
    manifest.to_csv(folder / "manifest.csv", index=False)
    manifest.drop(columns="split").assign(fold=patient % 3).to_csv(folder / "folds.csv", index=False)
    cells = 0.6 * np.eye(3)[truth] + rng.normal(0, 0.6, (60, 3))
    pd.DataFrame(cells, columns=["x", "y", "z"]).assign(id=manifest["id"]).to_csv(folder / "table.csv", index=False)
    return folder


def line(study, out, *more, manifest="manifest.csv"):
    return ("finetune", "--manifest", study / manifest, *more, *QUICK, "-o", out)


@pytest.fixture(scope="module")
def metadata(study):
    for name in ("manifest", "folds"):
        how = (
            "--manifest",
            study / f"{name}.csv",
            "--features",
            study / "table.csv",
            "--model",
            "linear",
            "--c-grid",
            1,
        )
        ran("train", *how, "--cv", "-o", study / f"metadata-{name}")
    return study / "metadata-manifest"


@pytest.fixture(scope="module")
def image(study):
    """An image network that has hardly been trained."""
    base = ("--base-model", "tiny-random:resnet", "--epochs", 1, "--learning-rate", "1e-6")
    ran(*line(study, study / "image", *base))
    return study / "image"


@pytest.fixture(scope="module")
def trained(study):
    """One that has learnt the colours."""
    base = ("--base-model", "tiny-random:resnet", "--epochs", 15, "--learning-rate", "1e-2")
    ran(*line(study, study / "trained", *base))
    return study / "trained"


@pytest.fixture(scope="module")
def overfitted(study, metadata, trained):
    """A second stage whose rate throws the network off. The output, and the run."""
    how = (
        "--monitor",
        "val_loss",
        "--init",
        trained,
        "--beside",
        f"metadata={metadata}",
        "--mix",
        ".7,.3",
        "--stages",
        "two-stage",
    )
    run = study / "overfitted"
    return ran(*line(study, run, *how, "--epochs", 2, "--learning-rate", 300)), run


def test_a_second_stage_that_hurts_is_undone_to_the_bit(overfitted, trained):
    said, run = overfitted
    for name in ("model.safetensors", "heads.safetensors"):
        before, after = (read_tensors(folder / "best_model" / name) for folder in (trained, run))
        assert before.keys() == after.keys()
        assert [key for key in before if not (before[key] == after[key]).all()] == [], name
    first, last = (table(run / "stages" / f"{name}.csv") for name in ("mixture", "unfrozen"))
    assert (first[CLASSES] == last[CLASSES]).all(axis=None)
    history = pd.read_csv(run / "history.csv")
    assert list(history["stage"]) == ["mixture", "unfrozen", "unfrozen"] and list(history["epoch"]) == [0, 1, 2]
    assert "nothing trains in stage 'mixture': evaluated once" in said
    assert "Stage unfrozen brought no better epoch and was undone" in said
    rows = report(run)["worth"]["stages"]
    assert {row["part"] for row in rows} == {"val", "test"} and all(row["undone"] for row in rows)
    assert all(row["difference"]["value"] == 0 for row in rows)


def test_what_is_fused_is_the_weighted_mean_of_the_branches(overfitted, metadata):
    _, run = overfitted
    fused, first, second = (
        table(run / name) for name in ("predictions.csv", "branches/metadata.csv", "branches/network.csv")
    )
    np.testing.assert_allclose(fused[CLASSES], 0.7 * first[CLASSES] + 0.3 * second[CLASSES], rtol=0, atol=1e-12)
    theirs = table(metadata / "predictions.csv").loc[fused.index]
    np.testing.assert_allclose(first[CLASSES], theirs[CLASSES], atol=1e-8)
    assert set(fused["seen"]) == {"heldout"}


def test_what_was_loaded_and_mixed_is_reported(overfitted):
    said, run = overfitted
    known = report(run)
    assert known["init"]["fits"][0]["missing"] == 0 and known["init"]["fits"][0]["heads"] == ["label"]
    assert known["init"]["chosen_by"] == "val" and "chosen by val" in said
    assert f"tensors {known['init']['fits'][0]['loaded']} loaded, 0 missing, 0 unexpected" in said
    assert "Shares of label: metadata 0.7" in said
    assert known["beside"]["shares"]["label"] == {"metadata": 0.7, "network": 0.3}
    branches = {(row["name"], row["part"]) for row in known["worth"]["branches"]}
    assert branches == {(name, part) for name in ("metadata", "network") for part in ("val", "test")}


def test_its_page_says_what_branches_and_stages_were_worth(overfitted, tmp_path):
    ran("report", overfitted[1], "-o", tmp_path / "page")
    page = (tmp_path / "page" / "report.html").read_text()
    assert "What branches and stages were worth" in page and "mixture over network alone" in page


def test_a_second_stage_that_helps_is_kept_and_its_interval_excludes_0(study, metadata, image):
    how = ("--init", image, "--beside", f"metadata={metadata}", "--mix", ".3,.7", "--stages", "two-stage")
    run = study / "helped"
    said = ran(*line(study, run, *how, "--epochs", 25, "--learning-rate", "1"))
    [worth] = [row for row in report(run)["worth"]["stages"] if row["part"] == "test"]
    assert not worth["undone"] and worth["better"] and worth["difference"]["low"] > 0
    assert "undone" not in said


@pytest.mark.parametrize("mix", ["learn", "layer"])
def test_what_a_mixture_learns_is_saved_and_served(study, metadata, image, tmp_path, mix):
    how = ("--init", image, "--beside", f"metadata={metadata}", "--mix", mix, "--stages", "two-stage")
    ran(*line(study, tmp_path / "run", *how, "--epochs", 2, "--learning-rate", "1e-1", "--bundle"))
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert list(history["stage"]) == ["mixture", "mixture", "unfrozen", "unfrozen"]
    shutil.move(tmp_path / "run", tmp_path / "moved")
    served(study, tmp_path / "moved", tmp_path / "again.csv")


def test_a_frozen_network_stays_as_it_is_while_its_mixture_learns(study, metadata, trained, tmp_path):
    """Batch norm's statistics among it; augmented images pass through it in every epoch."""
    how = ("--init", trained, "--beside", f"metadata={metadata}", "--mix", "layer", "--stages", "frozen")
    ran(*line(study, tmp_path / "run", *how, "--epochs", 2, "--learning-rate", "1e-1", "--augment", "flip=.5"))
    for name in ("model.safetensors", "heads.safetensors"):
        before, after = ((folder / "best_model" / name).read_bytes() for folder in (trained, tmp_path / "run"))
        assert before == after, name
    assert any((tensor != 0).any() for tensor in read_tensors(tmp_path / "run/best_model/mixture.safetensors").values())


def served(study, run, out):
    """The run answers for the test rows as its predictions do."""
    ask = ("--manifest", study / "manifest.csv", "--features", study / "table.csv", "--split", "test")
    ran("predict", "--model-dir", run, *ask, "--device", "cpu", "-o", out)
    known, again = table(run / "predictions.csv"), table(out)
    np.testing.assert_allclose(again[CLASSES], known.loc[again.index, CLASSES], atol=1e-6)
    assert len(again) == (known["split"] == "test").sum()


def test_it_is_selected_with_its_parents_and_answers_there(study, overfitted, image, tmp_path):
    ran("select", overfitted[1], image, "--by", "val_accuracy", "--no-ties", "-o", tmp_path / "best")
    chosen = json.loads((tmp_path / "best" / "model_selection.json").read_text())["chosen"]
    if chosen == "overfitted":
        assert (tmp_path / "best" / "best_model" / "parents" / "metadata" / "affectkit.json").exists()
    served(study, overfitted[1], tmp_path / "again.csv")


def test_a_table_is_mixed_but_not_served(study, metadata, image, tmp_path):
    shutil.copy(metadata / "predictions.csv", tmp_path / "table.csv")
    how = ("--init", image, "--beside", f"metadata={tmp_path / 'table.csv'}", "--mix", ".7,.3", "--stages", "frozen")
    ran(*line(study, tmp_path / "run", *how))
    said = ran("predict", "--model-dir", tmp_path / "run", "--manifest", study / "manifest.csv", code=1)
    assert "its source 'metadata' is only a table" in said


# Folds


@pytest.fixture(scope="module")
def folds(study):
    base = ("--base-model", "tiny-random:resnet", "--epochs", 1, "--learning-rate", "1e-3", "--cv", "--keep-folds")
    ran(*line(study, study / "folds", *base, manifest="folds.csv"))
    return study / "folds"


def test_in_every_fold_both_branches_are_of_the_rows_inside(study, metadata, folds, tmp_path):
    source = study / "metadata-folds"
    how = ("--init", folds, "--beside", f"metadata={source}", "--mix", ".7,.3", "--stages", "two-stage", "--epochs", 1)
    ran(*line(study, tmp_path / "run", *how, "--learning-rate", 300, "--cv", manifest="folds.csv"))
    known = report(tmp_path / "run")
    assert known["beside"]["nested"] == {"metadata": "nested"} and len(known["init"]["fits"]) == 4
    # The answers for outside rows are those of fits on all rows inside, as the source's own folds have them; and the
    # network's, of which nothing was trained, those of the folds that were kept.
    for name, run in (("metadata", source), ("network", folds)):
        ours, theirs = table(tmp_path / "run" / "branches" / f"{name}.csv"), table(run / "predictions.csv")
        np.testing.assert_allclose(ours[CLASSES], theirs.loc[ours.index, CLASSES], atol=1e-6)
    assert all(row["undone"] and row["folds_undone"] == 3 for row in known["worth"]["stages"])
    assert {row["part"] for row in known["worth"]["branches"]} == {"oof"}


def test_a_source_that_cannot_be_fitted_again_is_told(study, metadata, folds, tmp_path):
    shutil.copy(study / "metadata-folds" / "predictions.csv", tmp_path / "table.csv")
    how = ("--init", folds, "--beside", f"metadata={tmp_path / 'table.csv'}", "--stages", "frozen", "--epochs", 1)
    said = ran(*line(study, tmp_path / "run", *how, "--cv", manifest="folds.csv"))
    assert "--beside metadata is not fitted again inside folds" in said and "metadata is not nested: " in said
    assert report(tmp_path / "run")["beside"]["nested"]["metadata"].startswith("not nested: ")
    assert report(tmp_path / "run")["beside"]["weights"] == [0.5, 0.5]


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--base-model", "tiny-random:resnet", "--mix", ".7,.3"), "--mix has nothing to mix"),
        ((), "there is no --base-model to fine-tune"),
        (("--base-model", "tiny-random:resnet", "--keep-folds"), "--keep-folds keeps folds, and there are none"),
        (("--init", "{image}", "--cv"), "--init with --cv needs the network of each fold"),
        (("--init", "{metadata}"), "a network starts from a fine-tuned one"),
        (("--init", "{image}", "--early-stopping-fraction", ".2"), "was fitted on rows that choose the epoch here"),
        (("--init", "{image}", "--beside", "m={metadata}", "--mix", ".7,.4"), "sums to 1.1, not 1"),
        (("--init", "{image}", "--beside", "network={metadata}"), "what the network itself is called"),
        (("--init", "{image}", "--beside", "m={image}"), "was fitted on id 'r00', and has no cross-fitted answer"),
    ],
)
def test_what_is_refused_before_any_training(study, metadata, image, tmp_path, options, message):
    options = [word.format(image=image, metadata=metadata) for word in options]
    done = CliRunner().invoke(app, list(map(str, line(study, tmp_path / "run", *options))))
    assert done.exit_code in (1, 2) and message in " ".join(done.output.split()), done.output
    assert not (tmp_path / "run" / "history.csv").exists()


# Interruptions


@pytest.mark.parametrize(
    ("mix", "cv", "step"),
    [
        ("learn", False, 12),
        pytest.param("learn", False, 4, marks=SLOW),
        pytest.param(".7,.3", False, 4, marks=SLOW),
        pytest.param("learn", True, 40, marks=SLOW),
    ],
)
def test_a_killed_run_goes_on_to_the_same_bits(study, metadata, image, folds, tmp_path, stopped, mix, cv, step):
    """In folds, each frozen network has its own encodings and each source its own answers, kept until the end."""
    table, start = (study / "metadata-folds", folds) if cv else (metadata, image)
    how = ("--init", start, "--beside", f"metadata={table}", "--mix", mix, "--stages", "two-stage", "--epochs", 2)
    how = (*how, "--learning-rate", "1", *(["--cv", "--keep-folds"] if cv else []))
    manifest = "folds.csv" if cv else "manifest.csv"
    ran(*line(study, tmp_path / "through", *how, manifest=manifest))
    asked, write = line(study, tmp_path / "run", *how, manifest=manifest), 3
    while stopped(*asked, *(["--resume"] if write > 3 else []), write=write):
        write += step
        assert write < 500
    written = {path.relative_to(tmp_path / "through") for path in (tmp_path / "through").rglob("*.*") if path.is_file()}
    assert written == {path.relative_to(tmp_path / "run") for path in (tmp_path / "run").rglob("*.*") if path.is_file()}
    for name in written:
        if name.suffix in (".csv", ".safetensors") and name.name != "steps.csv":
            assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "through" / name).read_bytes(), name
    assert not [name for name in written if name.name.startswith(("answers", "encoded", "beside"))]
