"""Face experts: fixed networks that answer for a face. One file per expert; its name is the `--expert`.

A plug-in's `build(**options)` returns an `_expert.Expert`, which answers for crops; `_adapter.FaceExpert` finds and
cuts out the face, averages over passes and maps the answers to the scales of the targets.
"""
