"""Training: plan, settings, and what each rank does."""
