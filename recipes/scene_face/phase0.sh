#!/usr/bin/env bash
# Phase 0 of scene and face: a scene network for valence and arousal.
#
# what    backbone frozen, heads at a found rate, one-cycle, 10 epochs, early stopping 5; then all of it for 5 epochs at a
#         hundredth to a tenth of that rate; CCC + MSE; 20 draws of the dropout give each answer a variance
# takes   CLIP ViT-B/32 on 10,000 images: minutes on a GPU for the heads (the backbone runs once), the second stage longer
# expect  on FindingEmo, published for CLIP with linear heads: valence CCC .44, arousal .00
#
# usage: bash recipes/scene_face/phase0.sh MANIFEST STUDY [BACKBONE]
set -euo pipefail
launch=${LAUNCH:-affectkit}
$launch train --phase 0 --manifest "$1" -o "$2" --backbone "${3:-open_clip:ViT-B-32/laion2b_s34b_b79k}" \
  --frozen-epochs "${FROZEN_EPOCHS:-10}" --unfrozen-epochs "${UNFROZEN_EPOCHS:-5}" \
  --scene-augment "${AUGMENT:-none}" --scene-learning-rate "${RATE:-find}" --resume
affectkit evaluate "$2/phase0" --manifest "$1" --split test -o "$2/phase0_report" --overwrite
