import pytest

from affectkit import registry
from affectkit.errors import AffectkitError


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
