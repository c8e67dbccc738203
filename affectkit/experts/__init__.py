"""Experts: networks and lexicons that are brought as they are. One file each, whose name is that on the command line.

A plug-in's `build(**options)` returns what answers, and its `medium` says for what, with the options of all such
experts: of `Faces` an `_expert.Expert`, which answers for crops (`_adapter.FaceExpert` finds and cuts out the face,
averages over passes and maps the answers to the scales of the targets); of `Texts` a `_texts.TextExpert`.
"""
