"""Property tests here take no random seed and no deadline: a busy machine fails nothing, and a failure comes back."""

from hypothesis import settings

settings.register_profile("evaluation", deadline=None, derandomize=True)
settings.load_profile("evaluation")
