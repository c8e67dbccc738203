#!/usr/bin/env bash
# Valence, arousal and dominance of sentences: hashed word and character n-grams, ridge regression.
#
# what    EmoBank's official split; figures on its test part
# takes   about 1 minute on 2 cores with EmoBank
# expect  EmoBank: test valence CCC .499 [.455, .540], floor 0 (the train mean). EmoBank repeats texts between its parts: declared.
#
# usage: bash recipes/text_valence.sh [EMOBANK_ROOT]
set -euo pipefail
runs=${RUNS:-runs}/text_valence
corpus=${1:-}
if [ -z "$corpus" ]; then
  corpus=$runs/corpus
  affectkit synthesize emobank "$corpus" --size 1000 --resume
fi

affectkit prepare-manifest emobank "$corpus" -o "$runs/manifest" --overwrite
affectkit extract-features --manifest "$runs/manifest" --encoder text-ngrams -o "$runs/ngrams" --overwrite
affectkit train --manifest "$runs/manifest" --features "$runs/ngrams" --model linear --target valence,arousal,dominance \
  -o "$runs/ridge" --overwrite
affectkit evaluate "$runs/ridge" --manifest "$runs/manifest" --split test -o "$runs/report" --overwrite
