"""The model card: `README.md` of a model folder, in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from affectkit.instruments import apparent, no_diagnosis, scores_of, traits_of
from affectkit.plain import printable, shown
from affectkit.results import words
from affectkit.results.words import headline

# How the outputs of a network are to be read by whoever loads it without affectkit.
LINK = (
    ": of its outputs s, a, d1, d2, ... the chance of the first k levels is sigmoid(t(k) - s), where t(1) = r a, "
    "t(k + 1) = t(k) + softplus(r d(k)) + 0.0001, and r is the root of the number of features before the last layer"
)


def model_card(facts: Mapping[str, Any]) -> str:
    """A model card in Markdown, from what is known; a fact that is missing is left out.

    facts: `spec`, what `affectkit.json` says (only its `targets` are needed). Optional: `name`; `summary`, of the
    manifest (corpora, declared, hours); `fit_rows` and `fit_groups`, how many; `selected_on`; `seed`; `affectkit`, the
    version; `reports`, what `assess` gave for each part: `{"oof": {...}, "test": {...}}`.
    """
    spec, summary = facts["spec"], facts.get("summary") or {}
    corpora, declared = summary.get("corpora") or {}, summary.get("declared") or []
    parts = [_front_matter(corpora), f"# {_plain(facts.get('name') or 'An affectkit model')}", _marks(spec, corpora)]
    scores, traits = scores_of(spec["targets"], corpora.values()), traits_of(spec["targets"])
    parts += [_predicts(spec), "## Intended use", words.INTENDED_USE, *_scores(scores), *_traits(traits)]
    parts += ["## Limits", words.LIMITS]
    parts += ["Declared by the corpus or its protocol:\n\n" + _bullets(map(_plain, declared))] if declared else []
    named = [{"name": name, **corpus} for name, corpus in corpora.items()]
    parts += [f"To be known of its data:\n\n{_bullets(map(_plain, notes))}" for notes in [words.notes(named)] if notes]
    parts += [
        " ".join([words.AI_ACT, *([words.AI_ACT_HEALTH] if scores else []), *([words.AI_ACT_TRAITS] if traits else [])])
    ]
    parts += ["## Data", _data(facts, summary), "## Training", _training(facts)]
    if facts.get("reports"):
        parts += ["## Figures", _figures(facts["reports"])]
    rows = "--manifest MANIFEST" if "pictures" in spec.get("needs", ()) or "sequence" in spec else "FILES..."
    parts += ["## Use", f"```\naffectkit predict --model-dir FOLDER {rows} -o predictions.csv\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _is_random(encoder: Mapping[str, Any]) -> bool:
    """Whether an encoder's weights are the random ones of a dry run."""
    return "tiny-random" in json.dumps(encoder) or bool(encoder.get("tiny_random"))


def _front_matter(corpora: Mapping[str, Any]) -> str:
    """YAML; strings are written as JSON, which YAML reads, so that no name can break it."""
    languages = sorted({corpus["language"] for corpus in corpora.values() if corpus.get("language")})
    lines = ["library_name: affectkit"] + [f"language: {json.dumps(languages)}"] * bool(languages)
    return "\n".join(["---", *lines, 'tags: ["affective-computing", "emotion-recognition"]', "---"])


def _marks(spec: Mapping[str, Any], corpora: Mapping[str, Any]) -> str:
    marks = []
    # What a model stands on: encoders of features, what it was fine-tuned from, or an expert.
    networks = [*(spec.get("features") or []), spec.get("base"), spec.get("expert_facts")]
    if any(_is_random(network) for network in networks if network):
        marks.append("**Dry run: an encoder has random weights (tiny-random). What this model says means nothing.**")
    synthetic = any(corpus.get("synthetic") for corpus in corpora.values())
    if synthetic and spec.get("expert"):
        marks.append("**Judged on synthetic data: the figures say nothing about real people.**")
    elif synthetic:
        marks.append("**Fitted on synthetic data. What this model says about real people means nothing.**")
    return "\n\n".join(marks)


def _predicts(spec: Mapping[str, Any]) -> str:
    lines = []
    for target in spec["targets"]:
        if target["kind"] == "number":
            scale = target.get("scale")
            what = f"a number from {scale[0]:g} to {scale[1]:g}" if scale else "a number"
        else:
            what = f"one of {', '.join(map(_plain, target['classes']))}"
            if target["kind"] == "ordinal":
                what += ", in this order"
                what += LINK if spec.get("kind") == "finetuned" and len(target["classes"]) > 2 else ""
        lines.append(f"{_plain(target['name'])}: {what}")
    return "Predicts\n\n" + _bullets(lines)


def _scores(scores: Mapping[str, str]) -> list[str]:
    """What scores of mental health are, and what they are for; nothing where none is predicted."""
    if not scores:
        return []
    what = _bullets(f"{_plain(name)}: {_plain(text)}" for name, text in scores.items())
    [sentence] = no_diagnosis(map(_plain, scores))
    return [f"**{sentence}.**", words.HEALTH_USE, f"What the scores are:\n\n{what}"]


def _traits(traits: list[str]) -> list[str]:
    """What traits of personality are, and what they are for; nothing where none is predicted."""
    return [f"**{sentence}.**\n\n{words.TRAITS_USE}" for sentence in apparent(map(_plain, traits))]


def _data(facts: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    spec, lines = facts["spec"], []
    for name, corpus in (summary.get("corpora") or {}).items():
        licence = f"; licence: {_plain(corpus['licence'])}" if corpus.get("licence") else ""
        citation = f"; {_plain(corpus['citation'])}" if corpus.get("citation") else ""
        lines.append(f"{_plain(corpus.get('title') or name)}{licence}{citation}")
    if facts.get("fit_rows") is not None:
        column = spec.get("group")
        groups = f" of {facts['fit_groups']} groups ({_plain(column)})" if facts.get("fit_groups") and column else ""
        here = "nothing was fitted here: what the expert was fitted on is its authors' to say; judged on the rows below"
        fitted = f"fitted on {facts['fit_rows']} rows{groups}" if facts["fit_rows"] else "nothing is fitted"
        lines.append(here if spec.get("expert") else fitted)
    if summary.get("transcripts"):
        lines.append(f"texts: {_plain(words.texts(summary['transcripts']))}")
    if summary.get("hours"):
        lines.append(f"{summary['hours']:.2f} hours of media in the manifest")
    return _bullets(lines) if lines else "Not recorded."


def _training(facts: Mapping[str, Any]) -> str:
    spec = facts["spec"]
    lines = [f"encoder: {_encoder(encoder)}" for encoder in spec.get("features") or []]
    if spec.get("base"):
        lines.append(f"fine-tuned from: {_plain(spec['base']['checkpoint'])}, head: {_plain(spec['head'])}")
    if spec.get("expert"):
        lines += _expert(spec)
    if spec.get("estimator"):
        lines += [f"estimator: {_plain(spec['estimator'])}", *_preset(spec)]
    lines += [f"chosen for {_plain(t)}: {_options(o)}" for t, o in (spec.get("chosen") or {}).items() if o]
    for key in ("method", "rule"):
        if spec.get(key):
            on = f", fitted on {_plain(spec['fitted_on'])} rows, cross-fitted" if spec["fitted_on"] else ""
            lines.append(f"{key}: {_plain(spec[key])}{on}")
    if spec.get("sequence"):
        one = f"one answer for each {', '.join(map(_plain, spec['sequence']))}"
        lines.append(f"{one}: its rows, in the order of {_plain(spec['time'])}, are the frames that it pools")
    if spec.get("columns"):
        lines.append(f"needs of every row: {', '.join(map(_plain, spec['columns']))}")
    lines += [f"stands on: {_plain(p['name'])}{'' if p['path'] else ' (a table)'}" for p in spec.get("parents") or []]
    if spec.get("normalize") == "none":
        lines.append("Features were not scaled.")
    elif spec.get("normalize"):
        lines.append(words.NORMALIZATION["transductive" if spec["normalize"] == "speaker" else "inductive"])
    known = {**spec, **facts}
    if all(target["kind"] == "number" for target in spec["targets"]):
        known.pop("class_weight", None)
    for key in ("class_weight", "selected_on", "seed", "affectkit"):
        if known.get(key) is not None:
            lines.append(f"{key.replace('_', ' ')}: {_plain(known[key])}")
    return _bullets(lines) if lines else "Not recorded."


def _preset(spec: Mapping[str, Any]) -> list[str]:
    """What a network whose options a preset gave has in common with the published one, and what not."""
    from affectkit.estimators.cross_attention import COMMON, DIFFERENT, PUBLISHED

    if spec["estimator"] != "cross-attention" or spec.get("options", {}).get("preset") != PUBLISHED:
        return []
    return [f"preset {PUBLISHED}, but for options that were given: {COMMON}", f"what differs: {DIFFERENT}"]


def _expert(spec: Mapping[str, Any]) -> list[str]:
    """What it is, under which licence, and which part of an image it sees."""
    known = spec["expert_facts"]
    kind = "face expert" if "detector" in spec else "text expert"
    what = f", {known['kind']}" if "kind" in known else ""
    lines = [
        f"{kind}: {_plain(spec['expert'] + what)}; weights: SHA-256 {known['weights'][:16]}...",
        f"licence of the weights: {_plain(spec['licence'])}",
        *(f"{_plain(language)}: {_plain(words)}" for language, words in known.get("lexicons", {}).items()),
    ]
    return lines + (_crop(spec) if "crop" in spec else [])


def _crop(spec: Mapping[str, Any]) -> list[str]:
    crop = spec["crop"]
    squares = f"their box, {crop['box_scale']:g} times its longer side"
    if crop.get("landmark_side"):
        squares = f"68 landmarks where there are any ({crop['landmark_side']:g} times width + height), else {squares}"
    views = "with its mirror image" if crop["flip_average"] else ""
    views = f"{spec['tta']} views of each" if spec["tta"] > 1 else views
    return [
        f"faces found by: {_plain(spec['detector'])}; of several the {_plain(crop['policy'])} one",
        ", ".join(part for part in (f"sees squares around {squares}", f"{crop['size']} pixels wide", views) if part),
    ]


def _encoder(encoder: Mapping[str, Any]) -> str:
    name, options = encoder.get("encoder") or encoder.get("name") or "a table of features", encoder.get("options")
    return _plain(name) + (f" ({_options(options)})" if options else "")


def _options(options: Any) -> str:
    if not isinstance(options, Mapping):
        return _plain(options)
    return _plain(", ".join(f"{key} = {value}" for key, value in options.items() if value not in (None, "")))


def _figures(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """The key figures of each part, with interval and floor; the method of the intervals below."""
    lines = ["| rows | metric | value | interval | floor |", "| --- | --- | --- | --- | --- |"]
    notes = []
    for part, report in reports.items():
        floors = (report.get("floors") or {}).values()
        for name in headline(report["metrics"], targets=report.get("targets", ())):
            figure = report["metrics"][name]
            low, high = figure.get("low"), figure.get("high")
            brackets = "" if low is None or high is None else f"[{shown(low)}, {shown(high)}]"
            beside = next((shown(floor[name]) for floor in floors if floor.get(name) is not None), "")
            value = "-" if figure["value"] is None else shown(figure["value"])
            lines.append("| " + " | ".join(map(_plain, (part, words.title(name), value, brackets, beside))) + " |")
        rows = f"{report['n']} {words.judged(report)}, {words.seen(report)}"
        notes.append(_plain(f"{part}: {rows}; intervals: {words.interval(report)}"))
    return "\n".join(lines) + "\n\n" + _bullets(notes)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _plain(text: Any) -> str:
    """Text that Markdown shows as it is: a class named `<b>` or `a|b` breaks neither page nor table."""
    text = printable(" ".join(str(text).split()))
    for sign in "\\`*_|#":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
