"""The model card: `README.md` of a model folder, in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from affectkit.reporting import words
from affectkit.reporting.html import headline, shown


def model_card(facts: Mapping[str, Any]) -> str:
    """A model card in Markdown, from what is known; a fact that is missing is left out.

    facts, all but `targets` optional:
        name, affectkit (version), targets (`Target.to_json()` each)
        estimator, options (hyper-parameters as chosen), seed, class_weight, selected_on
        encoders: each `{"name", "checkpoint", ...}`; `tiny_random: true` marks random weights
        normalize: "train", "speaker" or "none"
        corpora: by name, `{"title", "licence", "citation", "language", "synthetic"}`
        declared: sentences; rows: `{"train": n, ...}`; groups: `{"column", "count"}`; hours
        metrics: by split, `{name: {"value", "low", "high"}}`; floors: `{floor: {name: value}}`; interval: `{"method", "level"}`
    """
    parts = [_front_matter(facts), f"# {_plain(facts.get('name', 'An affectkit model'))}", _marks(facts), _predicts(facts)]
    parts += ["## Intended use", words.INTENDED_USE, "## Limits", words.LIMITS, _declared(facts), words.AI_ACT]
    parts += ["## Data", _data(facts), "## Training", _training(facts)]
    if facts.get("metrics"):
        parts += ["## Figures", _figures(facts)]
    parts += ["## Use", "```\naffectkit predict --model-dir FOLDER FILES... -o predictions.csv\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(facts: Mapping[str, Any]) -> str:
    """YAML; strings are written as JSON, which YAML reads, so that no licence text can break it."""
    corpora = (facts.get("corpora") or {}).values()
    languages = sorted({c["language"] for c in corpora if c.get("language")})
    lines = ["library_name: affectkit"]
    lines += [f"language: {json.dumps(languages)}"] if languages else []
    return "\n".join(["---", *lines, 'tags: ["affective-computing", "emotion-recognition"]', "---"])


def _marks(facts: Mapping[str, Any]) -> str:
    marks = []
    if any(encoder.get("tiny_random") for encoder in facts.get("encoders") or []):
        marks.append("**Dry run: an encoder has random weights (tiny-random). What this model says means nothing.**")
    if any(corpus.get("synthetic") for corpus in (facts.get("corpora") or {}).values()):
        marks.append("**Fitted on synthetic data. What this model says about real people means nothing.**")
    return "\n\n".join(marks)


def _predicts(facts: Mapping[str, Any]) -> str:
    lines = []
    for target in facts["targets"]:
        if target["kind"] == "number":
            scale = target.get("scale")
            what = f"a number from {scale[0]:g} to {scale[1]:g}" if scale else "a number"
        else:
            what = f"one of {', '.join(map(_plain, target['classes']))}"
        lines.append(f"- {_plain(target['name'])}: {what}")
    return "Predicts\n\n" + "\n".join(lines)


def _declared(facts: Mapping[str, Any]) -> str:
    sentences = facts.get("declared") or []
    return "Declared by the corpus or its protocol:\n\n" + _bullets(map(_plain, sentences)) if sentences else ""


def _data(facts: Mapping[str, Any]) -> str:
    lines = []
    for name, corpus in (facts.get("corpora") or {}).items():
        licence = f"; licence: {_plain(corpus['licence'])}" if corpus.get("licence") else ""
        citation = f"; {_plain(corpus['citation'])}" if corpus.get("citation") else ""
        lines.append(f"{_plain(corpus.get('title') or name)}{licence}{citation}")
    rows = facts.get("rows") or {}
    if rows:
        lines.append("rows: " + ", ".join(f"{n} {split}" for split, n in rows.items()))
    groups = facts.get("groups")
    if groups:
        lines.append(f"{groups['count']} groups ({_plain(groups['column'])}) among the fit rows")
    if facts.get("hours"):
        lines.append(f"{facts['hours']:.2f} hours of media")
    return _bullets(lines) if lines else "Not recorded."


def _training(facts: Mapping[str, Any]) -> str:
    normalization = {"speaker": "transductive", "train": "inductive", "none": "inductive"}
    lines = [f"encoder: {_encoder(encoder)}" for encoder in facts.get("encoders") or []]
    if facts.get("estimator"):
        options = ", ".join(f"{key} = {value}" for key, value in (facts.get("options") or {}).items())
        lines.append(_plain(f"estimator: {facts['estimator']}" + (f" ({options})" if options else "")))
    if facts.get("normalize") == "none":
        lines.append("Inductive: features were not scaled.")
    elif facts.get("normalize"):
        lines.append(words.NORMALIZATION[normalization[facts["normalize"]]])
    for key, text in (("class_weight", "class weight"), ("selected_on", "selected on"), ("seed", "seed"), ("affectkit", "affectkit")):
        if facts.get(key) is not None:
            lines.append(f"{text}: {_plain(facts[key])}")
    return _bullets(lines) if lines else "Not recorded."


def _encoder(encoder: Mapping[str, Any]) -> str:
    checkpoint = f", {encoder['checkpoint']}" if encoder.get("checkpoint") else ""
    return _plain(f"{encoder.get('name', 'unknown')}{checkpoint}")


def _figures(facts: Mapping[str, Any]) -> str:
    floors = facts.get("floors") or {}
    head = ["split", "metric", "value", "interval", *(words.FLOORS.get(name, name) for name in floors)]
    rows = [head, ["---"] * len(head)]
    for split, metrics in facts["metrics"].items():
        for name in headline(metrics):
            figure = metrics[name]
            low, high = figure.get("low"), figure.get("high")
            brackets = "" if low is None or high is None else f"[{shown(low)}, {shown(high)}]"
            value = "-" if figure["value"] is None else shown(figure["value"])
            beside = [shown(of[name]) if of.get(name) is not None else "" for of in floors.values()]
            rows.append([split, words.title(name), value, brackets, *beside])
    table = "\n".join("| " + " | ".join(map(_plain, row)) + " |" for row in rows)
    return table + (f"\n\nIntervals: {words.interval(facts)}." if facts.get("interval") else "")


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _plain(text: Any) -> str:
    """Text that Markdown shows as it is: a class named `<b>` or `a|b` breaks neither page nor table."""
    text = " ".join(str(text).split())
    for sign in "\\`*_|#":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
