"""Character sets as the web uses them: labels, decoders and what a page declares, by the WHATWG's standards."""
