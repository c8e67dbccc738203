#!/usr/bin/env bash
# SUPERB's emotion task: a frozen encoder, learned weights of its layers, mean over frames, a linear head.
#
# what    IEMOCAP, 4 classes (angry, happy with excited, neutral, sad), leave one session out. All that precedes the mean
#         over frames is linear, so each layer is pooled first: 220 MB of features instead of 50 GB of frames, exactly
#         equal. The head's epochs are chosen by speakers inside the four sessions it is fitted on.
# on      IEMOCAP (5,531 utterances, about 7 hours): give its folder, and a network; without it, a synthetic twin and a
#         network of random weights
# takes   features: about 10 minutes on a GPU, hours on a CPU; the head: minutes; the twin: under a minute
# expect  WA, mean over the sessions, as published: wav2vec2-base .634, HuBERT-base .649, WavLM-base .659, WavLM-large
#         .700. The twin's figures mean nothing. Splits that mix speakers give .77 to .79 and are not comparable.
#
# usage: bash recipes/superb_iemocap.sh [IEMOCAP_ROOT] [ENCODER]
set -euo pipefail
runs=${RUNS:-runs}/superb_iemocap
launch=${LAUNCH:-affectkit}
corpus=${1:-}
encoder=${2:-facebook/wav2vec2-base}
epochs=50
if [ -z "$corpus" ]; then
  corpus=$runs/corpus encoder=tiny-random:wav2vec2 epochs=3
  affectkit synthesize iemocap "$corpus" --size 60 --resume
fi

affectkit prepare-manifest iemocap "$corpus" --preset 4class --folds session -o "$runs/manifest" --overwrite
$launch extract-features --manifest "$runs/manifest" --encoder hf-audio --checkpoint "$encoder" --layer all --pool mean \
  -o "$runs/features" --overwrite

# SUPERB counts every clip alike; its projection of 256 and its linear layer have nothing between them.
affectkit train --manifest "$runs/manifest" --features "$runs/features" --target label --model mlp \
  --hidden-size 256 --hidden-layers 0 --dropout 0 --class-weight none --epochs $epochs --cv -o "$runs/head" --overwrite

# The published figure is the mean over the sessions, in per_fold.csv (WA is the accuracy); the pooled one has an interval.
affectkit evaluate "$runs/head" --manifest "$runs/manifest" --group session -o "$runs/report" --overwrite
cat "$runs/report/per_fold.csv"
