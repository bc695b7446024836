"""What grpo's worker does."""
