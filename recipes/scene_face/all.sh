#!/usr/bin/env bash
# Valence and arousal of scenes with faces, all three phases: scene network, face expert, their fusion.
#
# on      FindingEmo, EMOTIC, OASIS or AffectNet: give its name and folder. Without a folder, the corpus's synthetic twin,
#         small networks from scratch, and a face expert that is fine-tuned on the drawn faces of AffectNet's twin
# needs   EmoNet's weights in models/emonet/pretrained (from its authors, CC BY-NC-ND 4.0, research only), or FACE: a run
#         folder of import-model
# takes   a twin of 200 images about 60 CPU seconds
# expect  a comparison of the fusion with the better of the two, with an interval; on the twin with SIZE=1500
#         PORTRAITS=800, whose scene network starts from random weights, -.00 to .04 CCC for 281 test images; figures of a
#         twin mean nothing for real images
#
# usage: bash recipes/scene_face/all.sh [CORPUS [ROOT [BACKBONE [FACE]]]]
set -euo pipefail
here=$(dirname "$0")
corpus=${1:-findingemo} root=${2:-}
study=${RUNS:-runs}/scene_face_$corpus
backbone=${3:-open_clip:ViT-B-32/laion2b_s34b_b79k} face=${4:-}

if [ -z "$root" ]; then
  root=$study/corpus backbone=tiny-random:timm,name=test_resnet,size=64 face=$study/face
  export FROZEN_EPOCHS=4 UNFROZEN_EPOCHS=2
  affectkit synthesize "$corpus" "$root" --size "${SIZE:-200}" --speakers 24 --resume  # people, or themes
fi
affectkit prepare-manifest "$corpus" "$root" -o "$study/manifest" --overwrite

if [ "$face" = "$study/face" ]; then
  affectkit synthesize affectnet "$study/portraits" --size "${PORTRAITS:-150}" --seed 1 --resume
  affectkit prepare-manifest affectnet "$study/portraits" -o "$study/portraits_manifest" --overwrite
  affectkit finetune --manifest "$study/portraits_manifest" --base-model "$backbone" --target valence,arousal \
    --crop face --on-error skip --epochs 8 --batch-size 16 --learning-rate 3e-3 --schedule one-cycle -o "$study/face_network" --resume
  # .85: the detector's boxes are 1.18 times as wide as those that the network was trained on
  affectkit import-model finetuned --model-dir "$study/face_network" --manifest "$study/manifest" --box-scale .85 \
    --tta 5 -o "$face" --resume
fi

bash "$here/phase0.sh" "$study/manifest" "$study" "$backbone"
bash "$here/phase1.sh" "$study/manifest" "$study" "$face"
bash "$here/phase2.sh" "$study/manifest" "$study"
