"""De-duplication: the plan, and a module for the work of each phase."""
