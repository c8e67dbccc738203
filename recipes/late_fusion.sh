#!/usr/bin/env bash
# Late fusion with calibration: two acoustic sources and one of noise, every subset, one selected model.
#
# what    7 classes, leave one speaker out: eGeMAPSv02, ComParE_2016 and a source of random numbers, each with its own
#         linear model; all subsets; two learned fusions; temperature; selection on cross-fitted rows
# on      EmoDB (535 utterances, 10 speakers): give its folder, or set AFFECTKIT_DATA; without either, a synthetic twin
# takes   about 6 minutes on 2 cores
# expect  fusing helps little or not at all (ComParE alone is hard to beat), and noise never helps: the figures say so
#
# usage: bash recipes/late_fusion.sh [EMODB_ROOT]
set -euo pipefail
runs=${RUNS:-runs}/late_fusion
corpus=${1:-${AFFECTKIT_DATA:+$AFFECTKIT_DATA/emodb}}
if [ -z "$corpus" ]; then
  corpus=$runs/corpus
  affectkit synthesize emodb "$corpus" --size 105 --speakers 5 --resume
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
for model in compare stacked greedy; do
  affectkit calibrate "$runs/$model" --method temperature -o "$runs/$model-calibrated" --overwrite
done

# One model, with its parents, chosen on cross-fitted rows: no test figure has a say.
affectkit select "$runs/egemaps" "$runs/compare" "$runs/compare-calibrated" "$runs/greedy-calibrated" "$runs/stacked-calibrated" \
  --by oof_uar --then oof_nll -o "$runs/selected" --overwrite
affectkit evaluate "$runs/selected" --manifest "$manifest" --slices sex -o "$runs/report" --overwrite

# From a raw recording through encoders, models, fusion and calibration.
one=$(find "$corpus" -name '*.wav' | sort | sed -n 1p)
affectkit predict --model-dir "$runs/greedy-calibrated" "$one"
affectkit predict --model-dir "$runs/selected" "$one"
echo "report: $runs/report/report.html" >&2
