"""The rules that the field filters by, with the numbers and sources; one module for each family.

Definitions are those of the columns that the rules look at, which a rule's own source may differ from: what a word is,
is said in `dataproc.measures.statistics`. A document is kept if it keeps to every rule that applies to it.
"""

from corpusmill.dataproc.rules.preset import Preset
from corpusmill.dataproc.rules.presets import c4, code, fineweb, gopher, madlad, pii, refinedweb, tools, toxicity, url

FAMILIES = (gopher, c4, fineweb, refinedweb, code, madlad, tools, url, toxicity, pii)

PRESETS: dict[str, Preset] = {preset.name: preset for family in FAMILIES for preset in family.PRESETS}
"""Every preset by name."""
