"""A fitted fusion: what `fusion.json` holds, and its application to sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectkit import registry
from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.models import whole
from affectkit.artifacts.outputs import Output
from affectkit.fusion._rule import Rule, Sources

FILE = "fusion.json"


@dataclass(frozen=True)
class FusionModel:
    """rule: built-in. sources: names in order. targets: name -> parameters."""

    rule: Rule
    sources: Sequence[str]
    targets: Mapping[str, Mapping[str, Any]]

    def apply(self, target: str, sources: Sources) -> Output:
        return self.rule.apply(dict(self.targets[target]), sources)

    def save(self, folder: Path) -> None:
        write_json(
            folder / FILE,
            {
                "rule": self.rule.name,
                "options": self.rule.options,
                "sources": list(self.sources),
                "targets": {name: dict(parameters) for name, parameters in self.targets.items()},
            },
        )

    @classmethod
    def load(cls, folder: Path) -> FusionModel:
        """Raises "missing" or "input" for a folder that is not whole."""
        with whole(folder):
            said = read_json(folder / FILE, what="fusion")
            return cls(build_rule(said["rule"], said["options"]), list(said["sources"]), dict(said["targets"]))


def build_rule(name: str, options: Mapping[str, Any]) -> Rule:
    """The built-in rule called `name`. Raises "usage" for an unknown one, or for an option that it lacks."""
    module = registry.load("fusion", name)
    registry.check_options("fusion", name, module.build, dict(options))
    return module.build(**options)
