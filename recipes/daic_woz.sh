#!/usr/bin/env bash
# Depression from interviews (DAIC-WOZ): words, voice and face of the participant, and what the interviewer gives away.
#
# what    the official split (dev is val). Words of the participant alone; COVAREP and action units as statistics of the
#         participant's turns; PHQ-8, severity and depression by several heads; the figure with the interviewer's prompts
#         and without them; screening at PHQ-8 10
# on      DAIC-WOZ, unpacked (dcapswoz.ict.usc.edu, on request): the folders XXX_P and the tables of the splits. Without a
#         folder, a synthetic twin, in which the interviewer's questions were made to depend on the label, as in the corpus
# takes   the twin of 40 interviews: about a minute on one core
# expect  on the twin a UAR that is clearly higher with the interviewer: her prompts were written for it. Published figures
#         on DAIC-WOZ that read them (F1 .90) are of her, not of the participant
#
# usage: bash recipes/daic_woz.sh [ROOT]
set -euo pipefail
runs=${RUNS:-runs}/daic_woz
corpus=${1:-}
epochs=${EPOCHS:-50} folds=${STOPPING_FOLDS:-5} seeds=${SEEDS:-5}
if [ -z "$corpus" ]; then
  corpus=$runs/corpus epochs=${EPOCHS:-10} folds=${STOPPING_FOLDS:-1} seeds=${SEEDS:-1}
  affectkit synthesize daic-woz "$corpus" --size "${SIZE:-160}" --speakers "${SPEAKERS:-40}" --resume
fi

# A row for each interview: what the participant said, and the time series at the participant's turns.
affectkit prepare-manifest daic-woz "$corpus" --per session -o "$runs/manifest" --overwrite
rows=(--manifest "$runs/manifest")
affectkit extract-features "${rows[@]}" --encoder text-ngrams -o "$runs/words" --overwrite
affectkit extract-features "${rows[@]}" --encoder low-level --series covarep --pool stats -o "$runs/voice" --overwrite
affectkit extract-features "${rows[@]}" --encoder low-level --series aus --pool stats -o "$runs/face" --overwrite

# Words by a linear model, voice and face by one network with three heads. Cross-fitted on train and dev; test is apart.
affectkit train "${rows[@]}" --features "$runs/words" --model linear --target depressed,phq8 --cv -o "$runs/linear" --overwrite
affectkit train "${rows[@]}" --features "$runs/voice" --features "$runs/face" --model mlp --target depressed,phq8,severity \
  --cv --epochs "$epochs" --stopping-folds "$folds" -o "$runs/heads" --overwrite
affectkit fuse words="$runs/linear" signals="$runs/heads" --target depressed --rule mean -o "$runs/fused" --overwrite
affectkit evaluate "$runs/fused" --manifest "$runs/manifest" --slices sex --alert 'depressed.yes>=.5' --prevalence .1 \
  -o "$runs/report" --overwrite

# With the interviewer and without: every report of this manifest says that her turns are in it.
affectkit prepare-manifest daic-woz "$corpus" --per session --interviewer -o "$runs/both" --overwrite
for side in participant interviewer; do
  affectkit extract-features --manifest "$runs/both" --encoder text-ngrams --text-column "text_$side" --on-error skip \
    -o "$runs/words_$side" --overwrite
done
affectkit ablate --manifest "$runs/both" --features participant="$runs/words_participant" \
  --features interviewer="$runs/words_interviewer" --target depressed --missing drop --seeds "$seeds" -o "$runs/with_and_without" --overwrite
echo "reports: $runs/report/report.html, $runs/with_and_without/report.html" >&2
