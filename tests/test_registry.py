import inspect
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.options import flat, with_options
from affectkit.registry import Option


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(AffectkitError, match="there is no corpus 'emobd'; did you mean emodb") as caught:
        registry.load("corpora", "emobd")
    assert caught.value.code == "usage"


def test_a_users_own_module_loads_only_when_asked_for(tmp_path, monkeypatch):
    (tmp_path / "my_plugins").mkdir()
    (tmp_path / "my_plugins" / "mine.py").write_text("def build():\n    return 7\n")
    (tmp_path / "my_plugins" / "other.py").write_text("VALUE = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.load("encoders", "my_plugins.mine", foreign=True).build() == 7
    with pytest.raises(AffectkitError, match=r"my_plugins\.other is no encoder; give it a function build"):
        registry.load("encoders", "my_plugins.other", foreign=True)
    with pytest.raises(AffectkitError, match=r"there is no encoder 'my_plugins\.mine'"):
        registry.load("encoders", "my_plugins.mine")
    with pytest.raises(AffectkitError, match=r"cannot import my_plugins\.none"):
        registry.load("encoders", "my_plugins.none", foreign=True)


def test_an_option_that_the_plugin_lacks_is_a_usage_error():
    build = registry.load("estimators", "forest").build
    with pytest.raises(AffectkitError, match="forest has no option --kernel; it is of svm") as caught:
        registry.check_options("estimators", "forest", build, {"kernel": "rbf"})
    assert caught.value.code == "usage"


@pytest.mark.parametrize(
    ("kind", "name", "option", "message"),
    [
        ("encoders", "opensmile", "checkpoint", "opensmile has no option --checkpoint; it is of hf-audio, hf-image,"),
        ("rules", "mean", "trees", "mean has no option --trees; it is of estimator forest"),
        ("protocols", "scene-face", "trees", "scene-face has no option --trees; it is of estimator forest"),
        ("methods", "temperature", "bogus", "temperature has no option --bogus; temperature has no options of its own"),
    ],
)
def test_the_error_names_the_plugins_that_have_the_option(kind, name, option, message):
    plugin = registry.load(kind, name)
    with pytest.raises(AffectkitError) as caught:
        registry.check_options(kind, name, plugin.build, {option: 1})
    assert str(caught.value).startswith(message)


def test_the_kinds_of_plugins_are_the_folders_that_hold_them():
    for kind in registry.KINDS:
        assert registry.names(kind), kind


@dataclass(frozen=True)
class Knobs:
    turns: Annotated[int, Option("Turns.", least=1, flag="--full-turns")] = 3
    share: Annotated[float | None, Option("Share.", least=0, below=1, default="none")] = None
    way: Annotated[Literal["left", "right"], Option("Way.")] = "left"
    hidden: int = 0

    def __post_init__(self):
        registry.check_values(Knobs, vars(self))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"turns": 0}, "--full-turns 0; give 1 or more"),
        ({"share": 1.0}, "--share 1.0; give 0 to below 1"),
        ({"share": float("nan")}, "--share nan; give 0 to below 1"),
        ({"way": "rigth"}, "--way rigth; use left or right"),
    ],
)
def test_a_value_that_its_option_does_not_allow_is_a_usage_error(values, said):
    with pytest.raises(AffectkitError) as caught:
        Knobs(**values)
    assert str(caught.value) == said and caught.value.code == "usage"


def test_a_dataclass_brings_its_options_to_a_command():
    """Under its flags, with its defaults; the command gets the dataclass, and its record the options one by one."""

    def command(name: str, knobs: Annotated[Knobs, "Knobs"], **more):
        return knobs, flat({"name": name, "knobs": knobs})

    made = with_options(command)
    parameters = inspect.signature(made).parameters
    assert {key: parameter.default for key, parameter in list(parameters.items())[1:]} == {
        "full_turns": 3, "share": None, "way": "left", "quiet": False, "json_output": False,
    }  # fmt: skip
    assert made(name="a", full_turns=3, share=None, way="left", quiet=True, json_output=True)  # the boundary's own
    assert parameters["share"].annotation.__metadata__[0].help == "Share (default: none)."
    knobs, record = made(name="a", full_turns=5, share=0.5, way="right")
    assert knobs == Knobs(5, 0.5, "right")
    assert record == {"name": "a", "full_turns": 5, "share": 0.5, "way": "right"}


def test_a_factory_may_take_its_options_as_a_dataclass():
    build = registry.options_from(Knobs)(lambda knobs: knobs.turns)
    assert build(turns=2) == 2 and list(registry.options(build)) == ["turns", "share", "way"]


def test_an_option_that_a_command_lacks_names_the_plugins_that_have_it(affectkit):
    result = affectkit("fuse", "a=x", "b=y", "--trees", "3", "-o", "z", code=2)
    assert "--trees; it is of estimator forest" in " ".join(result.stderr.replace("│", " ").split())
    assert "it is of" not in affectkit("fuse", "a=x", "--no-such", "-o", "z", code=2).stderr
