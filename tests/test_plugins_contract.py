"""What every plug-in owes, of whichever kind: a new file in one of these folders is covered by being there.

What is owed to one kind alone is in that kind's own test_contract.py.
"""

import inspect
from collections import defaultdict
from dataclasses import replace
from typing import get_origin

import pytest

from affectkit import registry
from affectkit.errors import AffectkitError

EXPECTED = {
    "corpora": "affectnet arrays casia ck-plus crema-d csv daic-woz dfu emobank emodb emotic esd fer2013 ferplus "
    "findingemo folder huggingface iemocap labels meld merge msp-podcast oasis raf-db ravdess savee tess",
    "detectors": "columns haar whole yunet",
    "encoders": "arrays hf-audio hf-image hf-text landmarks low-level motion open-clip opensmile text-ngrams timm",
    "estimators": "attention forest linear mlp svm",
    "experts": "emonet finetuned hf-text lexicon timm",
    "media": "images pictures speech text",
    "methods": "beta conformal histogram isotonic linear temperature variance-scaling vector",
    "transcribers": "faster-whisper hf",
    "rules": "best greedy inverse-variance mean mlp product route stacked weighted",
}
PLUGINS = [(kind, name) for kind in EXPECTED for name in registry.names(kind)]

every_plugin = pytest.mark.parametrize(("kind", "name"), PLUGINS)


def factory_of(kind, name):
    """What makes a plug-in of its options: `build`, of a corpus `read`, of manifests that are merged `gather`."""
    module = registry.load(kind, name)
    if kind != "corpora":
        return module.build
    return getattr(module, "read", None) or module.gather


@pytest.mark.parametrize("kind", EXPECTED)
def test_those_that_are_documented_are_there(kind):
    assert set(EXPECTED[kind].split()) <= set(registry.names(kind))


@every_plugin
def test_its_help_is_the_first_line_of_its_docstring(kind, name):
    summary = registry.summary(kind, name)
    assert 10 < len(summary) <= (120 if kind in ("corpora", "estimators") else 80)
    assert kind in ("corpora", "estimators") or not summary.endswith(".")
    assert registry.load(kind, name).__doc__.startswith(summary)


@every_plugin
def test_its_options_have_help_and_a_default(kind, name):
    factory = factory_of(kind, name)
    options = registry.options(factory)
    first = {"corpora": 1, "media": 2}.get(kind, 0)  # after the folder, or the checkpoint and its revision
    for parameter in list(inspect.signature(factory).parameters.values())[first:]:
        assert parameter.name in options and parameter.default is not parameter.empty, parameter.name
        annotation = options[parameter.name].annotation
        assert next(item for item in annotation.__metadata__ if isinstance(item, registry.Option)).help


@every_plugin
def test_an_option_that_it_lacks_is_a_usage_error(kind, name):
    with pytest.raises(AffectkitError, match=rf"{name} has no option --no-such; {name} has ") as caught:
        registry.check_options(kind, name, factory_of(kind, name), {"no_such": 1})
    assert caught.value.code == "usage"


@pytest.mark.parametrize(
    ("kinds", "with_default"), [((kind,), kind == "methods") for kind in EXPECTED] + [(("experts", "detectors"), False)]
)
def test_an_option_has_one_meaning(kinds, with_default):
    """They are options of one command. Media, and what experts read, say after a colon what one means for them:
    `Dropout: before the head.`"""
    meanings = defaultdict(set)
    for kind, name in (plugin for plugin in PLUGINS if plugin[0] in kinds):
        for option, parameter in registry.plugin_options(kind, registry.load(kind, name)).items():
            value, described = registry.described(parameter.annotation)
            if kind in ("media", "experts") and ": " in described.help:
                value = float if value == float | None else get_origin(value) or value  # each chooses from its own
                described = replace(described, help=described.help.partition(": ")[0], default="")
            meanings[option].add((str(value), described, str(parameter.default) if with_default else ""))
    assert {option: found for option, found in meanings.items() if len(found) > 1} == {}
