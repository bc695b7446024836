"""What workers do: one file for each stage, with the functions that its tasks name."""
