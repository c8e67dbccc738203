"""Transcribers: what writes speech down. One file per engine; its name is the `--engine` of `affectkit transcribe`.

A plug-in's `build(**options)` returns a `_transcriber.Transcriber`; `_listen` runs it on the loop of encoders.
"""

QUIETEST = -60.0  # dB of full scale, of the loudest 30 ms of a recording that is heard at all
