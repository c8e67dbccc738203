"""The models beside a network that is fine-tuned, as they are named on the command line."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import read_spec
from affectkit.artifacts.predictions import require_agreement
from affectkit.artifacts.sources import Source, read_source
from affectkit.errors import AffectkitError
from affectkit.estimators._again import again
from affectkit.finetuning.beside import Beside, Branch, check_beside
from affectkit.finetuning.mixture import MixOptions
from affectkit.labels import Target
from affectkit.leakage.held_out import groups_of

logger = logging.getLogger(__name__)


def read_beside(
    paths: Mapping[str, Path],
    mix: str | None,
    manifest: Manifest,
    targets: Sequence[Target],
    *,
    group: str | None,
    cv: bool,
    device: str,
    num_workers: int,
) -> Beside:
    """mix: as `--mix` is typed; None mixes equally. manifest, group: what the network is fitted on, and what must not
    straddle. cv: whether folds are cut, inside which runs are fitted again.

    Raises "usage" for what cannot be mixed, "input" for answers to other rows of the same ids, and as `read_source`.
    """
    check_beside(targets, list(paths))
    equal = ",".join([repr(1 / (len(paths) + 1))] * (len(paths) + 1))
    options = MixOptions.parse(mix or equal, list(paths))
    sources = [read_source(name, path, targets=targets) for name, path in paths.items()]
    for source in sources:
        columns = [*(target.name for target in targets), "split"]
        require_agreement(manifest.rows, source.table().frame, columns, source.path, "the manifest")
        _warn_of_groups(source, groups_of(manifest, group)[0])
    branches = [_refittable(each, device, num_workers) if cv else Branch(each) for each in sources]
    return Beside(branches, options, targets)


def _warn_of_groups(source: Source, group: str | None) -> None:
    theirs = read_spec(source.model).get("group") if source.model else group
    if group is not None and theirs != group:
        message = "%s was cross-fitted by %s, not by %s: its answers for rows fitted on may be from fits on their %s"
        logger.warning(message, source.path, theirs or "rows", group, group)


def _refittable(source: Source, device: str, num_workers: int) -> Branch:
    try:
        if source.model is None:
            raise AffectkitError("input", "is only a table", file=source.path)
        return Branch(source, again(source.path.parent, device=device, num_workers=num_workers))
    except AffectkitError as error:
        why = str(error)
        message = "--beside %s is not fitted again inside folds (%s): its answers may be from fits on rows outside them"
        logger.warning(message, source.name, why)
        return Branch(source, why_not=why)
