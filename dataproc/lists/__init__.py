"""Lists that users name by path (words, phrases, domains, URLs), and finding their entries in documents."""
