"""Code repositories: a folder or an archive of one becomes documents whose files stand in the order of dependency.

A file whose imports come before it is a file that can be understood; so a model that learns from whole repositories
sees what a function is before it sees its use (DeepSeek-Coder, Guo et al. 2024, section 2.2). The way of a repository:

    finding                                 which folders and archives are repositories
    trees, ignored, left_out, walking       which files are read, and why the others are not
    reading, languages                      each file once: judged, normalised, scanned, put aside
    imports/, graph                         what each file asks for, and which files of the repository those are
    order                                   connected subgraphs, dependencies first
    comments, documents                     each file under its path in a comment, its place in `file_starts`

A repository is one worker's task. In memory are its graph (paths, scans and edges: some 2 KB a file and 8 bytes an
edge), its text up to 64 MiB (what is beyond lies in a temporary file), and one document.
"""
