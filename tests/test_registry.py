from collections import defaultdict

import pytest

from affectkit import registry
from affectkit.errors import AffectkitError

KINDS = ["corpora", "detectors", "encoders", "estimators", "experts", "media", "methods", "rules"]
FACTORIES = {**dict.fromkeys(KINDS, "build"), "corpora": "read"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_has_a_one_line_help_and_loads_by_its_name(kind):
    assert registry.names(kind)
    for name in registry.names(kind):
        assert len(registry.summary(kind, name)) > 10
        module = registry.load(kind, name)
        assert hasattr(module, FACTORIES[kind]) or hasattr(module, "gather")


@pytest.mark.parametrize("kind", KINDS)
def test_an_option_has_one_meaning(kind):
    meanings = defaultdict(set)
    for name in registry.names(kind):
        factory = getattr(registry.load(kind, name), FACTORIES[kind], None)
        for option, parameter in registry.options(factory).items() if factory else ():
            meanings[option].add(str(parameter.annotation))
    assert {option: m for option, m in meanings.items() if len(m) > 1} == {}


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
    with pytest.raises(AffectkitError, match="forest has no option --kernel; forest has --trees") as caught:
        registry.check_options("estimators", "forest", build, {"kernel": "rbf"})
    assert caught.value.code == "usage"
