"""`affectkit synthesize`."""

from pathlib import Path
from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit import registry
from affectkit.console import Outcome
from affectkit.errors import AffectkitError

SPEAKERS = 10


def synthesize(
    corpus: Annotated[str, typer.Argument(help="Corpus, as named by prepare-manifest --list.", metavar="CORPUS")],
    root: Annotated[Path, typer.Argument(help="Folder to write; it must be new or empty.", metavar="ROOT")],
    size: Annotated[int, typer.Option("--size", min=1, help="Number of samples.")] = 200,
    speakers: Annotated[
        int | None,
        typer.Option("--speakers", min=1, help="Speakers, or documents (default: 10, or all that the corpus has)."),
    ] = None,
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **corpus_options: Any,
) -> Outcome:
    """Write a small synthetic corpus in a real corpus's own layout.

    Its voices, texts and ratings are made up: it is for trying commands and recipes before the real corpus is at hand,
    and figures on it say nothing about the real one. Its README.md says so too. The same seed gives the same bytes.

    Example: affectkit synthesize emodb corpora/emodb
    """
    options = dict(locals())
    options["output_dir"] = options.pop("root")
    from affectkit.artifacts.runs import open_run

    module = registry.load("corpora", corpus, foreign=True)
    if not hasattr(module, "synthesize"):
        raise AffectkitError("usage", f"{corpus} has no synthetic twin")
    registry.check_options("corpora", corpus, module.synthesize, corpus_options)
    count = speakers or min(SPEAKERS, module.CORPUS.speakers or SPEAKERS)
    with open_run("synthesize", options) as run:
        if not run.finished:
            module.synthesize(run.path, size=size, speakers=count, seed=seed, **corpus_options)
    facts = {"corpus": corpus, "size": size, "speakers": count, "seed": seed, **corpus_options}
    return Outcome(run.path, facts, [f"SYNTHETIC {module.CORPUS.title}: {size} samples, {count} speakers"])
