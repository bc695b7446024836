"""Shards to weights: the DeepSeek-V3 core in PyTorch, its data loader and its trainer."""
