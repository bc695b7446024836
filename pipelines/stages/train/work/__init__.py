"""The work of training: the trainer on every rank, started by the engine or by torchrun."""
