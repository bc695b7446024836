"""The room of reward: preference pairs to a reward model."""
