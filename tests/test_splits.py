"""Splits: properties on random groups, optimality by enumeration, balance against scikit-learn on EmoDB."""

import itertools
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from affectkit import splits
from affectkit.errors import AffectkitError
from affectkit.splits import balanced

tables = st.lists(st.tuples(st.sampled_from("abcdefghijklmno"), st.sampled_from(["x", "y", "z", ""])), min_size=40)


def emodb() -> tuple[list[str], list[str]]:
    """Speaker and emotion of each EmoDB file, by its name."""
    root = os.environ.get("AFFECTKIT_DATA")
    if not root:
        pytest.skip("AFFECTKIT_DATA is not set")
    names = sorted(path.name for path in Path(root, "emodb", "wav").glob("*.wav"))
    return [name[:2] for name in names], [name[5] for name in names]


def imbalance(sides, labels) -> float:
    """Scikit-learn's own yardstick for these splitters: mean over classes of the sd over sides of the class's share."""
    table = pd.crosstab(pd.Series(sides), pd.Series(labels)).to_numpy(float)
    return float((table / table.sum(axis=0)).std(axis=0).mean())


def test_default_group():
    rows = pd.DataFrame({"session": ["1", "2"], "speaker": ["", ""], "dialogue": ["a", "b"]}, dtype=object)
    assert splits.default_group(rows) == "session"
    assert splits.default_group(rows.assign(speaker=["", "s"])) == "speaker"
    assert splits.default_group(pd.DataFrame({"id": ["a"]})) is None


@settings(max_examples=8, deadline=None)
@given(table=tables, seed=st.integers(0, 9))
def test_by_group_never_straddles_and_fills_every_split(table, seed):
    groups, labels = zip(*table, strict=True)
    if len(set(groups)) < 3:
        return
    split = splits.by_group(groups, labels, val_fraction=0.2, test_fraction=0.2, seed=seed)
    assert set(split) == {"train", "val", "test"}
    assert all(len(sides) == 1 for sides in _sides(groups, split).values())
    assert split == splits.by_group(groups, labels, val_fraction=0.2, test_fraction=0.2, seed=seed)
    shuffled = np.random.default_rng(seed).permutation(len(groups))  # the order of the rows does not matter
    again = splits.by_group(
        [groups[i] for i in shuffled], [labels[i] for i in shuffled], val_fraction=0.2, test_fraction=0.2, seed=seed
    )
    assert [split[i] for i in shuffled] == again


def _sides(groups, split) -> dict[str, set]:
    found: dict[str, set] = {}
    for group, side in zip(groups, split, strict=True):
        found.setdefault(group, set()).add(side)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_few_groups_get_the_best_of_all_assignments(seed):
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(60, rng.dirichlet(np.ones(4)), size=8) * rng.integers(1, 4, (8, 1)).astype(float)
    shares = np.array([0.6, 0.2, 0.2])
    wanted = shares[:, None] * counts.sum(axis=0)

    def cost(side):
        filled = np.stack([counts[np.array(side) == s].sum(axis=0) for s in range(3)])
        return ((filled - wanted) ** 2 / (wanted + 1)).sum()

    best = min(cost(side) for side in itertools.product(range(3), repeat=8) if len(set(side)) == 3)
    assert cost(balanced(counts, shares, seed)) == pytest.approx(best)


def test_emodb_is_split_by_speaker_into_splits_alike():
    speakers, labels = emodb()
    split = splits.by_group(speakers, labels, val_fraction=0.2, test_fraction=0.2, seed=0)
    count = Counter(split)
    assert {name: len({s for s, side in zip(speakers, split, strict=True) if side == name}) for name in count} == {
        "train": 6, "val": 2, "test": 2,
    }  # fmt: skip
    assert abs(count["val"] - 107) < 12 and abs(count["test"] - 107) < 12
    for name in count:
        assert len({label for label, side in zip(labels, split, strict=True) if side == name}) == 7


@pytest.mark.parametrize("n", [2, 3, 5])
def test_emodb_folds_are_more_even_than_scikit_learns(n):
    speakers, labels = emodb()
    ours = splits.folds_by_group(speakers, labels, n, seed=0)
    theirs = np.zeros(len(labels), int)
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=0)
    for fold, (_, held_out) in enumerate(splitter.split(labels, labels, speakers)):
        theirs[held_out] = fold
    assert set(ours) == set(range(n))
    assert imbalance(ours, labels) < imbalance(theirs, labels)


def test_numbers_are_spread_by_quintile():
    rng = np.random.default_rng(0)
    groups = np.repeat([f"g{i:02d}" for i in range(40)], 10)
    values = np.repeat(rng.normal(0, 1, 40), 10) + rng.normal(0, 0.1, 400)
    values[:3] = np.nan
    split = np.array(splits.by_group(groups, values, val_fraction=0.25, test_fraction=0.25, seed=0))
    means = [np.nanmean(values[split == s]) for s in ("train", "val", "test")]
    assert np.ptp(means) < 0.2
    assert np.ptp([np.nanstd(values[split == s]) for s in ("train", "val", "test")]) < 0.2


def test_fractions_of_zero_ask_for_no_split():
    split = splits.by_group(list("aabbcc"), None, val_fraction=0, test_fraction=0.34, seed=0)
    assert Counter(split) == {"train": 4, "test": 2}


def test_many_groups_take_a_moment():
    rng = np.random.default_rng(0)
    groups = [f"v{i}" for i in rng.integers(0, 3000, 20000)]
    split = splits.by_group(groups, rng.choice(list("abc"), 20000), val_fraction=0.1, test_fraction=0.1, seed=0)
    assert Counter(split)["test"] == pytest.approx(2000, abs=20)


def test_too_few_groups_says_what_is_possible():
    with pytest.raises(AffectkitError, match="2 speakers cannot fill train, val, test") as caught:
        splits.by_group(list("aabb"), None, val_fraction=0.2, test_fraction=0.2, seed=0, name="speaker")
    assert "--val-fraction" in caught.value.remedy and "--folds speaker" in caught.value.remedy
    with pytest.raises(AffectkitError, match="1 speaker cannot fill train, test") as caught:
        splits.by_group(list("aaaa"), None, val_fraction=0, test_fraction=0.2, seed=0, name="speaker")
    assert "--split-by random" in caught.value.remedy


@pytest.mark.parametrize("fractions", [(-0.1, 0.2), (0.5, 0.5), (float("nan"), 0.1)])
def test_fractions_that_leave_nothing(fractions):
    with pytest.raises(AffectkitError, match="leave nothing for train"):
        splits.by_group(list("abc"), None, val_fraction=fractions[0], test_fraction=fractions[1], seed=0)


def test_rows_without_a_group_are_trained_on_only(caplog):
    groups = ["a", "", "b", "", "c"] * 10
    split = splits.by_group(groups, None, val_fraction=0.2, test_fraction=0.2, seed=0, name="speaker")
    assert {side for group, side in zip(groups, split, strict=True) if group == ""} == {"train"}
    assert {side for group, side in zip(groups, split, strict=True) if group} == {"train", "val", "test"}
    assert "20 rows have no speaker" in caplog.text


def test_random_rows_are_stratified():
    labels = ["a"] * 700 + ["b"] * 250 + ["c"] * 50
    split = splits.random_rows(labels, 1000, val_fraction=0.1, test_fraction=0.2, seed=3)
    count = Counter(zip(labels, split, strict=True))
    for label, total in (("a", 700), ("b", 250), ("c", 50)):
        assert abs(count[label, "val"] - 0.1 * total) <= 1.5 and abs(count[label, "test"] - 0.2 * total) <= 1.5
    assert Counter(split) == {"train": 700, "val": 100, "test": 200}
    assert split == splits.random_rows(labels, 1000, val_fraction=0.1, test_fraction=0.2, seed=3)
    assert split != splits.random_rows(labels, 1000, val_fraction=0.1, test_fraction=0.2, seed=4)


def test_random_folds():
    labels = ["a"] * 30 + ["b"] * 20
    folds = splits.random_folds(labels, 50, 5, seed=0)
    assert [Counter(f for f, y in zip(folds, labels, strict=True) if y == "a")[k] for k in range(5)] == [6] * 5
    assert np.bincount(folds).tolist() == [10] * 5
    with pytest.raises(AffectkitError, match="50 rows cannot make 1 fold"):
        splits.random_folds(labels, 50, 1, seed=0)


def test_one_fold_per_group_in_sorted_order():
    folds = splits.folds_by_group(["s10", "s02", "s10", "s01"])
    assert folds.tolist() == [2, 1, 2, 0]


@settings(max_examples=10, deadline=None)
@given(table=tables, n=st.integers(2, 6))
def test_folds_keep_groups_whole(table, n):
    groups, labels = zip(*table, strict=True)
    if len(set(groups)) < n:
        return
    folds = splits.folds_by_group(groups, labels, n, seed=0)
    assert set(folds) == set(range(n))
    assert all(len(sides) == 1 for sides in _sides(groups, folds).values())


def test_impossible_folds():
    with pytest.raises(AffectkitError, match="3 speakers cannot make 5 folds") as caught:
        splits.folds_by_group(list("abc"), None, 5, name="speaker")
    assert "2 to 3 folds are possible" in caught.value.remedy
    with pytest.raises(AffectkitError, match="a single speaker cannot be held out"):
        splits.folds_by_group(list("aaa"), None, name="speaker")
    with pytest.raises(AffectkitError, match="2 rows have no speaker") as caught:
        splits.folds_by_group(["a", "", "b", ""], None, name="speaker")
    assert caught.value.row == 2


def test_grouped_folds_for_cross_fitting():
    few = splits.grouped_folds(["b", "a", "", "a"], list("xyxy"), 5)
    assert few.tolist() == [2, 1, 0, 1]  # one each, the unknown together
    many = splits.grouped_folds([f"g{i // 3}" for i in range(60)], list("xyz") * 20, 5)
    assert np.bincount(many).tolist() == [12] * 5
    rows = splits.grouped_folds(None, list("xy") * 5, 5)
    assert np.bincount(rows).tolist() == [2] * 5
    with pytest.raises(AffectkitError, match="a single group"):
        splits.grouped_folds(["a", "a"], list("xy"))


def test_hold_out_whole_groups():
    groups = np.repeat(list("abcdefghij"), 10)
    mask = splits.hold_out(groups, None, fraction=0.2, seed=0)
    assert mask.dtype == bool and mask.sum() == 20
    assert not set(groups[mask]) & set(groups[~mask])


# Published splits


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})


@pytest.mark.parametrize("word", ["Trainingset", "train_data", "TrainSplit", "training-part"])
def test_names_of_parts_that_say_that_they_are_parts(word):
    assert splits.read_parts([word, "Testset", "Dataset"]) == {word: "train", "Testset": "test"}


def test_from_table():
    published = table(id=["b", "a"], split=["test", "train"], fold=["", "0"])
    split, folds = splits.from_table(published, ["a", "b"], file="p.csv")
    assert split == ["train", "test"] and folds.tolist() == [0, ""]
    assert splits.from_table(published[["id", "split"]], ["a"], file="p.csv") == (["train"], None)
    split, folds = splits.from_table(published[["id", "fold"]].iloc[1:].reset_index(drop=True), ["a"], file="p.csv")
    assert split is None and folds.tolist() == [0]


def test_from_table_logs_ids_that_the_corpus_lacks(caplog):
    splits.from_table(table(id=["a", "x", "y"], split=["val"] * 3), ["a"], file="p.csv")
    assert "2 ids are not in the corpus as read, the first is 'x'" in caplog.text


@pytest.mark.parametrize(
    ("columns", "said", "row"),
    [
        ({"id": ["a"], "side": ["test"]}, "neither a column 'split' nor a column 'fold'", None),
        ({"id": ["a", "b", "a"], "split": ["val"] * 3}, "id 'a' stands twice", 3),
        ({"id": ["a", "b"], "split": ["dev", "spare"]}, "split 'spare' is not in train, val, test", 2),
        ({"id": ["a", "b"], "fold": ["0", "1.5"]}, "fold '1.5' is not a whole number", 2),
        ({"id": ["a", "b"], "split": ["train", "test"], "fold": ["0", "1"]}, "is a test row, and of fold '1'", 2),
        ({"id": ["b"], "split": ["val"]}, "where 'a' belongs (1 of 2 ids are missing)", None),
    ],
)
def test_from_table_refuses(columns, said, row):
    with pytest.raises(AffectkitError) as caught:
        splits.from_table(table(**columns), ["a", "b"], file="p.csv")
    assert said in caught.value.message and caught.value.row == row and caught.value.file == "p.csv"


# --- names of parts


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ("Train DEV test", "train val test"),
        ("training validation testing", "train val test"),
        ("train_clean_100 dev-other test.clean", "train val test"),
        ("train valid test1 test2", "train val test test"),
        ("train eval", "train test"),
        ("train eval test", "train val test"),
        ("train val evaluation", "train val test"),
        ("train val test eval", "train val test -"),
        ("train train_dev other trian pretrain contest", "train - - - - -"),
        ("1 -", "- -"),
    ],
)
def test_names_of_parts(names, parts):
    read = splits.read_parts(names.split())
    assert [read.get(name, "-") for name in names.split()] == parts.split()


def test_a_published_split_may_use_other_names():
    published = table(id=["a", "b", "c"], split=["Train", "dev", "test"])
    assert splits.from_table(published, ["c", "a", "b"], file="p.csv")[0] == ["test", "train", "val"]
