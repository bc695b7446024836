"""Stages, recipes, engines, command line, inspection, reports: the only package that knows Ray and the terminal."""
