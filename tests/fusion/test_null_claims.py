"""How often `fuse` says that fusing helps when it does not: a source, and one of pure noise, seen by few speakers."""

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, with_outputs
from affectkit.fusion.align import AlignedSources
from affectkit.fusion.fuse import fuse
from affectkit.labels import Target
from affectkit.leakage.crossfit import plan_fit

LABEL = Target("label", "class", ("angry", "calm", "sad"))


def softmax(scores):
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def study(rng, speakers, rows=30):
    """Speakers differ in how well they are read; the second source never says anything."""
    count = speakers * rows
    truth = rng.integers(3, size=count)
    skill = np.clip(rng.normal(1.5, 0.7, speakers), 0, None).repeat(rows)
    voice = softmax(rng.normal(0, 1, (count, 3)) + skill[:, None] * np.eye(3)[truth])
    answers = {
        "voice": TargetPrediction.of(LABEL, voice),
        "noise": TargetPrediction.of(LABEL, softmax(rng.normal(0, 1, (count, 3)))),
    }
    frame = pd.DataFrame({"id": [f"r{i:04d}" for i in range(count)], "seen": "oof"})
    frame["label"] = np.array(LABEL.classes)[truth]
    frame["speaker"] = np.repeat([f"s{k:02d}" for k in range(speakers)], rows)
    table = with_outputs(Predictions(frame, {"label": LABEL}), [answers["voice"]], frame["seen"])
    return AlignedSources(table, {"label": answers})


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "repeats"), [("greedy", 100), ("weighted", 100), ("stacked", 20)])
@pytest.mark.parametrize("speakers", [2, *(pytest.param(n, marks=pytest.mark.figures) for n in (4, 10, 24))])
def test_noise_is_said_to_help_in_at_most_5_percent_of_cases(rule, repeats, speakers):
    rng = np.random.default_rng(speakers)
    claims = 0
    for _ in range(repeats):
        aligned = study(rng, speakers)
        [verdict] = fuse(aligned, rule, {}, plan_fit(aligned.rows)).verdicts
        claims += verdict.helps
    assert claims / repeats <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / repeats)
