#!/usr/bin/env bash
# Labels where they matter: from one row in ten with a label through five rounds of questions, and what strategies save.
#
# what    7 classes, ComParE_2016 functionals, logistic regression; rows are asked for by least confidence. The corpus
#         stands in for the person: `answer` looks its label up, where `affectkit label` would ask you. Then learning
#         curves of strategies against random rows, people judged in turn, over ten seeds
# on      EmoDB's folder; without one its synthetic twin, with fewer features and two seeds
# takes   two minutes on 2 cores with EmoDB; the twin about a minute
# expect  least-confidence needs .61 [.47, .79] of random's labels for its UAR; of a twin, whose voices overlap, little or
#         nothing is saved. README.md has more
#
# usage: bash recipes/active_learning.sh [EMODB_ROOT]
set -euo pipefail
runs=${RUNS:-runs}/active_learning
corpus=${1:-} set=ComParE_2016 c=.001 seeds=${SEEDS:-10}
if [ -z "$corpus" ]; then
  corpus=$runs/corpus set=eGeMAPSv02 c=.1 seeds=${SEEDS:-2}
  affectkit synthesize emodb "$corpus" --size 120 --speakers 6 --resume
fi
rounds=${ROUNDS:-5}

# Everybody's labels, as the corpus has them, two people in ten put away for judging; and the same with none to learn from.
affectkit prepare-manifest emodb "$corpus" --val-fraction 0 --test-fraction .2 -o "$runs/known" --overwrite
affectkit extract-features --manifest "$runs/known" --encoder opensmile --feature-set "$set" -o "$runs/features" --overwrite
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
affectkit query --manifest "$runs/unlabelled" --strategy random -n "$count" -o "$runs/queue0.csv" --overwrite
for round in $(seq 0 "$rounds"); do
  answer "$runs/queue$round.csv" "$runs/labels.jsonl" # affectkit label "$runs/queue$round.csv" -o "$runs/labels.jsonl"
  affectkit prepare-manifest labels "$runs/labels.jsonl" --manifest "$runs/unlabelled" -o "$runs/manifest$round" --overwrite
  affectkit train --manifest "$runs/manifest$round" --features "$runs/features" --c-grid $c -o "$runs/model$round" --overwrite
  if [ "$round" -lt "$rounds" ]; then
    affectkit predict --model-dir "$runs/model$round" --manifest "$runs/manifest$round" --features "$runs/features" \
      --split train -o "$runs/pool$round.csv" --overwrite
    affectkit query "$runs/pool$round.csv" --manifest "$runs/manifest$round" --strategy least-confidence -n "$count" \
      -o "$runs/queue$((round + 1)).csv" --overwrite
  fi
done
affectkit report "$runs"/model? -o "$runs/report" --overwrite

# One run says little. Curves over seeds, each fold of people judged in turn: what each strategy saves against random rows.
affectkit prepare-manifest emodb "$corpus" --folds 5 -o "$runs/folds" --overwrite
strategies=(--strategy least-confidence --strategy margin)
affectkit learning-curve --manifest "$runs/folds" --features "$runs/features" --c-grid $c "${strategies[@]}" --seeds "$seeds" \
  -o "$runs/curves" --overwrite
echo "reports: $runs/curves/report.html, $runs/report/report.html" >&2
