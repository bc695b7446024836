"""Quality by a model: a fastText classifier is trained, measured, calibrated, and decides which documents are kept.

    lines        a document as fastText's tokens, so that no text can end its line or name a label
    words        words to numbers, while a vocabulary grows
    trainer      fastText's supervised training, exactly repeatable
    model_file   fastText's `.bin`, read and written
    scorer       the score of any such model, by a kernel; other kinds of model by the library's own list predict
    metrics, calibration     how good it is on documents that it never saw, and what its scores mean
    ranking      exact order statistics over any number of parts, in bounded memory
    keeping      by threshold, by rank, by a draw
    domains      pages by registered domain: where to look for more of the same

Why not train by the library: whether it is repeatable depends on the build, even with one thread and a seed. Eight runs
in one process on 2,000 documents with one seed: of `fasttext-numpy2-wheel` 0.9.2, four to seven ended with "Encountered
NaN", the others in one to five different models; of `fasttext-community` 0.11.9, all gave one model. In the first it
looks as if each thread filled a tenth of the input matrix and the rest stayed as the memory was, for with fresh memory
all is well (seen from outside; the wheel's source was not read). The algorithm is small, so it is here and in the core,
and what it writes loads in fastText and in all that take fastText's models. On 137 MB it is as good (area under ROC
0.9996 both) and three times as fast as the first of the two builds (`benchmarks/quality.py`).
"""
