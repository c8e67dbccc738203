#!/usr/bin/env bash
# Stress, depression and anxiety from recorded sessions: do the scores agree with what people said of themselves?
#
# what    posture and voice in windows of 5 s; one network with a head for each score; windows put together to sessions
#         after the network and inside it; 5 folds of whole subjects and an untouched fifth of them; agreement with
#         self-reports between and within subjects; screening at a threshold; alerts over time
# on      your own sessions: a folder of recordings (or of landmarks) and one table video,start_sec,end_sec,subject,
#         session,stress,... with a label per second, minute or session (manifests/README.md has the layouts). Without
#         a folder, a synthetic twin
# takes   the twin of 10 people: about 60 CPU seconds
# expect  on the twin, whose postures were made to tell stress: a CCC of stress above the train mean's 0 within subjects
#         too; of depression and anxiety, known of two thirds of the sessions, little. Figures of a twin mean nothing
#         for people
#
# usage: bash recipes/mental_health.sh [ROOT]
set -euo pipefail
runs=${RUNS:-runs}/mental_health
corpus=${1:-}
targets=${TARGETS:-stress=1:5,depression=0:27,anxiety=0:21} epochs=${EPOCHS:-50} folds=${STOPPING_FOLDS:-5}
if [ -z "$corpus" ]; then
  corpus=$runs/corpus epochs=${EPOCHS:-4} folds=${STOPPING_FOLDS:-1}
  affectkit synthesize sessions "$corpus" --size "${SIZE:-600}" --speakers "${SPEAKERS:-10}" --resume
fi
manifest=$runs/manifest

# A row for each window, its labels averaged; whole subjects in each fold, and a fifth of them put away for the end.
affectkit prepare-manifest sessions "$corpus" --target-columns "$targets" --window 5 --folds 5 --test-fraction .2 \
  --group subject -o "$manifest" --overwrite

# What is seen and heard in a window: posture from landmarks (mean, spread, slope, share of missing), acoustic functionals.
affectkit extract-features --manifest "$manifest" --encoder landmarks --pool stats --image-size 1280x720 -o "$runs/posture" --overwrite
affectkit extract-features --manifest "$manifest" --encoder opensmile -o "$runs/voice" --overwrite

# One trunk, a head for each score; rows that lack a score are left out of its head alone. Is that better than three
# networks? --separate trains these too, and the report compares them.
features=(--manifest "$manifest" --features "$runs/posture" --features "$runs/voice" --cv --epochs "$epochs" --stopping-folds "$folds")
affectkit train "${features[@]}" --model mlp --target stress,depression,anxiety --task-weights uncertainty --separate \
  -o "$runs/windows" --overwrite

# Windows put together to sessions after the network, and inside it.
affectkit aggregate "$runs/windows" --manifest "$manifest" --to session --group subject -o "$runs/after" --overwrite
affectkit train "${features[@]}" --model attention --sequence session --target stress,depression,anxiety -o "$runs/inside" --overwrite

# Do the scores agree with self-reports, between people and within them? Beside the train mean and each person's own mean.
affectkit evaluate "$runs/after" --manifest "$manifest" --group subject --agreement --alert 'depression>=10' --prevalence .1 \
  -o "$runs/agreement" --overwrite
affectkit evaluate "$runs/windows" --manifest "$manifest" --group subject --agreement -o "$runs/agreement_of_windows" --overwrite

# Alerts while a session goes on; the threshold was looked for on cross-fitted rows, these are judged on the held-out people.
affectkit evaluate "$runs/windows" --manifest "$manifest" --split oof --alert 'stress>=3' --alert 'stress>=3.5' -o "$runs/thresholds" --overwrite
affectkit alert "$runs/windows" --manifest "$manifest" --split test --when 'stress>=3' --for 5 --clear 2.5 --cooldown 15 \
  --sequence session --time time_sec --group subject -o "$runs/alerts" --overwrite
echo "reports: $runs/agreement/report.html, $runs/windows/training.html, $runs/alerts/report.html" >&2
