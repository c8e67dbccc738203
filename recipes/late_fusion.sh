#!/usr/bin/env bash
# Late fusion with calibration: two acoustic sources and one of noise, every subset, one selected model.
#
# what    7 classes, leave one speaker out: eGeMAPSv02, ComParE_2016 and a source of random numbers, each with its own
#         linear model; all subsets; two learned fusions; selection on cross-fitted rows; temperature
# on      EmoDB (535 utterances, 10 speakers): give its folder, or set AFFECTKIT_DATA; without either, a synthetic twin
# takes   about 3 minutes on 2 cores
# expect  UAR eGeMAPS .606, ComParE .756, equal weights .724, greedy .754, stacked with noise .738: fusing does not help
#         here, noise costs little; greedy is selected by its NLL (.679), and a temperature does not help (.688)
#
# usage: bash recipes/late_fusion.sh [EMODB_ROOT]
set -euo pipefail
runs=${RUNS:-runs}/late_fusion
corpus=${1:-${AFFECTKIT_DATA:+$AFFECTKIT_DATA/emodb}}
if [ -z "$corpus" ]; then
  corpus=$runs/corpus
  affectkit synthesize emodb "$corpus" --size 70 --speakers 5 --resume
fi
manifest=$runs/manifest

affectkit prepare-manifest emodb "$corpus" --folds speaker -o "$manifest" --overwrite
affectkit extract-features --manifest "$manifest" --encoder opensmile --feature-set eGeMAPSv02 -o "$runs/egemaps-features" --overwrite
affectkit extract-features --manifest "$manifest" --encoder opensmile --feature-set ComParE_2016 -o "$runs/compare-features" --overwrite
# Anybody's table of features is a source; this one knows nothing.
awk -F, 'BEGIN { srand(1); print "id,a,b,c,d" } NR > 1 { print $1 "," rand() "," rand() "," rand() "," rand() }' \
  "$manifest/folds.csv" > "$runs/noise.csv"

affectkit train --manifest "$manifest" --features "$runs/egemaps-features" --cv -o "$runs/egemaps" --overwrite
affectkit train --manifest "$manifest" --features "$runs/compare-features" --cv -o "$runs/compare" --overwrite
affectkit train --manifest "$manifest" --features "$runs/noise.csv" --cv -o "$runs/noise" --overwrite

# Which sources are worth having? Every subset, on the same folds.
affectkit ablate egemaps="$runs/egemaps" compare="$runs/compare" noise="$runs/noise" --rule mean -o "$runs/ablation" --overwrite

# Does fusing help? Judged on cross-fitted rows, against the source that is best on the other speakers.
affectkit fuse egemaps="$runs/egemaps" compare="$runs/compare" noise="$runs/noise" --rule stacked -o "$runs/stacked" --overwrite
affectkit fuse egemaps="$runs/egemaps" compare="$runs/compare" --rule greedy -o "$runs/greedy" --overwrite

# One model with its parents, chosen on cross-fitted rows: no test figure has a say. Then its calibration.
affectkit select "$runs/egemaps" "$runs/compare" "$runs/greedy" "$runs/stacked" --by oof_uar --then oof_nll -o "$runs/selected" --overwrite
affectkit calibrate "$runs/selected" --method temperature -o "$runs/calibrated" --overwrite
affectkit evaluate "$runs/calibrated" --manifest "$manifest" --slices sex -o "$runs/report" --overwrite

# From a raw recording through encoders, models, fusion (where it was chosen) and calibration.
one=$(find "$corpus" -name '*.wav' | sort | sed -n 1p)
affectkit predict --model-dir "$runs/calibrated" "$one"
echo "report: $runs/report/report.html" >&2
