"""Which of several faces is meant."""

import math

import pytest

from affectkit.detectors._detector import Face, of_person

LEFT, RIGHT = Face((10, 10, 20, 20)), Face((60, 10, 20, 20))


def person(x, y, width, height):
    return {"person_x": x, "person_y": y, "person_width": width, "person_height": height}


def test_of_a_row_about_one_person_only_faces_in_that_persons_box_count():
    """By the middle of the face: boxes of people who stand side by side overlap."""
    assert of_person([LEFT, RIGHT], person(0, 0, 45, 100)) == [LEFT]
    assert of_person([LEFT, RIGHT], person("45", "0", "55", "100")) == [RIGHT]
    assert of_person([LEFT, RIGHT], person(0, 0, 100, 100)) == [LEFT, RIGHT]
    assert of_person([LEFT, RIGHT], person(0, 50, 100, 50)) == []


@pytest.mark.parametrize("row", [{}, person("", "", "", ""), person(0, 0, math.nan, 5), person(None, 0, 1, 1)])
def test_without_such_a_box_all_of_them_do(row):
    assert of_person([LEFT, RIGHT], row) == [LEFT, RIGHT]
