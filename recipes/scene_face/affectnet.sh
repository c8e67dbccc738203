#!/usr/bin/env bash
# Scene and face on AffectNet: every image is a face, and the scene network sees little more. `all.sh` has the rest.
#
# EmoNet was trained on AffectNet's train part: only its validation part, our test rows, says what it is worth.
#
# usage: bash recipes/scene_face/affectnet.sh [ROOT [BACKBONE [FACE]]]
# The twin's backbone of random weights sees too little in faces for a rate to be found.
[ $# -gt 0 ] || export RATE=.01
exec bash "$(dirname "$0")/all.sh" affectnet "$@"
