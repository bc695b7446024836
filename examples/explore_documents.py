"""Look at a corpus before cleaning it: numbers, rules, thresholds, near copies. Jupyter and VS Code show it in cells.

Takes the documentation of Python's own modules, and about twenty seconds.
"""

# %% Texts: what pydoc says of each module
import pydoc
import sys

import numpy as np
import pyarrow.compute as pc

import corpusmill

opens_a_window = {"antigravity", "idlelib", "this", "turtle", "turtledemo", "tkinter"}
names = [name for name in sorted(sys.stdlib_module_names) if name[0] in "abcdefghijklm" and name not in opens_a_window]
texts, kept_names = [], []
for name in names:
    try:
        texts.append(pydoc.plain(pydoc.render_doc(name)))
        kept_names.append(name)
    except (ImportError, pydoc.ErrorDuringImport):
        continue  # a module of another operating system
print(f"{len(texts)} texts, {sum(map(len, texts)) / 1e6:.1f} million characters")

# %% One pass over them: 96 numbers a text
numbers = corpusmill.measure(texts, ["en"] * len(texts))
for column in ("word_count", "mean_word_length"):
    quartiles = np.percentile(numbers.column(column).to_numpy(zero_copy_only=False), (5, 25, 50, 75, 95))
    print(column, "5 % to 95 %:", *(f"{value:.4g}" for value in quartiles))

# %% What would published rules keep, and which rule rejects most?
for preset in ("gopher-quality", "gopher-repetition", "fineweb"):
    decision = corpusmill.decide(numbers, ["docs"] * len(texts), corpusmill.resolve_rules([preset]))
    worst = pc.value_counts(decision.ledger["rule"]).to_pylist()
    worst.sort(key=lambda entry: -entry["counts"])
    named = ", ".join(f"{entry['values']} ({entry['counts']})" for entry in worst[:2])
    print(f"{preset}: keeps {int(np.sum(decision.kept))} of {len(texts)}; most broken: {named or 'none'}")

# %% A threshold of your own
for least in (50, 200, 1000, 5000):
    rules = corpusmill.resolve_rules(["gopher-quality/words"], {"gopher-quality/words.minimum": least})
    print(f"at least {least} words: {int(np.sum(corpusmill.decide(numbers, ['docs'] * len(texts), rules).kept))} kept")

# %% The most alike pair, by MinHash
settings = corpusmill.MinHashSettings(permutations=256)
signed = corpusmill.signatures(texts, settings)
similarity = np.array([(signed == row).mean(axis=1) for row in signed])
np.fill_diagonal(similarity, 0)
one, other = divmod(int(similarity.argmax()), len(texts))
print(f"most alike: {kept_names[one]} and {kept_names[other]}, Jaccard similarity about {similarity.max():.2f}")

# %% What would de-duplication take for a candidate at a threshold of 0.8?
banding = corpusmill.choose_bands(threshold=0.8, permutations=128)
print(f"{banding.bands} bands of {banding.rows} rows")
