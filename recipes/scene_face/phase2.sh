#!/usr/bin/env bash
# Phase 2 of scene and face: their fusion, by scaled variances, and beside it by a fixed weight.
#
# what    inverse-variance fusion, each expert's variance scaled to its errors for each dimension; images without a face
#         are answered by the scene, the others brought to a + b * answer; compared with the better of the two and with
#         equal weights, over whole groups
# expect  a fusion that may not help: the comparison says so, with an interval
#
# usage: bash recipes/scene_face/phase2.sh MANIFEST STUDY [FACE]
set -euo pipefail
affectkit train --phase 2 --manifest "$1" -o "$2" --resume
affectkit evaluate "$2/phase2" --manifest "$1" --split test -o "$2/phase2_report" --overwrite

# One weight for all images, searched for over .3 to .7 on the val rows.
affectkit fuse scene="$2/phase0" face="$2/phase1/calibrated" --rule weighted --search .3:.7:.1 --manifest "$1" \
  -o "$2/phase2_weighted" --resume
echo "report: $2/phase2_report/report.html" >&2
