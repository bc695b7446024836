"""What the window's pages and the report share: one way of making HTML, one style sheet, one set of macros.

environment.py  templates: every value is escaped, a missing one is an error
document.py     a page that is one file: style sheet and script inside it, and a policy that allows these two alone
templates/      macros for both, and the frame of a self-contained page
static/         the style sheet; page.js, which makes tables sortable and opens what is folded for print
"""
