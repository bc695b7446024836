"""Rules that rewrite text, a kind of their own: they keep lines, or cut and mask what stands in them, and count
what they did.

A rewriter decides about no document. It gives the text as it would be and numbers on what it did
(`dataproc.measures.columns`); rules look at the numbers, and only documents that are kept are rewritten. So a threshold
on what a rewriter takes out can be swept later without reading text, and naming such a rule alone rewrites nothing.

    c4-lines           lines that end as sentences do, as C4 keeps them                              c4_lines
    refinedweb-lines   no counters, capitals, lone words, phrases of navigation                      refinedweb_lines
    citations          no [1], [edit], [citation needed]                                             citations
    pii-mask           no addresses of mail and IP, numbers of telephones, keys                      pii

A rewriter is a small class built from plain JSON settings, which checks them, and whose columns are known without it
(`COLUMNS`); `dataproc.measures.providers.PROVIDERS` names them all. Its kernels are imported when it first rewrites, so
that naming one costs nothing. All work on Arrow's buffers, whatever the text holds: bytes that are not UTF-8 count as
one character each and are copied as they are.
"""
