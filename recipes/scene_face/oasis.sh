#!/usr/bin/env bash
# Scene and face on OASIS: 900 photographs of themes, rated by many; half of the themes show nobody. `all.sh` has the rest.
#
# usage: bash recipes/scene_face/oasis.sh [ROOT [BACKBONE [FACE]]]
exec bash "$(dirname "$0")/all.sh" oasis "$@"
