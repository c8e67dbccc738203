import pytest

from affectkit.corpora import oasis
from affectkit.errors import AffectkitError

# The first lines are the published table's own.
LINES = """,Theme,Category,Source,Valence_mean,Valence_SD,Valence_N,Arousal_mean,Arousal_SD,Arousal_N
I1,Acorns 1,Object,Pixabay,4.68627451,0.954202712,102,2.346534653,1.602720459,101
I2,Acorns 2,Object,Pixabay,4.519607843,0.841149522,102,2.227722772,1.399151086,101
I22,Animal carcass 1,Animal,Wikipedia,2.722222222,1.236767972,108,3.769230769,2.053794826,104
I32,Baby 1,Person,Pixabay,6.175925926,0.993706398,108,4.086538462,1.768717252,104
I900,Nude man 1,Person,Pixabay,4.0,1.0,100,4.0,1.0,100
"""


@pytest.fixture(params=["\n", "\r", "\r\n"])
def root(request, tmp_path):
    (tmp_path / "OASIS.csv").write_bytes(LINES.replace("\n", request.param).encode())
    (tmp_path / "Images").mkdir()
    for name in ("Acorns 1.jpg", "Animal carcass 1.jpg", "Baby 1.JPG", "Nude man 1.jpg"):
        (tmp_path / "Images" / name).write_bytes(bytes(500))
    return tmp_path


def test_rows_with_spread_and_number_whatever_the_line_ends(root, gathered):
    rows, reasons = gathered(oasis.read(root))
    assert list(rows) == ["Acorns_1", "Animal_carcass_1", "Baby_1", "Nude_man_1"]
    assert rows["Acorns_1"] == {
        "id": "Acorns_1", "path": "Images/Acorns 1.jpg", "source_label": "", "valence": 4.68627451,
        "arousal": 2.346534653, "valence_sd": 0.954202712, "arousal_sd": 1.602720459, "valence_n": 102.0,
        "arousal_n": 101.0, "sequence": "Acorns", "theme": "Acorns 1", "category": "Object", "split": "",
    }  # fmt: skip
    assert rows["Animal_carcass_1"]["sequence"] == "Animal carcass" and rows["Baby_1"]["path"] == "Images/Baby 1.JPG"
    assert reasons == {"Acorns 2.jpg": "no such file"}


@pytest.mark.parametrize(
    "words, kept",
    [
        ("Person", ["Acorns_1", "Animal_carcass_1"]),
        ("nude, animal carcass", ["Acorns_1", "Baby_1"]),
        ("Nude man 1", ["Acorns_1", "Animal_carcass_1", "Baby_1"]),
    ],
)
def test_categories_and_themes_are_left_out(root, gathered, words, kept):
    rows, reasons = gathered(oasis.read(root, exclude_categories=words))
    assert list(rows) == kept and all(why.startswith(("excluded: ", "no such")) for why in reasons.values())


def test_a_word_that_is_none_is_refused_so_that_nothing_slips_through(root):
    with pytest.raises(AffectkitError, match=r"'persons' is no category or theme here; did you mean.*Person"):
        list(oasis.read(root, exclude_categories="Persons"))
    with pytest.raises(AffectkitError, match="'nud' is no category or theme"):  # not a whole word
        list(oasis.read(root, exclude_categories="Nud"))


def test_damaged_tables_are_one_error(root, gathered):
    table = root / "OASIS.csv"
    text = table.read_bytes().decode()
    table.write_bytes(text.replace("4.68627451", "high").encode())
    with pytest.raises(AffectkitError, match=r"OASIS\.csv row 1: Valence_mean 'high' is not a number"):
        list(oasis.read(root))
    table.write_bytes(text.replace("4.68627451", "").replace("2.346534653", "nan").encode())
    assert gathered(oasis.read(root))[1]["Images/Acorns 1.jpg"] == "has neither valence nor arousal"
    table.write_bytes(text.replace("Arousal_N", "N").encode())
    with pytest.raises(AffectkitError, match="has no column 'Arousal_N'"):
        list(oasis.read(root))


def test_the_twin_has_people_and_none_and_as_many_themes_as_asked(tmp_path, gathered):
    oasis.synthesize(tmp_path / "twin", size=30, speakers=6, seed=3)
    assert b"\n" not in (tmp_path / "twin" / "OASIS.csv").read_bytes()
    rows, reasons = gathered(oasis.read(tmp_path / "twin"))
    assert len(rows) == 30 and not reasons and len({row["sequence"] for row in rows.values()}) == 6
    assert {"Person", "Scenery"} <= {row["category"] for row in rows.values()}
    with pytest.raises(AffectkitError, match="the twin has 24 themes"):
        oasis.synthesize(tmp_path / "more", size=30, speakers=25, seed=3)
