#!/usr/bin/env bash
# Phase 1 of scene and face: a fixed face expert, calibrated for each dimension; nothing is trained.
#
# what    EmoNet (or any face expert that import-model made) reads the faces of the val and test images, five views each;
#         a + b * answer and a + b * variance are fitted on the val rows, and judged on rows that they were not fitted on
# needs   EmoNet's weights from its authors (CC BY-NC-ND 4.0, research only) in models/emonet/pretrained, or FACE
# expect  EmoNet finds a face in 38 % of FindingEmo's images; valence CCC there .17 over all of them, as published
#
# usage: bash recipes/scene_face/phase1.sh MANIFEST STUDY [FACE]
set -euo pipefail
affectkit train --phase 1 --manifest "$1" -o "$2" ${3:+--face "$3"} --resume
affectkit evaluate "$2/phase1/calibrated" --manifest "$1" --split test -o "$2/phase1_report" --overwrite
