"""Made by `python -m corpusmill.pipelines.call_types`; do not edit."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypeAlias, TypeVar

from corpusmill.pipelines.description import Manifest

T = TypeVar("T")
OneOrMore: TypeAlias = T | Sequence[T]
Path: TypeAlias = str | PathLike[str]
Names: TypeAlias = OneOrMore[Path | Callable[..., object]]

RUN: tuple[str, ...]

def function_name(stage: str) -> str:
    """What a stage's function is called."""

def ingest(
    inputs: OneOrMore[Mapping[str, object] | Path],
    *,
    output: Path,
    source: Path = ...,
    kind: Path = ...,
    format: Path | None = ...,
    exclude: Names = ...,
    text_field: Path = ...,
    id_field: Path = ...,
    url_field: Path = ...,
    language_field: Path = ...,
    meta_fields: Names | None = ...,
    csv_delimiter: Path | None = ...,
    csv_quote: Path | None = ...,
    csv_escape: Path | None = ...,
    config: Path | None = ...,
    split: Path | None = ...,
    duplicate_ids: Literal["unique", "refuse"] = ...,
    unicode_form: Literal["none", "NFC"] = ...,
    mojibake: bool = ...,
    extractor: Literal["resiliparse", "trafilatura", "corpusmill"] = ...,
    comments: bool = ...,
    truncated: Literal["keep", "quarantine"] = ...,
    zstd_window: int | str = ...,
    repository_depth: int | None = ...,
    repository_documents: Literal["component", "repository", "file"] = ...,
    repository_document_bytes: int | str = ...,
    repository_file_bytes: int | str = ...,
    part_bytes: int | str = ...,
    maximum_record_bytes: int | str = ...,
    document_seconds: float = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Turn raw files (JSON lines, JSON, CSV, Parquet, Arrow, Hugging Face datasets, web archives, HTML, text, code
    repositories) into a dataset of documents.

    Args:
        inputs: raw files: paths, folders, globs, URLs, or commoncrawl:CRAWL
        source: name of the source, the first word of each new id
        kind: kind of text: web, book, docs, code, math, ...
        format: format of the files: jsonl, json, csv, parquet, arrow, text, html, warc, chat, repository, python-
            metadata, huggingface; by each one's ending if left out
        exclude: patterns of file names to leave out
        text_field: field or column that holds the text; dots reach nested ones
        id_field: field or column that holds the id, where there is one
        url_field: field or column that holds the URL, where there is one
        language_field: field or column that holds the language, where there is one
        meta_fields: other fields or columns to keep in meta; all if left out
        csv_delimiter: separator of CSV fields; a comma, or a tab in .tsv, if left out
        csv_quote: quote character of CSV, or none; ", or none in .tsv, if left out
        csv_escape: escape character of CSV, or none; none if left out
        config: configuration of a Hugging Face dataset; its default if left out
        split: split of a Hugging Face dataset, or all; train, or the only one, if left out
        duplicate_ids: repeated ids: rename all but the first to <id>~2, <id>~3, ..., or refuse to go on
        unicode_form: Unicode normal form for texts
        mojibake: repair text decoded with the wrong charset, with ftfy
        extractor: what extracts the text from HTML
        comments: keep readers' comments of pages (extractor corpusmill only)
        truncated: truncated pages of archives: keep them, marked as truncated in meta, or quarantine them
        zstd_window: largest window that a zstd file may require; a worker may need this much memory for it
        repository_depth: depth of the repositories below a path; detected if left out
        repository_documents: what a document is: files that need each other, a whole repository, or a file
        repository_document_bytes: split longer documents of a repository between files
        repository_file_bytes: leave longer files of a repository out
        part_bytes: text per part, and input per task
        maximum_record_bytes: quarantine longer records
        document_seconds: a document that takes longer is quarantined (seconds)
    """

def filter(
    datasets: Names,
    *,
    output: Path,
    rules: Names = ...,
    measures: Names = ...,
    rewrite: Names = ...,
    thresholds: Mapping[Path, float] = ...,
    keep_if: Path | None = ...,
    custom_rules: OneOrMore[Mapping[str, object]] = ...,
    rewriter_settings: Mapping[Path, Mapping[Path, Any]] = ...,
    token_ngrams: bool = ...,
    document_columns: Names = ...,
    url_lists: Mapping[Path, Path] = ...,
    word_list: Path | None = ...,
    language_model: Path | None = ...,
    languages: Names = ...,
    minimum_language_score: float = ...,
    document_seconds: float = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Measure every document once and keep it by rules; every broken rule goes into the ledger.

    Args:
        datasets: datasets of documents
        rules: presets of rules, or rules of presets (--show lists them), or your own functions: module:function
        measures: extra measures that no rule uses: your own functions, as module:function
        rewrite: rewriters of kept documents, in order, after those of the presets; or your own functions
        thresholds: thresholds that override those of preset rules, by rule
        keep_if: an expression that must be true, such as "word_count >= 50 or source == 'poems'"
        custom_rules: rules of your own
        rewriter_settings: settings of rewriters and of your functions, by name
        token_ngrams: measure datatrove's n-grams of tokens even if no rule uses them
        document_columns: numeric columns of the input that rules use, such as quality_score
        url_lists: files for the preset url: domains, subdomains, urls, words, soft-words, substrings, allowed
        word_list: words that the preset toxicity looks for: a file, or a folder of <language>.txt
        language_model: 'embedded', or a fastText language model; fills `language` where the input gave none
        languages: keep only these languages (does not apply to code)
        minimum_language_score: minimum score for a language to count
        document_seconds: a document that takes longer is quarantined (seconds)
    """

def dedup(
    datasets: Names,
    *,
    output: Path,
    method: OneOrMore[Literal["exact", "minhash"]] = ...,
    normalise: OneOrMore[Literal["case", "space", "punctuation"]] = ...,
    threshold: float = ...,
    recall: float = ...,
    permutations: int = ...,
    shingle: Literal["word", "character"] = ...,
    ngram: int = ...,
    verify: Literal["signatures", "exact"] = ...,
    keep_unless: Mapping[Literal["contained"], float] = ...,
    max_loss: float | None = ...,
    cluster_bytes: int | str = ...,
    protect: Names = ...,
    against: Path | None = ...,
    prefer: Names = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Remove exact and near duplicates; each removed document names its survivor.

    Args:
        datasets: datasets of documents
        method: what to look for
        normalise: what exact duplicates may differ in
        threshold: minimum Jaccard similarity of near duplicates
        recall: share of pairs at the threshold that must become candidates
        permutations: slots of a MinHash signature
        shingle: what shingles are n-grams of
        ngram: words or characters of a shingle
        verify: compare documents exactly, by all their shingles, or by estimates from their signatures
        keep_unless: remove a document only if its survivor also contains this share of its shingles (contained=0.95)
        max_loss: stop before anything is removed if a source would lose more than this share of its documents
        cluster_bytes: memory for clustering; pairs that do not fit are clustered on disk
        protect: datasets to leave unchanged; duplicates of their documents are removed from the others
        against: an index (`corpusmill index`); duplicates of its documents are removed
        prefer: which document of a cluster stays: longest, column:desc, column:asc, column=a|b, statistics.NAME:desc
            (of _statistics/ beside the documents); then by id
    """

def index(
    *,
    output: Path,
    dataset: Path,
    method: OneOrMore[Literal["exact", "minhash"]] = ...,
    normalise: OneOrMore[Literal["case", "space", "punctuation"]] = ...,
    threshold: float = ...,
    recall: float = ...,
    permutations: int = ...,
    shingle: Literal["word", "character"] = ...,
    ngram: int = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """The stage index.

    Args:
        dataset: dataset of documents
        method: what kinds of duplicates to index
        normalise: what exact duplicates may differ in
        threshold: minimum Jaccard similarity of near duplicates
        recall: share of pairs at the threshold that must become candidates
        permutations: slots of a MinHash signature
        shingle: what shingles are n-grams of
        ngram: words or characters of a shingle
    """

def query(
    datasets: Names,
    *,
    output: Path,
    index: Path,
    threshold: float | None = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """The stage query.

    Args:
        datasets: datasets of documents
        index: the index
        threshold: minimum Jaccard similarity; not below the index's own
    """

def merge(
    *,
    output: Path,
    index: Path,
    generation: int,
    segments: OneOrMore[int],
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """The stage merge.

    Args:
        index: the index
        generation: of the index, in which the segments are listed
        segments: numbers of the segments, rising
    """

def search(
    datasets: Names,
    *,
    output: Path,
    segment_bytes: int | str = ...,
    locate_every: Literal[8, 16, 32, 64, 128] = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Index the text of datasets, so that any string in it is found at once. An interrupted build resumes when it is
    run again.

    Args:
        datasets: datasets of documents
        segment_bytes: text per segment, half more at most; larger segments are searched faster, and building one takes
            5 times as much memory
        locate_every: keep one text position in this many; smaller finds places faster and makes a larger index
    """

def spans(
    datasets: Names,
    *,
    output: Path,
    unit: Literal["substring", "paragraph", "line"] = ...,
    length: int = ...,
    unit_length: int = ...,
    limit: int = ...,
    count: Literal["documents", "times"] = ...,
    normalise: OneOrMore[Literal["case", "space", "punctuation"]] = ...,
    action: Literal["report", "cut", "remove"] = ...,
    minimum: int = ...,
    share: float = ...,
    partition_bytes: int | str = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Find repeated substrings, paragraphs or lines; report them, cut them out, or remove documents full of them.

    Args:
        datasets: datasets of documents
        unit: what is compared
        length: substring: minimum length of a repeat, in bytes
        unit_length: paragraph, line: ignore units with fewer characters
        limit: paragraph, line: units counted more often than this are repeated
        count: paragraph, line: count documents with the unit, or every copy
        normalise: paragraph, line: what copies may differ in
        action: list repeated text, cut it out, or remove documents that are mostly repeated
        minimum: cut: reject documents with fewer characters left
        share: remove: reject documents of which a larger share is repeated
        partition_bytes: memory that a worker takes for a partition
    """

def decontaminate(
    datasets: Names,
    *,
    output: Path,
    against: Mapping[Path, Path],
    fields: Mapping[Path, Path] = ...,
    ids: Mapping[Path, Path] = ...,
    ngram: int = ...,
    minimum: int = ...,
    share: float = ...,
    shares: Mapping[Path, float] = ...,
    maximum_documents: int = ...,
    maximum_items: int = ...,
    allow: Names = ...,
    action: Literal["report", "remove", "cut"] = ...,
    margin: int = ...,
    least_piece: int = ...,
    maximum_pieces: int = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Find items of evaluation sets in documents by n-grams of words; report, cut or remove.

    Args:
        datasets: datasets of documents
        against: evaluation sets: a name, and a file, glob, folder or dataset
        fields: fields that make an item of a set, joined by +, such as question+answer; text if left out
        ids: the field with an item's id, by set; id if left out
        ngram: words of an n-gram
        minimum: ignore items with fewer words
        share: share of an item's words that must match; 0: one n-gram is enough
        shares: overrides of the share by set, such as gsm8k=0.5
        maximum_documents: ignore n-grams in more documents than this, as common phrases; 0: no limit
        maximum_items: ignore n-grams shared by more items of a set than this, as its template
        allow: files of text whose n-grams never count as a match
        action: list items, remove documents that contain them, or cut the matches out
        margin: cut: also cut this many characters on either side
        least_piece: cut: drop pieces with fewer characters
        maximum_pieces: cut: reject a document that would break into more pieces
    """

def mixture(
    datasets: Names,
    *,
    output: Path,
    by: OneOrMore[Literal["source", "language", "kind"]] = ...,
    source_weights: Mapping[Path, float] = ...,
    language_weights: Mapping[Path, float] = ...,
    kind_weights: Mapping[Path, float] = ...,
    temperature: float = ...,
    unit: Literal["bytes", "tokens"] = ...,
    total: int | str | None = ...,
    repeats: float = ...,
    group_repeats: Mapping[Path, float] = ...,
    caps: Mapping[Path, int | str] = ...,
    short: Literal["refuse", "scale", "redistribute"] = ...,
    tokenizer: Path | None = ...,
    bytes_per_token: Mapping[Path, float] = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Repeat, draw or drop documents until sources, kinds and languages have the requested weights.

    Args:
        datasets: datasets of documents
        by: columns to group by, outermost first; each column's shares are within the one before
        source_weights: relative shares by source; * stands for all others
        language_weights: relative shares by language; und is unknown
        kind_weights: relative shares by kind
        temperature: without weights: 1 keeps natural shares, larger values even them out
        unit: unit of weights and limits
        total: total bytes or tokens; everything there is if left out
        repeats: maximum copies of a document
        group_repeats: maximum copies by group, such as web/zh=2
        caps: maximum bytes or tokens by group or node, such as web=10GB
        short: if a limit is too low for the weights: stop, take less of everything, or more of the others
        tokenizer: count tokens with this tokenizer
        bytes_per_token: bytes per token by language, to estimate without a tokenizer; * is the rest, 4
    """

def quality_train(
    *,
    output: Path,
    positive: Names,
    negative: Names,
    preset: Literal["dclm", "deepseek-math"] = ...,
    learning_rate: float | None = ...,
    dimensions: int | None = ...,
    epochs: int | None = ...,
    word_ngrams: int | None = ...,
    minimum_count: int | None = ...,
    buckets: int | None = ...,
    lowercase: bool = ...,
    split_unspaced: bool = ...,
    characters: int = ...,
    positive_cap: int = ...,
    negative_cap: int = ...,
    held_back: float = ...,
    calibration: Literal["platt", "isotonic", "none"] = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Train a fastText classifier on positive and negative documents; measure it on held-back ones.

    Args:
        positive: datasets of positive documents: more like these
        negative: datasets of negative documents: fewer like these
        preset: dclm: 100 dimensions, words, 5 epochs; deepseek-math: 256, up to 3-grams of words, 3 epochs
        learning_rate: at the first document; it decays to 0
        dimensions: dimensions of a vector
        epochs: passes over all documents
        word_ngrams: longest n-gram of words
        minimum_count: occurrences that a word needs to get a vector
        buckets: vectors that n-grams share, by hash
        lowercase: lowercase the text
        split_unspaced: treat each character of scripts without spaces (Han, kana, Thai, …) as a word
        characters: read only this many characters from the start of a document; 0: all
        positive_cap: train on this many positive documents at most; 0: all
        negative_cap: train on this many negative documents at most; 0: all
        held_back: share of documents held back from training
        calibration: how scores become probabilities, fitted on half of the held-back documents
    """

def quality_score(
    datasets: Names,
    *,
    output: Path,
    model: Path,
    label: Path | None = ...,
    column: Path = ...,
    calibrated: bool = ...,
    lowercase: bool | None = ...,
    split_unspaced: bool | None = ...,
    characters: int | None = ...,
    document_seconds: float = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Add a classifier's score to every document; any fastText classifier will do.

    Args:
        datasets: datasets of documents
        model: a folder of 'quality train', or a fastText classifier (.bin, .ftz)
        label: label whose probability is the score [default: the folder's; __label__hq of a file]
        column: the column to add
        calibrated: calibrate scores if the folder has a calibration
        lowercase: for a model file: lowercase the text
        split_unspaced: for a model file: treat each character of scripts without spaces as a word
        characters: for a model file: read only this many characters from the start of a document
        document_seconds: a document that takes longer is quarantined (seconds)
    """

def quality_keep(
    datasets: Names,
    *,
    output: Path,
    column: Path = ...,
    threshold: float | None = ...,
    thresholds: Mapping[Path, float] = ...,
    top_share: float | None = ...,
    top_count: int | None = ...,
    pareto: float | None = ...,
    by: Literal["language", "source", "kind"] | None = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Keep scored documents: above a threshold, the best share of them, or by a seeded Pareto draw.

    Args:
        datasets: datasets of scored documents
        column: the column of scores
        threshold: keep documents with this score or more
        thresholds: overrides of the threshold by group (see --by)
        top_share: keep the best share of documents
        top_count: keep this many of the best documents
        pareto: keep documents that score above 1 minus a Pareto draw with this exponent (GPT-3: 9, Curator: 3)
        by: rank each group separately; all together if left out
    """

def quality_domains(
    *,
    output: Path,
    collected: Path,
    before: Path | None = ...,
    share: float = ...,
    pages: int = ...,
    proposals: int = ...,
    reviews: Names = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """The stage quality-domains.

    Args:
        collected: what a round kept and rejected: a folder of 'quality keep'
        before: the same for the round before
        share: propose domains of which a larger share was collected
        pages: propose domains with at least this many pages
        proposals: propose at most this many domains
        reviews: reviews of earlier rounds: what they accept is not proposed
    """

def quality_seeds(
    *,
    output: Path,
    collected: Path,
    review: Path,
    reviews: Names = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """The stage quality-seeds.

    Args:
        collected: what a round kept and rejected: a folder of 'quality keep'
        review: the edited file of proposals
        reviews: reviews of earlier rounds: their pages are seeds already
    """

def count(
    datasets: Names = ...,
    *,
    output: Path,
    extend: Names = ...,
    pattern: Path = ...,
    group_by: Literal["none", "source", "language", "kind"] = ...,
    most_groups: int = ...,
    min_count: int = ...,
    memory: int | str = ...,
    document_seconds: float = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Count pretokens into a table that any vocabulary can be learned from, and that more text can be added to.

    Args:
        datasets: datasets of documents; optional with --extend
        extend: tables of counts to add to
        pattern: how text is cut into pretokens
        group_by: count these groups of documents separately, so that training can weight them
        most_groups: fail if there are more groups than this
        min_count: permanently drop pretokens seen less often
        memory: memory of a worker's table, beyond which it spills to disk
        document_seconds: a document that takes longer is quarantined (seconds)
    """

def tokenizer(
    datasets: Names = ...,
    *,
    output: Path,
    counts: Names = ...,
    vocab_size: int = ...,
    pattern: Path = ...,
    special: Path = ...,
    min_frequency: int = ...,
    max_token_length: int | None = ...,
    no_merge: OneOrMore[Literal["digits", "punctuation", "whitespace"]] = ...,
    continue_from: Path | None = ...,
    checkpoint_merges: int = ...,
    warm_pretokens: int = ...,
    group_by: Literal["none", "source", "language", "kind"] = ...,
    weights: Mapping[Path, float] = ...,
    temperature: float = ...,
    balance_by: Literal["bytes", "pretokens"] = ...,
    min_count: int = ...,
    most_groups: int = ...,
    memory: int | str = ...,
    document_seconds: float = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Count pretokens and learn a byte-level BPE from the counts.

    Args:
        datasets: datasets of documents; optional with --counts
        counts: tables of `tokenizer count`, or tokenizers trained from text, whose counts are used
        vocab_size: number of ids, special tokens included (deepseek-v3: those after the merges come on top)
        pattern: how text is cut into pretokens
        special: layout of the special tokens: a YAML or JSON file, deepseek-v3, compact (without placeholders), gpt2,
            llama3, chatml or qwen2.5
        min_frequency: do not merge pairs seen less often
        max_token_length: longest token that a merge may make, in bytes
        no_merge: characters that are never part of a longer token; digits spells numbers digit by digit
        continue_from: a tokenizer folder to extend: its ids, pattern and special tokens stay, new ids follow all of
            them, and vocab_size counts all
        checkpoint_merges: merges between checkpoints
        warm_pretokens: most common pretokens whose ids are stored for a fast start; about 50 bytes each
        group_by: groups that weights and temperature apply to
        weights: weights of groups of documents; 1 if not named
        temperature: T: groups count by size^(1/T), so more than 1 favours small ones
        balance_by: how the size of a group is measured
        min_count: leave out pretokens seen less often
        most_groups: fail if there are more groups than this
        memory: maximum memory of a worker's table of counts
        document_seconds: a document that takes longer is quarantined (seconds)
    """

def pack(
    datasets: Names,
    *,
    output: Path,
    tokenizer: Path,
    sequence_length: int = ...,
    packing: Literal["best-fit", "concat", "none"] = ...,
    bos: bool = ...,
    eos: bool = ...,
    fim_rate: float = ...,
    fim_rates: Mapping[Path, float] = ...,
    fim_mode: Literal["psm", "spm"] = ...,
    fim_split: Literal["character", "line", "token"] = ...,
    fim_minimum: int = ...,
    fim_maximum: int = ...,
    chat: bool = ...,
    boundary_split: float = ...,
    validation_share: float = ...,
    group_by: Literal["none", "source", "kind", "language"] = ...,
    length_buckets: OneOrMore[int] = ...,
    storage: Literal["plain", "packed", "zstd"] = ...,
    shard_tokens: int = ...,
    task_bytes: int | str = ...,
    document_seconds: float = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Tokenise documents, rearrange some for fill-in-the-middle, and pack them best-fit into Arrow shards.

    Args:
        datasets: datasets of documents
        tokenizer: a tokenizer folder
        sequence_length: tokens per sequence
        packing: how sequences are filled
        bos: begin each document with the beginning-of-sequence token
        eos: end each document with the end-of-sequence token
        fim_rate: share of documents rearranged to fill in the middle
        fim_rates: overrides of the share by kind, or by source as source:NAME
        fim_mode: prefix-suffix-middle or suffix-prefix-middle
        fim_split: unit at which documents are cut for FIM
        fim_minimum: documents shorter than this, in characters, are not rearranged
        fim_maximum: documents longer than this, in characters, are not rearranged
        chat: documents are conversations, as 'ingest --format chat' makes them: by the tokenizer's chat template, with
            a mask of what is learned; longer ones than a sequence are left out
        boundary_split: share of tokens joining punctuation and line breaks to split; 0.1 is our choice
        validation_share: share of documents held back for validation
        group_by: pack these groups of documents separately, so that training can weight them
        length_buckets: pack documents of up to this many tokens separately from longer ones; ascending bounds
        storage: how shards store tokens: 4 bytes each, 3 bytes, or compressed
        shard_tokens: tokens per shard, padding included
        task_bytes: text that one task packs together
        document_seconds: a document that takes longer is quarantined (seconds)
    """

def export(
    shards: Path,
    *,
    output: Path,
    to: Literal["megatron", "mds", "huggingface", "flat"],
    unit: Literal["sequence", "document"] = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Export token shards as Megatron, Mosaic MDS, Hugging Face or flat files.

    Args:
        shards: a folder of token shards
        to: the format to write
        unit: what an item is: a packed sequence, or a document reassembled from its pieces
    """

def import_(
    paths: Names,
    *,
    output: Path,
    format: Literal["megatron", "mds", "huggingface", "flat"],
    tokenizer: Path,
    source: Path | None = ...,
    column: Path | None = ...,
    dtype: Literal["uint16", "uint32"] | None = ...,
    append_eos: bool = ...,
    sequence_length: int = ...,
    packing: Literal["best-fit", "concat", "none"] = ...,
    storage: Literal["plain", "packed", "zstd"] = ...,
    shard_tokens: int = ...,
    task_bytes: int | str = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Import tokenised documents of Megatron, Mosaic MDS, Hugging Face or flat files as token shards.

    Args:
        paths: files, prefixes or folders of tokens
        format: their format
        tokenizer: the tokenizer folder that the ids come from
        source: name of the source; the last part of each path if left out
        column: column of token ids; input_ids or tokens if left out
        dtype: type of an id in a flat file that no .json beside it describes
        append_eos: append the end-of-sequence token to documents that lack it
        sequence_length: tokens per sequence
        packing: how sequences are filled
        storage: how shards store tokens: 4 bytes each, 3 bytes, or compressed
        shard_tokens: tokens per shard, padding included
        task_bytes: tokens that one task packs together, at 4 bytes each
    """

def train(
    shards: Path,
    *,
    output: Path,
    preset: Path = ...,
    recipe: Literal["pretrain", "sft"] = ...,
    model: Mapping[Path, float] = ...,
    start_from: Path | None = ...,
    steps: int | None = ...,
    tokens: int | None = ...,
    epochs: float | None = ...,
    batch_sequences: int | None = ...,
    micro_batch: int | None = ...,
    first_batch_sequences: int | None = ...,
    batch_ramp_tokens: int | None = ...,
    mixture: Mapping[Path, float] = ...,
    phases: OneOrMore[Mapping[str, object]] = ...,
    document_mask: bool = ...,
    learning_rate: float | None = ...,
    final_learning_rate: float | None = ...,
    last_learning_rate: float | None = ...,
    last_fraction: float | None = ...,
    last_tokens: int | None = ...,
    warmup_steps: int | None = ...,
    constant_fraction: float | None = ...,
    constant_tokens: int | None = ...,
    decayed_fraction: float | None = ...,
    decayed_tokens: int | None = ...,
    weight_decay: float | None = ...,
    clip: float | None = ...,
    mtp_weight: float | None = ...,
    late_mtp_weight: float | None = ...,
    mtp_tokens: int | None = ...,
    balance_alpha: float | None = ...,
    bias_speed: float | None = ...,
    bias_tokens: int | None = ...,
    precision: Literal["float32", "bfloat16", "fp8"] | None = ...,
    fp8_backend: Literal["auto", "reference", "emulated", "triton", "cublas", "deepgemm"] | None = ...,
    fp8_scales: Literal["float32", "power_of_two"] | None = ...,
    fp8_gradient_groups: Literal["tiles", "blocks"] | None = ...,
    moments: Literal["float32", "bfloat16"] | None = ...,
    recompute: bool = ...,
    parallel: Literal["zero1", "fsdp2"] | None = ...,
    ranks: int = ...,
    threads: int = ...,
    simulate: Path | None = ...,
    expert_ranks: int | None = ...,
    expert_nodes: int | None = ...,
    expert_chunk: int | None = ...,
    pipeline_ranks: int | None = ...,
    pipeline_schedule: Literal["dualpipev", "zbv", "1f1b"] | None = ...,
    device: Literal["auto", "cpu", "cuda"] | None = ...,
    average_decay: float | None = ...,
    spikes: Literal["stop", "skip", "rollback"] | None = ...,
    spike_deviations: float | None = ...,
    spike_window: int | None = ...,
    checkpoint_every: int | None = ...,
    keep_checkpoints: int | None = ...,
    keep_every: int | None = ...,
    evaluate_every: int | None = ...,
    evaluation_sequences: int | None = ...,
    evaluate_average: bool = ...,
    tensorboard: bool = ...,
    peak_teraflops: float | None = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Train a DeepSeek-V3-shaped model on shards; resumes from its last checkpoint.

    Args:
        shards: a folder of token shards
        preset: model shape; --describe NAME shows what it costs
        recipe: sft: fine-tune start_from on conversations (pack --chat): two epochs, DeepSeek-V3's cosine scaled by the
            preset, conversations hidden from each other; what is given goes before it
        model: other values for fields of the preset
        start_from: a finished run, imported model or checkpoint whose weights it starts from
        steps: optimiser steps
        tokens: length in tokens, padding included, instead of steps: the fewest steps that reach it
        epochs: length in passes over the shards, instead of steps: the fewest steps that reach it
        batch_sequences: sequences in a step, over all ranks
        micro_batch: most sequences in one forward pass on a rank
        first_batch_sequences: sequences in the first step, from which the batch grows
        batch_ramp_tokens: tokens over which the batch grows
        mixture: weights, in sequences, of the groups made by 'pack --group-by'; if left out, all are shuffled as one
        phases: stretches of the run, each with its own mixture
        document_mask: hide documents in the same sequence from each other
        learning_rate: peak learning rate
        final_learning_rate: learning rate at the end of the decay
        last_learning_rate: learning rate of a last phase after the decay
        last_fraction: part of the run, at its end, at that rate
        last_tokens: tokens after which that rate holds, instead of last_fraction
        warmup_steps: steps of linear warm-up
        constant_fraction: part of the run at the peak rate
        constant_tokens: tokens up to which the rate is at its peak, instead of constant_fraction
        decayed_fraction: part after which the decay has ended
        decayed_tokens: tokens after which the decay has ended, instead of decayed_fraction
        weight_decay: AdamW's decay of matrices
        clip: largest global gradient norm
        mtp_weight: weight of the multi-token-prediction loss at the peak rate
        late_mtp_weight: the same during and after the decay
        mtp_tokens: tokens after which late_mtp_weight holds; if left out, from the decay on
        balance_alpha: factor of the sequence-wise balance loss
        bias_speed: step of the routers' biases after each optimiser step
        bias_tokens: tokens after which the biases stand still; if left out, when the decay has ended
        precision: what the model computes in; masters are float32
        fp8_backend: what multiplies in precision fp8
        fp8_scales: scales of FP8 numbers
        fp8_gradient_groups: what has one scale in FP8 gradients: tiles of 1 x 128 or blocks of 128 x 128
        moments: what AdamW's moments are kept in
        recompute: compute norms, MLA's up-projections and SwiGLU again instead of keeping them
        parallel: what is split over ranks: optimiser state, or weights and gradients as well
        ranks: processes that train together; torchrun's number under torchrun
        threads: CPU threads of each rank; 0 divides all cores among them
        simulate: GPUs on which --dry-run prices the run: GPU:LAYOUT, as in train --simulate
        expert_ranks: ranks that the experts of each layer are divided among
        expert_nodes: machines that the expert ranks are on; a token crosses between two once
        expert_chunk: rows sent to a rank at a time on the way to experts; 0: measured at the start
        pipeline_ranks: ranks that the layers are divided among
        pipeline_schedule: order of micro-batches in a pipeline
        device: where to compute; auto is CUDA if there is a GPU
        average_decay: decay of a moving average of the weights; 0 is none
        spikes: what to do when the loss spikes
        spike_deviations: standard deviations above the mean that count as a spike
        spike_window: number of recent losses that a spike is judged against
        checkpoint_every: steps between checkpoints
        keep_checkpoints: how many of the newest checkpoints to keep
        keep_every: steps between checkpoints that are kept for good; 0 is none
        evaluate_every: steps between validations
        evaluation_sequences: held-back sequences to measure
        evaluate_average: also measure the moving average
        tensorboard: also write metrics for TensorBoard
        peak_teraflops: peak of the device in 10^12 operations a second, for MFU
    """

def reward(
    run: Path,
    *,
    output: Path,
    pairs: Names,
    tokenizer: Path | None = ...,
    steps: int = ...,
    pairs_per_step: int = ...,
    held_back_share: float = ...,
    learning_rate: float = ...,
    warmup_steps: int = ...,
    bias_speed: float = ...,
    weight_decay: float = ...,
    clip: float = ...,
    micro_batch: int = ...,
    checkpoint_every: int = ...,
    keep_checkpoints: int = ...,
    threads: int = ...,
    device: Literal["auto", "cpu", "cuda"] | None = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Train a reward model on preference pairs, for 'train grpo --rewards model:FOLDER'.

    Args:
        run: a finished run, imported model or checkpoint that it begins with
        pairs: JSON lines or Parquet files of pairs: {"prompt": …, "chosen": …, "rejected": …}
        tokenizer: its folder; if left out, that of the run's shards
        steps: optimiser steps
        pairs_per_step: pairs in a step
        held_back_share: share of pairs that are only measured
        learning_rate: learning rate after the warm-up
        warmup_steps: steps of linear warm-up
        bias_speed: step of the routers' biases after each step
        weight_decay: AdamW's decay of matrices
        clip: largest global gradient norm
        micro_batch: most pairs in one forward and backward pass
        checkpoint_every: steps between checkpoints
        keep_checkpoints: how many of the newest checkpoints to keep
        threads: CPU threads; 0: all cores
        device: where to compute; auto is CUDA if there is a GPU
    """

def grpo(
    run: Path,
    *,
    output: Path,
    prompts: Names,
    rewards: Names,
    held_back: Names = ...,
    tokenizer: Path | None = ...,
    steps: int = ...,
    prompts_per_step: int = ...,
    group: int = ...,
    max_tokens: int = ...,
    temperature: float = ...,
    learning_rate: float = ...,
    final_learning_rate: float | None = ...,
    warmup_steps: int = ...,
    beta: float = ...,
    clip_below: float = ...,
    clip_above: float = ...,
    ratio: Literal["token", "output"] | None = ...,
    scale_rewards: bool = ...,
    updates: int = ...,
    mtp_weight: float = ...,
    balance_alpha: float = ...,
    bias_speed: float = ...,
    weight_decay: float = ...,
    clip: float = ...,
    most_difference: float = ...,
    micro_batch: int = ...,
    generation_batch: int = ...,
    checkpoint_every: int = ...,
    keep_checkpoints: int = ...,
    evaluate_every: int = ...,
    threads: int = ...,
    device: Literal["auto", "cpu", "cuda"] | None = ...,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Train a model by rewards for what it writes itself (GRPO); resumes from its last checkpoint.

    Args:
        run: a finished run, imported model or checkpoint that is trained on
        prompts: JSON lines or Parquet files of prompts: {"prompt": …, "answer": …}
        rewards: [WEIGHT*]NAME[:ARGUMENT], summed: number, exact, brackets, regex:PATTERN, code, model:FOLDER or
            module:function
        held_back: further files of prompts, on which rewards are only measured
        tokenizer: its folder; if left out, that of the run's shards
        steps: optimiser steps, each with rollouts of its own
        prompts_per_step: prompts in a step
        group: completions for each prompt (G), among which rewards are compared
        max_tokens: most tokens of a completion
        temperature: of the draws, and of the probabilities that are trained
        learning_rate: learning rate after the warm-up
        final_learning_rate: learning rate of the last step, to which it falls linearly; if left out, it stays
        warmup_steps: steps of linear warm-up
        beta: weight of the KL divergence from the model at the start; 0: none
        clip_below: how far below 1 a ratio counts (epsilon)
        clip_above: how far above 1 a ratio counts
        ratio: of what old and new probabilities are compared; output is as the report prints it
        scale_rewards: divide rewards by their group's standard deviation
        updates: updates by the same rollouts
        mtp_weight: weight of MTP's own loss on completions, which moves its modules alone
        balance_alpha: factor of the sequence-wise balance loss
        bias_speed: step of the routers' biases after each step
        weight_decay: AdamW's decay of matrices
        clip: largest global gradient norm
        most_difference: largest mean difference, in nats, of sampled tokens' log-probabilities between sampling and
            training
        micro_batch: most sequences in one forward and backward pass
        generation_batch: completions that are written side by side
        checkpoint_every: steps between checkpoints
        keep_checkpoints: how many of the newest checkpoints to keep
        evaluate_every: steps between measurements on held_back
        threads: CPU threads; 0: all cores
        device: where to compute; auto is CUDA if there is a GPU
    """
