"""A fitted fusion: what `fusion.json` holds, and its application to sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectkit import registry
from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.models import FUSION, whole
from affectkit.artifacts.outputs import Output
from affectkit.fusion._rule import Filing, Rule, Seeded, Sources


@dataclass(frozen=True)
class FusionModel:
    """sources: names in order. targets: name -> {"rule", "options", "parameters"}."""

    sources: Sequence[str]
    targets: Mapping[str, Mapping[str, Any]]

    def apply(self, target: str, sources: Sources) -> Output:
        """Fused answers of one target."""
        fitted = self.targets[target]
        return build_rule(fitted["rule"], fitted["options"]).apply(fitted["parameters"], sources)

    def save(self, folder: Path) -> None:
        targets = {name: dict(fitted) for name, fitted in self.targets.items()}
        write_json(folder / FUSION, {"sources": list(self.sources), "targets": targets})

    def files(self) -> dict[str, dict[str, Any]]:
        """What rules have to show besides, by file name and target: an object (.json), or rows (.csv)."""
        found: dict[str, dict[str, Any]] = {}
        for target, fitted in self.targets.items():
            rule = build_rule(fitted["rule"], fitted["options"])
            for name, content in rule.files(fitted["parameters"]).items() if isinstance(rule, Filing) else ():
                found.setdefault(name, {})[target] = content
        return found

    @classmethod
    def load(cls, folder: Path) -> FusionModel:
        """Raises "missing" or "input" for a folder that is not whole."""
        with whole(folder):
            said = read_json(folder / FUSION, what="fusion")
            for fitted in said["targets"].values():
                build_rule(fitted["rule"], fitted["options"])
            return cls(list(said["sources"]), dict(said["targets"]))


def build_rule(name: str, options: Mapping[str, Any], *, seed: int = 0) -> Rule:
    """The built-in rule called `name`. seed: of what it draws at random, if it does.

    Raises "usage" for an unknown one, or for an option that it lacks.
    """
    module = registry.load("fusion", name)
    registry.check_options("fusion", name, module.build, dict(options))
    rule: Rule = module.build(**options)
    return rule.seeded(seed) if isinstance(rule, Seeded) else rule
