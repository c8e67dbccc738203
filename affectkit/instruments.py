"""Scores of mental health, and traits of personality: by which names targets are known as such, and what they are not.

A corpus may say better than this list what its scores are (`Corpus.scores`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NO_DIAGNOSIS = "a score of this kind is no diagnosis"
OCEAN = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
APPARENT = "apparent traits, as raters saw them in short recordings or people described themselves, not what they are"

# A word of a target's name -> what the score is, and who gave it.
SCORES = {
    "stress": "stress, as people reported it of themselves",
    "depression": "symptoms of depression, as people reported them of themselves",
    "depressed": "a self-report of depression at or above its cut-off, such as a PHQ-8 of 10 or more",
    "anxiety": "symptoms of anxiety, as people reported them of themselves",
    "severity": "levels of a self-report of symptoms, by the cut-offs of its authors",
    "phq8": "PHQ-8, a self-report of depressive symptoms in the last two weeks, 0 to 24 (Kroenke et al. 2009)",
    "phq9": "PHQ-9, a self-report of depressive symptoms in the last two weeks, 0 to 27 (Kroenke et al. 2001)",
    "bdi2": "BDI-II, a self-report of depressive symptoms in the last two weeks, 0 to 63 (Beck et al. 1996)",
    "gad7": "GAD-7, a self-report of anxiety in the last two weeks, 0 to 21 (Spitzer et al. 2006)",
    "pss": "Perceived Stress Scale, a self-report (Cohen et al. 1983)",
    "pcl": "PTSD Checklist, a self-report (Weathers et al. 1993)",
    "ptsd": "symptoms of post-traumatic stress, as people reported them of themselves",
    "burnout": "burnout, as people reported it of themselves",
    "wellbeing": "well-being, as people reported it of themselves",
    "pain": "pain, as people reported it of themselves, or as raters saw it",
    "protective": "protective behaviour in chronic pain, as raters saw it",
}


@dataclass(frozen=True)
class Levels:
    """Levels of severity, a questionnaire's own words. names: from the lowest. begin: the lowest score of each but the
    first."""

    names: tuple[str, ...]
    begin: tuple[int, ...]

    def of(self, score: float) -> str:
        """
        >>> [BDI2_LEVELS.of(score) for score in (13, 14, 20, 28, 29)]
        ['minimal', 'mild', 'moderate', 'moderate', 'severe']
        """
        return self.names[sum(score >= lowest for lowest in self.begin)]

    def in_words(self, instrument: str) -> str:
        """What such a level is, for `Corpus.scores`."""
        *others, last = self.begin
        cut_offs = f"{', '.join(map(str, others))} and {last}"
        return f"levels of the {instrument}, a self-report, by its authors' cut-offs: {cut_offs}"


# Kroenke et al. 2009: of 10 or more, a depressive disorder is likely.
PHQ8_LEVELS, PHQ8_LIKELY = Levels(("none", "mild", "moderate", "moderately severe", "severe"), (5, 10, 15, 20)), 10
# Beck, Steer and Brown 1996
BDI2_LEVELS = Levels(("minimal", "mild", "moderate", "severe"), (14, 20, 29))


def scores_of(targets: Any, corpora: Iterable[Mapping[str, Any]] = ()) -> dict[str, str]:
    """Target -> what the score is, of those that are scores of mental health.

    targets: names, or objects with a `name`, as reports have them. corpora: what manifests say of them, where `scores`
    declares some.

    >>> list(scores_of(["label", "stress_level", "PHQ8"]))
    ['stress_level', 'PHQ8']
    """
    declared: dict[str, str] = {}
    for corpus in corpora:
        declared |= corpus.get("scores") or {}
    scores: dict[str, str] = {}
    for target in targets or ():
        name = target["name"] if isinstance(target, Mapping) else str(target)
        words = re.split(r"[\W_]+", name.casefold())
        known = next((SCORES[word] for word in words if word in SCORES), None)
        if what := declared.get(name, known):
            scores[name] = what
    return scores


def no_diagnosis(scores: Iterable[str]) -> list[str]:
    """The one sentence that every report of such targets carries; none without any.

    >>> no_diagnosis(["phq8", "stress"])
    ['phq8, stress: a score of this kind is no diagnosis']
    """
    names = ", ".join(scores)
    return [f"{names}: {NO_DIAGNOSIS}"] if names else []


def traits_of(targets: Any) -> list[str]:
    """The names of targets that are traits of personality. targets: as `scores_of` takes them.

    >>> traits_of(["label", "Openness", "openness_self"])
    ['Openness', 'openness_self']
    """
    names = [target["name"] if isinstance(target, Mapping) else str(target) for target in targets or ()]
    return [name for name in names if {*OCEAN} & {*re.split(r"[\W_]+", name.casefold())}]


def apparent(traits: Iterable[str]) -> list[str]:
    """The one sentence that every report of traits carries; none without any.

    >>> apparent(["openness"])[0][:25]
    'openness: apparent traits'
    """
    names = ", ".join(traits)
    return [f"{names}: {APPARENT}"] if names else []
