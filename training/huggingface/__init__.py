"""Hugging Face's `deepseek_v3` layout: configuration and tensors, in both directions."""
