"""The DeepSeek-V3 transformer: its shape, its layers, its losses, and what they cost."""
