"""A class that no fit row has: no fusion takes it to 0, and each says that it knows nothing of it."""

import numpy as np
import pytest

from affectkit import registry
from affectkit.fusion.ensemble import Ensemble

RULES = [name for name in registry.names("rules") if name not in ("inverse-variance", "route")]  # numbers; fits nothing
FEW = {"mlp": {"epochs": 3}}


@pytest.mark.parametrize("name", RULES)
def test_no_rule_takes_it_below_what_the_sources_say(name, class_sources):
    sources, rows = class_sources(rows=120)
    rule = registry.load("rules", name).build(**FEW.get(name, {}))
    seen = np.flatnonzero(rows.truth != 1)
    parameters = rule.fit({key: source.take(seen) for key, source in sources.items()}, rows.take(seen))
    answers = rule.apply(parameters, sources).values
    least = np.min([source.values[:, 1] for source in sources.values()], axis=0)
    assert (answers[:, 1] >= (least**3 if name == "product" else least - 1e-12)).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-9)
    assert parameters.get("unseen", [1]) == [1]


@pytest.mark.parametrize("name", ["stacked", "mlp"])
def test_where_all_classes_are_seen_nothing_is_kept(name, class_sources):
    sources, rows = class_sources(rows=60)
    assert "unseen" not in registry.load("rules", name).build(**FEW.get(name, {})).fit(sources, rows)


def test_a_stack_keeps_what_it_started_from_and_no_answer_where_there_is_none(class_sources):
    sources, rows = class_sources(rows=120, missing=0.2)
    seen = np.flatnonzero(rows.truth != 2)
    rule = registry.load("rules", "stacked").build()
    parameters = rule.fit({key: source.take(seen) for key, source in sources.items()}, rows.take(seen))
    answers, ensemble = rule.apply(parameters, sources).values, Ensemble.of(sources, "mean")
    known = ensemble.known.any(axis=0)
    assert 0 < known.sum() < len(known) and np.isnan(answers[~known]).all()
    if parameters["prior"] == "mean":
        np.testing.assert_allclose(answers[known, 2], ensemble.mean(np.ones(3))[known, 2], atol=1e-12)


def test_the_command_says_which_class(affectkit, tmp_path):
    rng = np.random.default_rng(0)
    lines = ["id,split,seen,speaker,label,prob_a,prob_b,prob_c"]
    for row in range(60):
        split, label = ("val", "ab"[row % 2]) if row < 40 else ("test", "abc"[row % 3])
        shares = ",".join(f"{share:.6f}" for share in rng.dirichlet([1, 1, 1]))
        lines.append(f"r{row},{split},heldout,s{row // 4},{label},{shares}")
    (tmp_path / "p.csv").write_text("\n".join(lines) + "\n")
    result = affectkit("fuse", f"x={tmp_path / 'p.csv'}", f"y={tmp_path / 'p.csv'}", "-o", tmp_path / "fused")
    assert "label: none of the rows fitted on is c: what fusing does for such rows is not known" in result.stderr
