"""Transcribers: what writes speech down. One file per engine; its name is the `--engine` of `affectkit transcribe`.

A plug-in's `build(**options)` returns a `_transcriber.Transcriber`; `_listen` runs it on the loop of encoders.
"""
