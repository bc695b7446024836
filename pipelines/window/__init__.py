"""A window on what was made: pages in a browser over the functions behind `inspect`, which compute everything.

app.py          the application: routes, errors
admission.py    who is let in: a token in the link, the name of the host, and what a page may load
named.py        the paths that were named, and nothing else
page.py         what a page is: values for a template, the command that gives the same, tables that can be taken along
pages/          one module a page
templates/ static/   HTML and the script, as they are in the wheel; what the report has, too, is in pipelines/html/
"""
