"""Windows and stretches of recordings, in seconds."""

import doctest

import pytest

from affectkit.errors import AffectkitError
from affectkit.media import cuts
from affectkit.media.cuts import Windows, parse_stretches, write_stretches


def test_doctests():
    assert doctest.testmod(cuts).failed == 0


def test_a_stride_needs_a_window():
    assert Windows.asked(None, None) is None
    assert Windows.asked(4, None) == Windows(4, 4)
    with pytest.raises(AffectkitError, match="--stride needs --window"):
        Windows.asked(None, 2)
    with pytest.raises(AffectkitError, match="--window 0 is no length of time"):
        Windows.asked(0, None)


def test_what_is_written_of_stretches_is_read_again():
    stretches = [(16.0, 18.5), (12.31, 14.0), (13.9, 15.2204), (18.5, 19.0)]
    assert parse_stretches(write_stretches(stretches)) == ((12.31, 15.22), (16.0, 19.0))
    assert parse_stretches("0-1; 2.5 - 3") == ((0, 1), (2.5, 3))


@pytest.mark.parametrize("wrong", ["1-1", "2-1", "0-2;1-3", "a-b", "1", "-1-2"])
def test_what_are_no_stretches(wrong):
    with pytest.raises(ValueError, match=r".*"):
        parse_stretches(wrong)
