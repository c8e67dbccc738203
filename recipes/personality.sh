#!/usr/bin/env bash
# Personality as raters see it in short clips: how a person looks, how the person moves, and what each says of the other.
#
# what    five traits from two sets of features: static ones of frames (or faces) by an image network, dynamic ones from
#         optical flow, a step for each window of time. Cross-attention, in which the static features ask which of the
#         steps count, against both side by side and against each alone; whole source videos in each part. Attention per
#         step and head, curves, TensorBoard's logs, all runs compared on the same clips
# on      First Impressions V2: a folder with its annotation_*.pkl and the unpacked clips. Without a folder, a synthetic
#         twin. CHECKPOINT names the image network, CROP=face takes the largest face of a frame
# takes   the twin of 60 clips: about 60 CPU seconds
# expect  on the twin of 60 clips nothing but that every step runs. On one of 1,500 cross-attention alone tells extraversion
#         and neuroticism (recipes/README.md), which it was made for. Of First Impressions nothing was measured here;
#         the mean of the traits is .88 of 1 - MAE, published networks have .91 to .93
#
# usage: bash recipes/personality.sh [ROOT]
set -euo pipefail
runs=${RUNS:-runs}/personality
corpus=${1:-}
checkpoint=${CHECKPOINT:-resnet50/a1_in1k} crop=${CROP:-none} epochs=${EPOCHS:-50} folds=${STOPPING_FOLDS:-5}
motion=(--regions 3x3 --window 1)
if [ -z "$corpus" ]; then
  corpus=$runs/corpus epochs=${EPOCHS:-4} folds=${STOPPING_FOLDS:-1}
  checkpoint=${CHECKPOINT:-tiny-random:timm,name=test_resnet,size=64} motion=(--regions 2x2 --window .3 --flow-size 64)
  affectkit synthesize first-impressions "$corpus" --size "${SIZE:-60}" --speakers "${SPEAKERS:-15}" --resume
fi
manifest=$runs/manifest

# The corpus's own split deals out clips, so that one video is in several parts; here whole videos are.
affectkit prepare-manifest first-impressions "$corpus" --split-by sequence -o "$manifest" --overwrite

# How a clip looks: the mean of a frame a second. How it moves: speed and direction by region, window after window.
affectkit extract-features --manifest "$manifest" --encoder timm --checkpoint "$checkpoint" --crop "$crop" --fps 1 -o "$runs/static" --overwrite
affectkit extract-features --manifest "$manifest" --encoder motion "${motion[@]}" -o "$runs/dynamic" --overwrite

# The look attends to the motion. Its attention is exported; TensorBoard reads runs/personality/cross.
static=(--features static="$runs/static") dynamic=(--features dynamic="$runs/dynamic")
train=(--manifest "$manifest" --epochs "$epochs" --stopping-folds "$folds" --batch-size 64)
affectkit train "${train[@]}" "${static[@]}" "${dynamic[@]}" --model cross-attention --query static --export-attention \
  --track tensorboard -o "$runs/cross" --overwrite

# Is it the attention? Both sets side by side, and each alone.
affectkit train "${train[@]}" "${static[@]}" "${dynamic[@]}" --model cross-attention --join concat -o "$runs/concat" --overwrite
affectkit train "${train[@]}" "${static[@]}" --model mlp -o "$runs/static_alone" --overwrite
affectkit train "${train[@]}" "${dynamic[@]}" --model attention -o "$runs/dynamic_alone" --overwrite

# Curves, scatter plots and errors of each trait; then all four on the same clips, with paired intervals over videos.
affectkit plot "$runs/cross" --format png -o "$runs/plots" --overwrite
affectkit report "$runs/cross" "$runs/concat" "$runs/static_alone" "$runs/dynamic_alone" -o "$runs/compared" --overwrite
echo "reports: $runs/cross/training.html, $runs/compared/report.html; figures: $runs/plots; tensorboard --logdir $runs/cross" >&2
