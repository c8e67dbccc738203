"""A model of a table of any columns behind `/v1/predict`."""

import numpy as np
import pandas as pd
import pytest
from serving_kit import opened

ROWS = 60
CELLS = ["age", "site", "seen", "note"]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    from affectkit.cli import run

    folder, rng = tmp_path_factory.mktemp("clinic"), np.random.default_rng(0)
    y = rng.integers(0, 2, ROWS)
    rows = pd.DataFrame({"id": [f"r{n}" for n in range(ROWS)], "label": np.array(["open", "healed"])[y]})
    rows["split"] = np.where(np.arange(ROWS) < 40, "train", "test")
    rows["age"] = 1 / 3 + y + rng.normal(size=ROWS)
    rows["site"] = rng.choice(["heel", "toe", "1"], ROWS)
    rows["seen"] = [f"2024-01-{n % 28 + 1:02}" for n in range(ROWS)]
    rows["note"] = [f"wound {n} is red" for n in range(ROWS)]
    rows.to_csv(folder / "rows.csv", index=False)
    line = ["train", "-m", folder / "rows.csv", "--features", "manifest:*", "--c-grid", 1, "-o", folder / "model"]
    run(list(map(str, line)))
    return folder, rows


def test_cells_of_every_kind_are_answered_as_by_predict(affectkit, clinic, tmp_path):
    folder, rows = clinic
    rows[CELLS].assign(age=rows["age"].where(rows.index != 3)).to_csv(tmp_path / "rows.csv", index=False)
    affectkit("predict", "--model-dir", folder / "model", tmp_path / "rows.csv", "-o", tmp_path / "p.csv")
    cells = rows[CELLS].to_dict("records")
    cells[3]["age"] = None
    cells = [{**row, "site": 1 if row["site"] == "1" else row["site"]} for row in cells]
    with opened({"clinic": folder / "model"}) as client:
        answer = client.post("/v1/predict", json={"rows": cells}).json()
    said = [result["answers"]["label"]["probabilities"]["open"] for result in answer["results"]]
    np.testing.assert_allclose(said, pd.read_csv(tmp_path / "p.csv")["prob_open"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("cell", "message"), [("age", "age 'old' is not a number"), ("seen", "seen 'old' is not a date")]
)
def test_a_cell_of_another_kind_is_refused_beside_answers_to_the_others(clinic, cell, message):
    folder, rows = clinic
    good = rows[CELLS].to_dict("records")[0]
    with opened({"clinic": folder / "model"}) as client:
        [first, second] = client.post("/v1/predict", json={"rows": [good, {**good, cell: "old"}]}).json()["results"]
        long = client.post("/v1/predict", json={"rows": [{**good, "note": "x" * 100_001}]})
    assert first["answers"]["label"]["prediction"] in ("open", "healed")
    assert message in second["error"]["message"]
    assert "/tmp" not in str(second)
    assert long.status_code == 413
