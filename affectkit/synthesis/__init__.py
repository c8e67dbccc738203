"""The voices, faces, scenes, texts and scores that the synthetic corpora share.

emotions: what an emotion does to a voice, a text and a rating. voices: a source-filter voice. faces, scenes: people
and pictures whose look carries valence and arousal. texts: sentences whose words carry
valence and arousal. scores: ratings and votes of simulated raters. twins: speakers dealt to clips, files.
"""
