"""The stages, a room each: what a stage says of itself, its plan, its work.

about.py         what everybody else asks: command, estimates, summary, losses; found by `pipelines/registry.py`
plan.py          settings, inputs, phases; imports neither the work nor anything heavy
work.py, work/   what workers do, imported by name where it runs
inspection.py    how `why` and `trace` read what it left beside its documents
report.py        its section of the report
"""
