"""How often each pretoken occurs: counted in bounded memory, kept on disk by group, merged and weighed."""
