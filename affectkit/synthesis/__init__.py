"""The voices, texts and scores that the synthetic corpora share.

emotions: what an emotion does to a voice, a text and a rating. voices: a source-filter voice. texts: sentences whose
words carry valence and arousal. scores: ratings and votes of simulated raters. twins: speakers dealt to clips, files.
"""
