#!/usr/bin/env bash
# Labels where they matter: from one row in ten with a label through five rounds of questions, and what strategies save.
#
# what    7 classes, logistic regression; rows are asked for by least confidence. The corpus stands in for the person:
#         `answer` looks its label up, where `affectkit label` would ask you. Then learning curves of strategies against
#         random rows, folds judged in turn, over ten seeds
# on      EmoDB's folder (ComParE_2016 functionals); without one 600 lines of MELD's synthetic twin (n-grams of words),
#         which tell their emotion clearly, or SENTENCES=telling, for the most part
# takes   two minutes on 2 cores with EmoDB; the twin a minute and a half
# expect  least-confidence needs .61 [.47, .79] of random's labels for its UAR on EmoDB, .64 [.59, .69] on the twin; what
#         no model could tell, no strategy saves: of twins that are less clear little or nothing. README.md has more
#
# usage: bash recipes/active_learning.sh [EMODB_ROOT]
set -euo pipefail
runs=${RUNS:-runs}/active_learning
corpus=${1:-} rounds=${ROUNDS:-5}
if [ -n "$corpus" ]; then
  source=(emodb "$corpus") group=speaker encoder=(opensmile --feature-set ComParE_2016) c=.001
else # the cast of the series speaks in every dialogue, as in MELD itself
  corpus=$runs/corpus
  source=(meld "$corpus" --text-only --allow-leaks speaker,session,text) group=dialogue encoder=(text-ngrams) c=1
  affectkit synthesize meld "$corpus" --size "${SIZE:-600}" --sentences "${SENTENCES:-clear}" --text-only --resume
fi

# Everybody's labels, as the corpus has them, a fifth of them put away for judging; and the same with none to learn from.
affectkit prepare-manifest "${source[@]}" --split-by $group --val-fraction 0 --test-fraction .2 -o "$runs/known" --overwrite
affectkit extract-features --manifest "$runs/known" --encoder "${encoder[@]}" -o "$runs/features" --overwrite
withhold() { # KNOWN UNLABELLED
  python - "$@" <<'PY'
import csv, json, shutil, sys
from pathlib import Path

known, unlabelled = map(Path, sys.argv[1:])
shutil.rmtree(unlabelled, ignore_errors=True)
unlabelled.mkdir(parents=True)
shutil.copy(known / "summary.json", unlabelled)
shutil.copy(known / "test.csv", unlabelled)
rows = list(csv.DictReader((known / "train.csv").open(encoding="utf-8")))
with (unlabelled / "train.csv").open("w", encoding="utf-8", newline="") as file:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows({**row, "label": "", "source_label": ""} for row in rows)
PY
}
answer() { # QUEUE LABELS: a line of labels.jsonl for every row of the queue
  python - "$runs/known" "$@" <<'PY'
import csv, json, sys
from pathlib import Path

known, queue, labels = map(Path, sys.argv[1:])
label = {row["id"]: row["label"] for row in csv.DictReader((known / "train.csv").open(encoding="utf-8"))}
classes = json.loads((known / "label_map.json").read_text())["classes"]
lines = [] if labels.exists() else [{"schema": 1, "targets": [{"name": "label", "kind": "class", "classes": classes}]}]
for row in csv.DictReader(queue.open(encoding="utf-8")):
    said = {"label": label[row["id"]]}
    lines.append({"key": f"corpus {row['id']}", "id": row["id"], "annotator": "corpus", "labels": said, "tool": "recipe"})
with labels.open("a", encoding="utf-8") as file:
    file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
PY
}
withhold "$runs/known" "$runs/unlabelled"
rm -f "$runs/labels.jsonl"
count=$((($(wc -l < "$runs/unlabelled/train.csv") - 1) / 10)) # rows that are asked for in a round

# Round 0 has no model to ask: rows at random. Then the rows that the model is least sure of, in five rounds.
affectkit query --manifest "$runs/unlabelled" --group $group --strategy random -n "$count" -o "$runs/queue0.csv" --overwrite
for round in $(seq 0 "$rounds"); do
  answer "$runs/queue$round.csv" "$runs/labels.jsonl" # affectkit label "$runs/queue$round.csv" -o "$runs/labels.jsonl"
  affectkit prepare-manifest labels "$runs/labels.jsonl" --manifest "$runs/unlabelled" -o "$runs/manifest$round" --overwrite
  affectkit train --manifest "$runs/manifest$round" --features "$runs/features" --c-grid $c -o "$runs/model$round" --overwrite
  if [ "$round" -lt "$rounds" ]; then
    affectkit predict --model-dir "$runs/model$round" --manifest "$runs/manifest$round" --features "$runs/features" \
      --split train -o "$runs/pool$round.csv" --overwrite
    affectkit query "$runs/pool$round.csv" --manifest "$runs/manifest$round" --group $group --strategy least-confidence \
      -n "$count" -o "$runs/queue$((round + 1)).csv" --overwrite
  fi
done
affectkit report "$runs"/model? -o "$runs/report" --overwrite

# One run says little. Curves over seeds, each fold judged in turn: what each strategy saves against random rows.
affectkit prepare-manifest "${source[@]}" --folds 5 -o "$runs/folds" --overwrite
strategies=(--strategy least-confidence --strategy margin)
affectkit learning-curve --manifest "$runs/folds" --features "$runs/features" --c-grid $c "${strategies[@]}" --seeds "${SEEDS:-10}" \
  -o "$runs/curves" --overwrite
echo "reports: $runs/curves/report.html, $runs/report/report.html" >&2
