"""Huffman codes of bounded length, in canonical form: a record of the index stores its symbols in the order of their
codes and how many codes there are of each length, and nothing else.

Codes are short enough for a table of all that the next bits can be, which is filled when a record comes into memory.
"""

from corpusmill.dataproc.kernels.compiling import kernel_step

MOST_BITS = 10
"""Of a code: a longer one would gain less than 1 % and make the decoder's table larger than the first cache."""


@kernel_step
def _depths(weights, symbols, parents, lengths):
    """Fills `lengths` with the depth of each symbol that has a weight; returns the largest.

    Args:
        weights: int64 of shape (2 * S,); the first S are the symbols', the others scratch.
        parents: int64 scratch of the same shape.
    """
    nodes = symbols
    while True:
        least, second = -1, -1
        for node in range(nodes):
            if weights[node] > 0:
                if least < 0 or weights[node] < weights[least]:
                    least, second = node, least
                elif second < 0 or weights[node] < weights[second]:
                    second = node
        if second < 0:
            break
        weights[nodes] = weights[least] + weights[second]
        parents[least] = parents[second] = nodes
        weights[least] = weights[second] = -1  # inside the tree
        nodes += 1
    root, deepest = least, 0
    for symbol in range(symbols):
        lengths[symbol] = 0
        if weights[symbol] == 0:
            continue
        depth, node = 0, symbol
        while node != root:
            node = parents[node]
            depth += 1
        lengths[symbol] = max(depth, 1)
        deepest = max(deepest, lengths[symbol])
    return deepest


@kernel_step
def code_lengths(counts, symbols, most_bits, lengths, weights, parents):
    """Lengths (0 for a symbol that does not occur) of a code whose longest is at most `most_bits`.

    Where Huffman's own code is longer, counts are halved until it is not: a little longer in all, and rare.
    """
    divisor = 1
    while True:
        for symbol in range(symbols):
            weights[symbol] = (counts[symbol] + divisor - 1) // divisor
        if _depths(weights, symbols, parents, lengths) <= most_bits:
            return
        divisor *= 2


@kernel_step
def canonical_order(lengths, symbols, order, by_length, codes):
    """Symbols in the order of their codes, how many codes each length has, and the code of each symbol.

    Returns the number of symbols that occur.
    """
    present, code = 0, 0
    for length in range(1, MOST_BITS + 1):
        code <<= 1
        by_length[length - 1] = 0
        for symbol in range(symbols):
            if lengths[symbol] == length:
                order[present] = symbol
                codes[symbol] = code
                present += 1
                code += 1
                by_length[length - 1] += 1
    return present
