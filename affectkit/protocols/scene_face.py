"""Valence and arousal of scenes: a scene network (phase 0), a face expert (1), and their fusion (2)

Phase 0 trains heads on a frozen backbone at a found rate, one-cycle, then all of it at a hundredth to a tenth of that
rate (Howard and Ruder 2018), by CCC + MSE. Phase 1 trains nothing: a fixed expert reads the faces, and its answers and
variances are calibrated for each dimension. Phase 2 weighs the two by their scaled variances, or by fixed weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from affectkit.errors import AffectkitError
from affectkit.registry import Option

if TYPE_CHECKING:
    from affectkit.protocols._protocol import Procedure, Step, Study

TARGETS = ("valence", "arousal")
SCENE, EXPERT, CORRECTED, CALIBRATED, FUSED, STABLE = (
    "phase0", "phase1/expert", "phase1/corrected", "phase1/calibrated", "phase2", "phase2_stable",
)  # fmt: skip
SEARCH = ".3:.7:.1"


def build(
    *,
    backbone: Annotated[str, Option("Phase 0: base model, as for finetune --base-model.")] = (
        "open_clip:ViT-B-32/laion2b_s34b_b79k"
    ),
    frozen_epochs: Annotated[int, Option("Phase 0: maximum number of epochs of the heads alone.", least=1)] = 10,
    unfrozen_epochs: Annotated[
        int, Option("Phase 0: maximum number of epochs that train the whole network; 0 leaves this stage out.", least=0)
    ] = 5,
    scene_learning_rate: Annotated[
        str,
        Option(
            "Phase 0: learning rate of the heads, a number or find; the whole network takes a "
            "hundredth to a tenth of it."
        ),
    ] = "find",
    scene_draws: Annotated[
        int, Option("Phase 0: number of dropout samples, which give a prediction its variance; 0 for none.", least=0)
    ] = 20,
    scene_augment: Annotated[str, Option("Phase 0: augmentation, as for finetune --augment.")] = "none",
    scene_batch: Annotated[int, Option("Phase 0: number of images per batch.")] = 32,
    face: Annotated[
        str,
        Option("Phase 1: run folder of a face expert (import-model), or a table of predictions, instead of EmoNet."),
    ] = "",
    emonet: Annotated[str, Option("Phase 1: EmoNet's weights, a file or a folder.")] = "models/emonet/pretrained",
    face_detector: Annotated[str, Option("Phase 1: face detector: haar, columns or whole.")] = "haar",
    face_box_scale: Annotated[
        float,
        Option(
            "Phase 1: side of EmoNet's crop relative to the face box; 1.35 comes close to the crop it was evaluated on."
        ),
    ] = 1.35,
    face_passes: Annotated[
        int, Option("Phase 1: number of views of each face, which give a prediction its variance.", least=1)
    ] = 5,
    weighing: Annotated[
        Literal["inverse-variance", "weighted"],
        Option(f"Phase 2: weighing of the two, by their variances, or by one weight, searched for over {SEARCH}."),
    ] = "inverse-variance",
    recalibrate: Annotated[
        bool,
        Option(
            "Phase 2: whether to recalibrate fused numbers by a + b * prediction; averaging shrinks "
            "the spread, and CCC with it."
        ),
    ] = True,
    stable_alpha: Annotated[
        float, Option("Phase 2: weight of each new frame when sequences are smoothed; 0 does not smooth.")
    ] = 0,
) -> Procedure:
    return SceneFace(locals())


class SceneFace:
    """Its study folder holds a run folder for each step."""

    name = "scene-face"
    phases: tuple[int, ...] = (0, 1, 2)

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def steps(self, phase: int, study: Study) -> list[Step]:
        return {0: self._scene, 1: self._face, 2: self._fusion}[phase](study)

    def _scene(self, study: Study) -> list[Step]:
        from affectkit.commands.finetune import finetune
        from affectkit.protocols._protocol import step

        options = self.options
        rate, lower = _rates(options["scene_learning_rate"])
        cycle = {"schedule": "one-cycle", "warmup": 0.25, "patience": 5, "min_delta": 0.0, "monitor": ""}
        stages = [
            {"name": "frozen", "train": "head", "epochs": options["frozen_epochs"], "learning_rate": rate, **cycle},
            {"name": "unfrozen", "train": "all", "epochs": options["unfrozen_epochs"], "learning_rate": lower, **cycle},
        ][: 1 + bool(options["unfrozen_epochs"])]  # fmt: skip
        says = f"train a scene network on {options['backbone']}: {options['frozen_epochs']} epochs of its heads at "
        says += "a found rate" if rate == "find" else f"rate {rate}"
        if options["unfrozen_epochs"]:
            says += f", then {options['unfrozen_epochs']} epochs of all of it at a hundredth to a tenth of that rate"
        says += "; the epoch is chosen by the CCC of the val rows, which are not trained on"
        return [
            step(
                says,
                finetune,
                study=study,
                folder=study.folder / SCENE,
                base_model=options["backbone"],
                target=",".join(TARGETS),
                stages=json.dumps(stages),
                loss="ccc-mse",
                batch_size=options["scene_batch"],
                augment=options["scene_augment"],
                mc_dropout=options["scene_draws"],
            )
        ]

    def _face(self, study: Study) -> list[Step]:
        from affectkit.commands.calibrate import calibrate
        from affectkit.commands.import_model import import_model
        from affectkit.protocols._protocol import step

        options = self.options
        steps = []
        expert = Path(options["face"]) if options["face"] else study.folder / EXPERT
        if not options["face"]:
            says = (
                f"read faces with EmoNet, {options['face_passes']} views each, found by {options['face_detector']}, in "
                "the val and test images; nothing is trained"
            )
            steps.append(
                step(
                    says,
                    import_model,
                    "emonet",
                    study=study,
                    folder=expert,
                    weights=options["emonet"],
                    detector=options["face_detector"],
                    box_scale=options["face_box_scale"],
                    tta=options["face_passes"],
                )
            )
        for source, folder, method, does in (
            (expert, study.folder / CORRECTED, "linear", "correct its answers, a + b * answer for each dimension"),
            (study.folder / CORRECTED, study.folder / CALIBRATED, "variance-scaling", "scale its variances to errors"),
        ):
            says = f"{does}, fitted on the val rows, each judged by a fit on others; test rows by the final fit"
            needs = [source] if options["face"] and source == expert else []
            targets = ",".join(TARGETS)
            steps.append(
                step(says, calibrate, source, study=study, folder=folder, needs=needs, method=method, target=targets)
            )
        return steps

    def _fusion(self, study: Study) -> list[Step]:
        from affectkit.commands.fuse import fuse
        from affectkit.commands.stabilize import stabilize
        from affectkit.protocols._protocol import step

        options = self.options
        sources = {"scene": study.folder / SCENE, "face": study.folder / CALIBRATED}
        alone = "images without a face are answered by the scene alone"
        if options["recalibrate"]:
            alone += ", the others brought to a + b * answer"
        says = (
            f"fuse scene and face by {options['weighing']}, fitted on the val rows and validated on rows held out; "
            f"{alone}; equal weights and the better of the two stand beside it"
        )
        fused = study.folder / FUSED
        steps = [
            step(
                says,
                fuse,
                *(f"{name}={path}" for name, path in sources.items()),
                study=study,
                folder=fused,
                needs=list(sources.values()),
                rule=options["weighing"],
                search=SEARCH if options["weighing"] == "weighted" else None,
                recalibrate=options["recalibrate"],
            )
        ]
        if options["stable_alpha"]:
            alpha = options["stable_alpha"]
            says = f"smooth the frames of each sequence, {alpha:g} of each new one"
            steps.append(step(says, stabilize, fused, study=study, folder=study.folder / STABLE, alpha=alpha))
        return steps


def _rates(heads: str) -> tuple[str, str]:
    """Of the heads, and of all of the network. Raises "usage" for what is neither `find` nor a number above 0."""
    if heads == "find":
        return heads, "find/100..find/10"
    try:
        rate = float(heads)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise AffectkitError("usage", f"--scene-learning-rate {heads}", remedy="write find, or a number such as .01")
    return f"{rate:g}", f"{rate / 100:g}..{rate / 10:g}"
