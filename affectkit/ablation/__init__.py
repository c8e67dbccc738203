"""Every subset of several sources, on the same rows, folds and seeds: what each is worth alone and beside the others.

A source is a table of predictions, and several of them are fused by a rule (`of_predictions`); or it is a set of
features, and an estimator is trained on several of them together (`of_features`); or it is a branch of a fine-tuned
run, and those of a subset are trained anew (`of_branches`). What is judged is cross-fitted or
held out, and is read back from the files of the subsets: a run that was killed and resumed says the same as one that
was not.
"""

from affectkit.ablation.ablate import PARTS, ablate, required, write_ablation
from affectkit.ablation.branches import of_branches
from affectkit.ablation.sources import of_features, of_predictions
from affectkit.ablation.study import MOST, AblationStudy, Subset, subsets

__all__ = [
    "MOST", "PARTS", "AblationStudy", "Subset", "ablate", "of_branches", "of_features", "of_predictions", "required",
    "subsets", "write_ablation",
]  # fmt: skip
