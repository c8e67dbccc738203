#!/usr/bin/env bash
# Valence and arousal of scenes with faces, all three phases: scene network, face expert, their fusion.
#
# on      EMOTIC, FindingEmo, OASIS or AffectNet: give its name and folder; without them, EMOTIC's synthetic twin, with
#         small networks from scratch, the face expert trained on AffectNet's twin
# takes   the twin about four minutes on 2 CPU cores
# expect  figures of a twin mean nothing, but for this: fusing helps there, as scene and face see different things
#
# usage: bash recipes/scene_face/all.sh [CORPUS ROOT [BACKBONE [FACE]]]
set -euo pipefail
here=$(dirname "$0")
corpus=${1:-emotic} root=${2:-}
study=${RUNS:-runs}/scene_face/$corpus
backbone=${3:-open_clip:ViT-B-32/laion2b_s34b_b79k} face=${4:-}
split=official
case $corpus in findingemo | oasis) split=group ;; esac

if [ -z "$root" ]; then
  root=$study/corpus backbone=$SMALL_NETWORK face=$study/face
  export FROZEN_EPOCHS=2 UNFROZEN_EPOCHS=8 AUGMENT=light
  affectkit synthesize "$corpus" "$root" --size 400 --resume
fi
affectkit prepare-manifest "$corpus" "$root" -o "$study/manifest" --overwrite
bash "$here/phase0.sh" "$study/manifest" "$study" "$backbone"
bash "$here/phase1.sh" "$study/manifest" "$study" "$face"
bash "$here/phase2.sh" "$study/manifest" "$study"
