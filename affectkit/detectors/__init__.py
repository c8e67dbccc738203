"""Detectors: what finds faces in an image. One file per detector; its name is the `--detector`.

A plug-in's `build(**options)` returns a `_detector.Detector`; `_detector.crop` cuts out what it found.
"""
