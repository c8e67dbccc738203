"""Labels that people gave to the rows of --manifest: labels.jsonl, exports of Label Studio, answers of Prodigy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from affectkit import registry
from affectkit.artifacts.annotations import Annotation, Annotations, open_journal
from affectkit.artifacts.exchange import read_labels
from affectkit.artifacts.files import write_json
from affectkit.artifacts.manifest import AUDIT, Manifest, read_manifest, write_manifest
from affectkit.artifacts.records import digest
from affectkit.artifacts.tables import read_table, to_numbers
from affectkit.corpora import _gather
from affectkit.corpora._answers import RATERS, Answers, answered, columns_beside, joined_targets, new_classes
from affectkit.corpora._corpus import Corpus, Defect
from affectkit.corpora._gather import Base, Choices, Gathered
from affectkit.errors import AffectkitError, listed
from affectkit.evaluation.consensus import MergeClasses, MergeNumbers, Rules, Ties, merged
from affectkit.evaluation.raters import against_others, between_raters
from affectkit.labels import Target
from affectkit.plain import comma_separated, shown
from affectkit.registry import Option
from affectkit.synthesis import scores, twins

if TYPE_CHECKING:
    import pandas as pd

CORPUS = Corpus(
    title="a manifest with labels that people gave",
    licence="each corpus keeps its own",
    citation="cite each corpus",
    official="the manifest's own splits and folds",
    default_group="",
)
COMMENTS = "comments.csv"


def gather(
    roots: Sequence[Path],
    *,
    manifest: Annotated[
        Path | None, Option("Manifest whose rows were labelled: a folder, or one of its CSV files.", short="-m")
    ] = None,
    merge: Annotated[
        MergeClasses,
        Option(
            "How several people's classes become one label: majority; soft, the same with their shares in "
            "votes_<class>; or dawid-skene, each weighed by how reliable they seem (three people or more)."
        ),
    ] = "majority",
    merge_numbers: Annotated[MergeNumbers, Option("How several people's numbers become one.")] = "mean",
    ties: Annotated[
        Ties,
        Option(
            "Rows on which people tie: skip them, so that they stay as the manifest has them, or take the first of "
            "the tied answers (by the order of --annotators, else of the answers)."
        ),
    ] = "skip",
    min_raters: Annotated[int, Option("People who must have labelled a row for it to get a label.", least=1)] = 1,
    annotators: Annotated[str, Option("People whose answers count, comma-separated.", default="all")] = "",
    keep_labels: Annotated[
        bool, Option("Whether a label that the manifest has is kept; otherwise people's takes its place.")
    ] = False,
) -> Gathered:
    """The manifest's rows with what people answered to them: its splits, folds, media, other columns and audit stay.

    Of one person's answers to a row the last one counts. Raises "usage" without a manifest and for an unknown person,
    "input" for journals and a manifest that do not fit each other; answers to rows that it lacks are dropped.
    """
    if manifest is None:
        remedy = "name it with --manifest"
        raise AffectkitError("usage", "labels are added to the manifest whose rows were labelled", remedy=remedy)
    base = read_manifest(manifest)
    journals = [read_labels(root, base.targets.values()) for root in roots]
    answers = answered(journals, base, comma_separated(annotators))
    targets, rules = joined_targets(journals, answers, base), Rules(merge, merge_numbers, ties, min_raters)
    rows, facts = _labelled(base, answers, targets, rules, keep_labels)
    label_map, audit = base.beside()
    defects = tuple(Defect(*defect) for defect in base.summary.get("defects", []))
    corpus = replace(CORPUS, defects=defects, default_group=base.summary.get("group") or "")
    every = base.targets | targets
    further = tuple(target for target in every.values() if target.name != "label")
    asked = {"merge": merge, "merge_numbers": merge_numbers, "ties": ties, "min_raters": min_raters}
    section = {**_section(journals, base, answers), **asked, "keep_labels": keep_labels, "targets": facts}
    known = Base(
        base.summary, label_map, audit, every.get("label"), {"annotations": section}, _comments(answers, base),
        [_in_words(name, told) for name, told in facts.items()], _warnings(facts),
    )  # fmt: skip
    return Gathered(rows, further, dict(base.summary.get("corpora", {})), corpus, answers.dropped, base=known)


# --- The rows, with labels and what is left of disagreement


def _labelled(
    base: Manifest, answers: Answers, targets: Mapping[str, Target], rules: Rules, keep: bool
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows, and by target what `summary.json` says of it."""
    rows, people, facts = base.rooted(), list(answers.raters), {}
    heard = np.zeros(len(rows), bool)
    for name, target in targets.items():
        ratings = answers.ratings(target)
        one = merged(ratings, target, len(rows), people, rules)
        before, before_known = _cells(rows, target)
        given = ~np.isnan(one.values)
        new = given & ~(keep & before_known)
        heard |= (told := new | (one.tied & ~before_known))
        after = _as_cells(one.values[new], target)
        changed = before[new & before_known] != after[before_known[new]]
        before[new] = after
        rows[name] = before
        for column, cells in zip(columns_beside(target), one.apart.T, strict=True):
            rows[column] = np.where(told, cells, _numbers(rows, column))
        others = against_others(ratings, target, len(people))
        facts[name] = {
            "kind": target.kind,
            "rows": int(new.sum()),
            "test_rows": int((new & (rows["split"] == "test").to_numpy()).sum()) if "split" in rows else 0,
            "raters": {str(n): int(times) for n, times in sorted(Counter(one.raters[new].tolist()).items())},
            "ties": int(one.tied.sum()),
            "too_few_raters": int(((one.raters > 0) & (one.raters < rules.least)).sum()),
            "kept": int((given & ~new).sum()),
            "relabelled": int((new & before_known).sum()),
            "changed": int(changed.sum()),
            "new_classes": new_classes(target, base.targets),
            "agreement": between_raters(ratings, target, people),
            "annotators": {who: told for who, told in zip(people, others, strict=True) if told["answers"]},
            **({"dawid_skene": dict(one.facts)} if one.facts else {}),
        }
    many = np.bincount([answers.places[each.id] for each in answers.given if each.labels], minlength=len(rows))
    rows[RATERS] = np.where(heard, many, _numbers(rows, RATERS))
    return rows, facts


def _cells(rows: pd.DataFrame, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """[N] the cells that a target has now, and [N] bool which of them say something."""
    if target.kind == "number":
        numbers = _numbers(rows, target.name).copy()
        return numbers, ~np.isnan(numbers)
    cells = rows[target.name].to_numpy(object, copy=True) if target.name in rows else np.full(len(rows), "", object)
    return cells, cells != ""


def _as_cells(values: np.ndarray, target: Target) -> np.ndarray:
    if target.kind == "number":
        return values
    return np.array(target.classes, object)[values.astype(np.int64)]


def _numbers(rows: pd.DataFrame, column: str) -> np.ndarray:
    return to_numbers(rows[column], column=column) if column in rows else np.full(len(rows), np.nan)


def _comments(answers: Answers, base: Manifest) -> dict[str, pd.DataFrame]:
    """What people wrote beside their answers, behind what stands beside the manifest already."""
    import pandas as pd

    columns = ["id", "annotator", "at", "comment"]
    new = [(each.id, each.annotator, each.at, each.comment) for each in answers.given if each.comment]
    tables = [pd.DataFrame(new, columns=columns).replace("\0", "", regex=True)] if new else []  # no table holds NUL
    if (before := base.path / COMMENTS).exists():
        tables.insert(0, read_table(before, required=columns))
    return {COMMENTS: pd.concat(tables, ignore_index=True).drop_duplicates()} if tables else {}


# --- What is said of it


def _section(journals: Sequence[Annotations], base: Manifest, answers: Answers) -> dict[str, Any]:
    """Of `summary.json`, what concerns all targets; where the manifest has such a section already, it comes along."""
    by_person: dict[str, list[Annotation]] = {name: [] for name in answers.raters}
    for each in answers.given:
        by_person[each.annotator].append(each)
    before = dict(base.summary.get("annotations", {}))
    earlier = [*before.pop("before", []), before] if before else []
    return {
        "journals": [{**digest(journal.path), "answers": len(journal.given)} for journal in journals],
        "annotators": {name: _person(given) for name, given in by_person.items()},
        "unknown_rows": len(answers.dropped),
        **({"before": earlier} if earlier else {}),
    }


def _person(given: Sequence[Annotation]) -> dict[str, Any]:
    seconds = [each.seconds for each in given if each.seconds is not None]
    counts = {"answers": len(given), "skipped": sum(each.skipped for each in given)}
    counts["comments"] = sum(bool(each.comment) for each in given)
    return {**counts, "median_seconds": median(seconds) if seconds else None}


def _in_words(name: str, facts: Mapping[str, Any]) -> str:
    """`label: 120 rows labelled, 3 tied, 12 relabelled (4 changed); alpha 0.710 (0.620 to 0.790) over 80 rows`."""
    counts = [f"{_rows(facts['rows'])} labelled"]
    counts += [f"{facts['ties']} tied"] * bool(facts["ties"])
    counts += [f"{facts['too_few_raters']} with too few raters"] * bool(facts["too_few_raters"])
    counts += [f"{facts['kept']} kept"] * bool(facts["kept"])
    counts += [f"{facts['relabelled']} relabelled ({facts['changed']} changed)"] * bool(facts["relabelled"])
    agreement = facts["agreement"]
    if "undefined" in agreement:
        beyond = f"no agreement can be told: {agreement['undefined']}"
    else:
        value, low, high = (agreement["alpha"][key] for key in ("value", "low", "high"))
        around = f" ({shown(low)} to {shown(high)})" if low == low else ""
        beyond = f"alpha {shown(value)}{around} over {_rows(agreement['rows'])} of several raters"
    return f"{name}: {', '.join(counts)}; {beyond}"


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"


def _warnings(facts: Mapping[str, Any]) -> list[str]:
    warnings = []
    for name, told in facts.items():
        if told["new_classes"]:
            warnings.append(f"{name}: new to the manifest, and last in its order: {listed(told['new_classes'])}")
        if told["test_rows"]:
            rows = _rows(told["test_rows"])
            warnings.append(f"{name}: {rows} of test labelled: figures on test do not compare with earlier ones")
        fitted = told.get("dawid_skene")
        if fitted and told["agreement"]["raters"] < 3:
            warnings.append(f"{name}: of fewer than three raters Dawid-Skene cannot tell who is right")
        elif fitted and not fitted["converged"]:
            warnings.append(f"{name}: Dawid-Skene has not settled within {fitted['iterations']} steps")
    return warnings


# --- The synthetic twin


PEOPLE = {"ann": 0.9, "bob": 0.75, "cem": 0.6}  # how often each says what was meant
AT = "2026-01-01T12:00:00.000+00:00"
VALENCE = Target("valence", "number", scale=(1.0, 5.0))


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin of EmoDB, a manifest of it that lacks most labels of its train rows, and `labels.jsonl`, in which
    three people of unlike skill answer these and some that have one."""
    from affectkit.corpora._assemble import assemble  # brings Pillow, with the detectors

    twins.write_readme(root, "labels", size=size, speakers=speakers, seed=seed)
    emodb = registry.load("corpora", "emodb")
    emodb.synthesize(root / "emodb", size=size, speakers=speakers, seed=seed)
    choices = Choices(preset="4class", split_by="speaker")
    corpus = _gather.gather(emodb, "emodb", [root / "emodb"], {})
    made = assemble(corpus, choices, lambda what: nullcontext(lambda done, total: None))
    rows, meant = made.rows, made.rows["label"].tolist()
    rng = twins.generator(seed, "answers")
    train = (rows["split"] == "train").to_numpy()
    without, again = train & (rng.random(len(rows)) < 0.7), train & (rng.random(len(rows)) < 0.2)
    rows["label"] = np.where(without, "", rows["label"])
    write_manifest(root / "manifest", rows, made.summary, made.label_map)
    write_json(root / "manifest" / AUDIT, made.audit)
    label = Target("label", "class", tuple(made.label_map["classes"]))
    with open_journal(root / "labels.jsonl", [label, VALENCE]) as journal:
        for place in np.flatnonzero(without | again):
            for person, skill in PEOPLE.items():
                if rng.random() < 0.8:
                    journal.append(_answer(rows["id"][place], person, skill, meant[place], label, rng))


def _answer(key: str, person: str, skill: float, meant: str, label: Target, rng: np.random.Generator) -> Annotation:
    if rng.random() < 0.03:
        return Annotation(f"{person}-{key}", key, person, comment="noise", seconds=9.5, at=AT)
    said = scores.vote(meant, label.classes, rng, raters=1, agreement=skill)[0]
    affect = scores.rate(scores.draw_affect(said, 1.0, rng), (1, 5), rng, raters=1)[0]
    labels: dict[str, str | float] = {"label": said, "valence": float(affect[0])}
    return Annotation(f"{person}-{key}", key, person, labels, seconds=round(float(rng.uniform(2, 8)), 1), at=AT)
