#!/usr/bin/env bash
# Speech emotion in one chain: corpus -> manifest -> openSMILE features -> linear model -> predictions -> report.
#
# what    7 classes, leave one speaker out, eGeMAPSv02 functionals, logistic regression with C chosen inside each fold
# on      EmoDB (535 utterances, 10 speakers): give its folder, or set AFFECTKIT_DATA; without either, a synthetic twin
# takes   about 1 minute on 2 cores
# expect  EmoDB, clips of 2.00 s: pooled UAR .606 [.491, .711], floor .143. The synthetic twin's figures say nothing about speech.
#
# usage: bash recipes/quickstart.sh [CORPUS_ROOT]
set -euo pipefail
runs=${RUNS:-runs}/quickstart
corpus=${1:-${AFFECTKIT_DATA:+$AFFECTKIT_DATA/emodb}}
if [ -z "$corpus" ]; then
  corpus=$runs/corpus
  affectkit synthesize emodb "$corpus" --size 126 --speakers 6 --resume
fi

affectkit prepare-manifest emodb "$corpus" --folds speaker -o "$runs/manifest" --overwrite
affectkit extract-features --manifest "$runs/manifest" --encoder opensmile --feature-set eGeMAPSv02 -o "$runs/features" --overwrite
affectkit train --manifest "$runs/manifest" --features "$runs/features" --model linear --cv -o "$runs/linear" --overwrite

# The model answers for a bare recording too, with its own encoder.
one=$(find "$corpus" -name '*.wav' | sort | sed -n 1p)
affectkit predict --model-dir "$runs/linear" "$one"

affectkit evaluate "$runs/linear" --manifest "$runs/manifest" --group speaker --slices sex -o "$runs/report" --overwrite
echo "report: $runs/report/report.html" >&2
