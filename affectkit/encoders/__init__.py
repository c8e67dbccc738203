"""Encoders: what turns media or text into features. One file per family; its name is the `--encoder`.

A plug-in's `build(**options)` returns an `_encoder.Encoder`; `_loop` is the one loop that runs them all.
"""
