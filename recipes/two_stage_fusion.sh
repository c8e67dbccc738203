#!/usr/bin/env bash
# A clinical table and pictures of an ulcer, fused in two stages: a random forest beside an image network.
#
# what    3 phases of healing, whole patients in each fold. A forest on the clinical table, by its cross-fitted answers; a
#         network on two pictures, trained alone; then both mixed, .7 and .3: in stage 1 the network is frozen, in stage 2
#         it is trained at 1/100 of the rate, and undone where that does not help. What the table, each picture and the
#         second stage are worth; success criteria as exit codes
# on      the layout of the foot-ulcer study (`affectkit synthesize dfu`): give a folder of your own data in it. The study's
#         own table was released outside its ethics approval, and is not to be used. Without a folder, a synthetic twin
#         BASE=timm:efficientnet_b0 starts from weights of ImageNet; the dry run has a tiny network of random weights,
#         30 trees (TREES) for 300, 10 rounds of boosting (ROUNDS) for a chosen number, 2 folds (FOLDS) for 5
# takes   the twin of 90 rows: a minute and a half on one core
# expect  on the twin nothing but that every step runs: the network is tiny, and its figures mean nothing. recipes/README.md
#         has what a larger twin gives
#
# usage: bash recipes/two_stage_fusion.sh [ROOT]
set -euo pipefail
runs=${RUNS:-runs}/two_stage_fusion
corpus=${1:-}
base=${BASE:-timm:efficientnet_b0} epochs=${EPOCHS:-30} trees=${TREES:-300} rounds=${ROUNDS:-0} folds=${FOLDS:-} again=3
if [ -z "$corpus" ]; then
  corpus=$runs/corpus base=${BASE:-tiny-random:resnet} epochs=${EPOCHS:-2} trees=${TREES:-30} rounds=${ROUNDS:-10} folds=${FOLDS:-2} again=2
  affectkit synthesize dfu "$corpus" --size "${SIZE:-90}" --speakers "${SPEAKERS:-30}" --resume
fi
manifest=$runs/manifest
leak='Phase Confidence (%)' # written down by whoever named the phase

# Whole patients in each part. Rows that repeat another patient's are named, and left out. An open test set stays apart.
affectkit prepare-manifest dfu "$corpus" --repeats drop ${folds:+--folds "$folds" --test-fraction .2} -o "$manifest" --overwrite

# The table alone: its columns by kind, gaps filled inside the folds, and what each is worth.
table=(--manifest "$manifest" --features 'manifest:*' --exclude "$leak" --cv)
affectkit train "${table[@]}" --model forest --trees "$trees" --depth 10 --min-leaf 5 --select-features 80 --impute knn -o "$runs/forest" --overwrite
affectkit train "${table[@]}" --model boosted --rounds "$rounds" -o "$runs/boosted" --overwrite

# Two pictures alone, a branch each; the network of each fold is kept, for the second stage to start from.
pictures=(--manifest "$manifest" --media thermal_map,depth_rgb --crop box --cv)
affectkit finetune "${pictures[@]}" --base-model "$base" --epochs "$epochs" --learning-rate "${RATE:-3e-3}" \
  --monitor kappa --keep-folds -o "$runs/pictures" --overwrite

# Both. The forest is fitted again inside each fold. Weights that are fixed, as published, and weights that are learned.
fuse=("${pictures[@]}" --init "$runs/pictures" --beside metadata="$runs/forest" --stages two-stage --monitor kappa)
affectkit finetune "${fuse[@]}" --mix .7,.3 --epochs "$epochs" --learning-rate "${RATE:-3e-3}" -o "$runs/fused" --overwrite
affectkit finetune "${fuse[@]}" --mix learn --epochs "$epochs" --learning-rate "${RATE:-3e-3}" -o "$runs/learned" --overwrite

# What the table, each picture and all together are worth: every subset is trained anew, on three folds of patients (of the twin two).
affectkit ablate --retrain "$runs/fused" --include metadata --include thermal_map --include depth_rgb \
  --include metadata,thermal_map --include metadata,thermal_map,depth_rgb --cv-folds "$again" --by kappa -o "$runs/ablation" --overwrite

# Success criteria: 0 all met, 3 some missed, 4 none missed, but the interval of some holds the number.
affectkit evaluate "$runs/fused" --split test --require 'kappa>=.20' --require 'gap<=.2' -o "$runs/report" --overwrite || [ $? -ge 3 ]
affectkit select "$runs/forest" "$runs/boosted" "$runs/pictures" "$runs/fused" "$runs/learned" --by oof_kappa -o "$runs/selected" --overwrite

# New patients, by the whole chain: the table of the manifest through the forest, the pictures through the network.
affectkit predict --model-dir "$runs/fused" --manifest "$manifest" --split test
echo "reports: $runs/fused/training.html, $runs/ablation/report.html, $runs/forest/training.html" >&2
