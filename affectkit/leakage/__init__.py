"""The leak audit of a manifest, and the guard that train and evaluate share.

A leak is something that stands on two sides of a split (or in two folds) and lets a model recognise what it is judged
on: a speaker, session, dialogue or source recording, the same or nearly the same media, the same text. Sessions and
dialogues count even where the split is by speaker: the two voices of a dyad are heard on each other's recordings, and
share their topic.
"""
