#!/usr/bin/env bash
# Acoustic functionals against a frozen speech network, side by side: which features hear emotion better?
#
# what    7 classes, leave one speaker out: eGeMAPSv02 and ComParE_2016 with logistic regression (C chosen inside the
#         folds), and all layers of a frozen network, which a small network learns to weigh inside the folds
# takes   about 7 minutes on 2 cores with EmoDB and Whisper base
# expect  pooled UAR eGeMAPS .606, ComParE .756, Whisper base .893; intervals in README.md; floor .143
#
# usage: bash recipes/speech_features.sh [EMODB_ROOT CHECKPOINT [PADDING]]     PADDING: 30s or none, of Whisper
set -euo pipefail
runs=${RUNS:-runs}/speech_features
corpus=${1:-} checkpoint=${2:-tiny-random:whisper} padding=${3:-none} epochs=${EPOCHS:-50}
if [ -z "$corpus" ]; then
  corpus=$runs/corpus epochs=${EPOCHS:-10}
  affectkit synthesize emodb "$corpus" --size 60 --speakers 4 --resume
fi

affectkit prepare-manifest emodb "$corpus" --folds speaker -o "$runs/manifest" --overwrite
for set in eGeMAPSv02 ComParE_2016; do
  affectkit extract-features --manifest "$runs/manifest" --encoder opensmile --feature-set "$set" -o "$runs/$set" --overwrite
  affectkit train --manifest "$runs/manifest" --features "$runs/$set" --model linear --cv -o "$runs/$set-linear" --overwrite
done
affectkit extract-features --manifest "$runs/manifest" --encoder hf-audio --checkpoint "$checkpoint" --layer all \
  --padding "$padding" -o "$runs/layers" --overwrite
affectkit train --manifest "$runs/manifest" --features "$runs/layers" --model mlp --cv --epochs "$epochs" -o "$runs/layers-mlp" --overwrite
affectkit report "layers=$runs/layers-mlp" "egemaps=$runs/eGeMAPSv02-linear" "compare=$runs/ComParE_2016-linear" \
  -o "$runs/report" --overwrite
