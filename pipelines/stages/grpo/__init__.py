"""The room of grpo: prompts and rewards to a model that is rewarded more."""
