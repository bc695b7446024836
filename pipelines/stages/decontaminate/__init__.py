"""Decontamination against evaluation sets: plan and work."""
