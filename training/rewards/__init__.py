"""Rewards by rule: pure functions of prompt, completion and answer, and a sandbox for programs."""
