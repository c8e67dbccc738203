"""Steps of protocols: the library calls that single commands make, in a run that is open already.

Each returns the lines that the command would say at its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affectkit.artifacts.manifest import read_manifest
from affectkit.artifacts.sources import chosen_targets, read_joined_sources
from affectkit.distributed import Ranks
from affectkit.protocols._protocol import Study


def finetune_scene(folder: Path, study: Study, how: Mapping[str, Any], here: Ranks) -> Sequence[str]:
    """As `finetune` does. how: its options, and `stages` as a file of them has them."""
    from affectkit.finetuning.finetune import clean_up, finetune
    from affectkit.finetuning.media.images import Images
    from affectkit.finetuning.medium import readable
    from affectkit.finetuning.passes import Passes
    from affectkit.finetuning.rows import Setup
    from affectkit.media.augment_images import parse
    from affectkit.reporting.finetuned import write_finetuned
    from affectkit.reporting.text import all_key_lines
    from affectkit.training.accelerating import open_accelerator
    from affectkit.training.fit import Settings
    from affectkit.training.stages import Stage

    medium = Images(how["base_model"], augmentation=parse(how["augment"]))
    workers = here.workers(study.num_workers)
    setup = Setup(
        medium,
        [Stage(**stage) for stage in how["stages"]],
        Settings(batch_size=how["batch_size"], seed=study.seed, num_workers=workers),
        loss=how["loss"],
        passes=Passes(1, how["mc_dropout"]),
    )
    accelerator = open_accelerator(study.device)
    manifest = read_manifest(study.manifest, media_root=study.media_root)
    rows = readable(manifest, medium, folder, on_error="stop", num_workers=workers, is_main=here.is_main)
    targets = rows.chosen_targets(how["target"])
    found = finetune(rows, targets, setup, folder, accelerator, group=study.group, progress=study.progress)
    if not here.is_main:
        return []
    reports = write_finetuned(folder, found, rows)
    clean_up(folder)
    return all_key_lines(reports)


def import_expert(folder: Path, study: Study, how: Mapping[str, Any]) -> Sequence[str]:
    """As `import-model emonet` does."""
    from affectkit.experts._folder import build_expert
    from affectkit.inference import Work
    from affectkit.inference.faces import predict_faces, rows_to_answer, targets_for
    from affectkit.reporting.imported import write_imported
    from affectkit.reporting.text import all_key_lines

    rows = read_manifest(study.manifest, media_root=study.media_root)
    face = build_expert(
        "emonet", {"weights": how["weights"]}, how["detector"], box_scale=how["box_scale"], device=study.device
    )
    face = face.answering(targets_for(face, rows, None))
    work = Work(study.device, study.num_workers)
    predictions = predict_faces(face, rows_to_answer(rows), tta=how["tta"], work=work, progress=study.progress)
    return all_key_lines(write_imported(folder, face, predictions, rows, tta=how["tta"], group=study.group))


def calibrate_numbers(folder: Path, study: Study, source: Path, method: str, targets: Sequence[str]) -> Sequence[str]:
    """As `calibrate --target` does."""
    from affectkit.calibration.calibrate import calibrate, taken
    from affectkit.leakage.crossfit import plan_fit
    from affectkit.reporting.calibrated import write_calibrated

    [given] = _sources(study, {"model": source})
    table = given.table()
    chosen = taken(method, {}, chosen_targets(table, ",".join(targets)))
    plan = plan_fit(table, group=study.group, seed=study.seed)
    found = calibrate(table, method, {}, plan, chosen)
    return write_calibrated(folder, found, given, plan, chosen, wanted_error=0.1, abstain=False)[1]


def fuse_sources(
    folder: Path, study: Study, sources: Mapping[str, Path], rule: str, options: Mapping[str, Any]
) -> Sequence[str]:
    """As `fuse` does."""
    from affectkit.fusion.fuse import fuse
    from affectkit.fusion.sources import join
    from affectkit.leakage.crossfit import plan_fit
    from affectkit.reporting.fused import write_fused

    given = _sources(study, sources)
    joined = join(given)
    plan = plan_fit(joined.rows, group=study.group, seed=study.seed)
    return write_fused(folder, fuse(joined, rule, dict(options), plan, seed=study.seed), rule, given, plan)[1]


def stabilize_sequences(folder: Path, study: Study, source: Path, alpha: float) -> Sequence[str]:
    """As `stabilize --alpha` does, over the columns sequence and time_sec."""
    from affectkit.artifacts.predictions import write_predictions
    from affectkit.artifacts.timeline import timeline
    from affectkit.evaluation.intervals import Resampling
    from affectkit.reporting.stabilized import key_lines, write_stability
    from affectkit.temporal.stabilize import smoothing_of, stabilize

    frames: dict[str, Any] = {"sequence": ["sequence"], "time": "time_sec"}
    [given] = _sources(study, {"predictions": source}, columns=["sequence", "time_sec"])
    table = given.table()
    targets = chosen_targets(table, None)
    smoothing, notes = smoothing_of(
        table, targets, alpha=alpha, half_life=None, uncertainty_threshold=None, min_confidence=None
    )
    line = timeline(table.frame, **frames, file=table.path)
    smoothed = stabilize(table, line, targets, smoothing)
    write_predictions(folder / "predictions.csv", smoothed)
    how = {**frames, "split": None, "group": study.group, "most": 30, "resampling": Resampling(seed=study.seed)}
    said: dict[str, Any] = {"notes": notes, "inputs": [source], "treat_as": None}
    return key_lines(write_stability(folder, (table, smoothed), line, targets, smoothing.plain(), how, **said))


def _sources(study: Study, paths: Mapping[str, Path], columns: Sequence[str] = ()) -> list[Any]:
    wanted = [*columns, *([study.group] if study.group else [])]
    return read_joined_sources(paths, manifest=study.manifest, columns=wanted)
