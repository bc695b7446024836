"""Which sequence comes when: a pure function of the plan, the seed and a position."""
