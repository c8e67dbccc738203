"""Who is in which split, and in which fold: groups never straddle, classes are spread as evenly as groups allow."""

from affectkit.splits.assign import (
    GROUP_COLUMNS,
    apart,
    by_group,
    default_group,
    folds_by_group,
    folds_in_words,
    folds_of_rows,
    group_column,
    grouped_folds,
    hold_out,
    outer_folds,
    random_folds,
    random_rows,
)
from affectkit.splits.table import SPLITS, from_table

__all__ = [
    "GROUP_COLUMNS",
    "SPLITS",
    "apart",
    "by_group",
    "default_group",
    "folds_by_group",
    "folds_in_words",
    "folds_of_rows",
    "from_table",
    "group_column",
    "grouped_folds",
    "hold_out",
    "outer_folds",
    "random_folds",
    "random_rows",
]
