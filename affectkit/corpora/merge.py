"""Several manifests as one: prefixed ids, a root per corpus, one label map."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from affectkit import registry
from affectkit.artifacts.manifest import Manifest, read_manifest, write_manifest
from affectkit.corpora import _gather
from affectkit.corpora._corpus import Corpus, Defect
from affectkit.corpora._gather import Choices, Gathered
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.splits import GROUP_COLUMNS

CORPUS = Corpus(
    title="several corpora",
    licence="each corpus keeps its own",
    citation="cite each corpus",
    official="the manifests' own splits",
    default_group="",
)


def gather(roots: Sequence[Path]) -> Gathered:
    """Join manifests written by `prepare-manifest`: their classes are source labels to `--label-map` and `--preset`.

    Raises "usage" for fewer than two, "input" where two name a corpus but not the same root, or give one target
    different scales.
    """
    import pandas as pd

    if len(roots) < 2:
        raise AffectkitError("usage", "merge takes two manifests or more")
    manifests = [read_manifest(root) for root in roots]
    rows = pd.concat([_prefixed(manifest) for manifest in manifests], ignore_index=True)
    for column in rows.columns:
        if rows[column].dtype == object:
            rows[column] = rows[column].fillna("")
    doubled = rows["id"].duplicated()
    if doubled.any():
        key = rows["id"][doubled.to_numpy().argmax()]
        raise AffectkitError("input", f"id '{key}' comes from two manifests", remedy="give each corpus once")
    corpora: dict[str, Any] = {}
    for manifest in manifests:
        for name, facts in manifest.summary.get("corpora", {}).items():
            if name in corpora and corpora[name]["root"] != facts["root"]:
                both = f"{corpora[name]['root']} and {facts['root']}"
                raise AffectkitError("input", f"corpus {name} has two roots: {both}")
            corpora[name] = facts
    defects = {Defect(*defect) for manifest in manifests for defect in manifest.summary.get("defects", [])}
    return Gathered(rows, _further(manifests), corpora, replace(CORPUS, defects=tuple(sorted(defects))))


def _prefixed(manifest: Manifest) -> Any:
    """A manifest's rows: ids and groups carry the corpus's name, since two corpora may both have a speaker 01."""
    rows = manifest.rows.copy()
    if "corpus" not in rows or (rows["corpus"] == "").any():
        remedy = "run prepare-manifest on it"
        raise AffectkitError("input", "has rows without a corpus", file=manifest.path, remedy=remedy)
    for column in ("id", "text_id", *GROUP_COLUMNS):
        if column in rows:
            prefixed = rows["corpus"].astype(str) + "-" + rows[column].astype(str)
            rows[column] = prefixed.where(rows[column] != "", "")
    if "label" in rows:
        rows["source_label"] = rows.pop("label")
    return rows.drop(columns="fold", errors="ignore")


def _further(manifests: Sequence[Manifest]) -> tuple[Target, ...]:
    """The targets beside the label, which is mapped anew."""
    targets: dict[str, Target] = {}
    for target, manifest in ((t, m) for m in manifests for t in m.targets.values() if t.name != "label"):
        if targets.setdefault(target.name, target) != target:
            message = f"{target.name} is {target.in_words} here and {targets[target.name].in_words} elsewhere"
            raise AffectkitError("input", message, file=manifest.path, remedy="bring both to one scale first")
    return tuple(targets.values())


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twins of two corpora, and the manifests to merge, under `root/manifests`."""
    from affectkit.corpora._assemble import assemble  # brings Pillow, with the detectors

    for name in ("emodb", "ravdess"):
        module = registry.load("corpora", name)
        module.synthesize(root / name, size=size // 2, speakers=max(3, speakers // 2), seed=seed)
        corpus, choices = _gather.gather(module, name, [root / name], {}), Choices(preset="4class", split_by="speaker")
        made = assemble(corpus, choices, lambda what: nullcontext(lambda done, total: None))
        write_manifest(root / "manifests" / name, made.rows, made.summary, made.label_map)
