"""Lint: whether token sets look like what somebody meant to train on, beyond every byte being as it was written.

findings     what a check says
blocks       sequences of any format as the checks take them: a record batch of ours, a stretch of a foreign file
counting     the one kernel: ids counted, sequences hashed
measures     the one pass, gathered by shard and set
ends, shares, identity, entropy, lengths, repeats, markers, texts, sources     checks, by what they look at
masks        loss masks, labels and attention masks of formats that have them
drift        a build against the one before
linter       all checks in their order
"""
