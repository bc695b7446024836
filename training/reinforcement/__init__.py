"""Training by rewards: GRPO with rollouts through the trained model's own forward pass, and reward models."""
