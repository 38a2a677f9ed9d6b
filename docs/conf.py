"""The documentation site: `make docs` builds it into docs/_build; every warning is an error.

The pages are Markdown that reads the same on the repository's page; only docs/api holds directives.
Formulas become MathML when the site is built, so pages need neither a network nor scripts for them.
"""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import adapt_jax

project = "adapt_jax"
version = release = adapt_jax.__version__
copyright = "the adapt_jax authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
smartquotes_action = "D"  # dashes only: in (f - mu)' the quote is a transpose
highlight_language = "text"
html_theme = "furo"
html_title = "adapt_jax"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["math.css"]

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # ```math, as the repository's page renders it
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_use_type_comments = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
default_role = "literal"  # `name` in a docstring is code
# Types of other packages (resolving them would need a network at build time), and type variables.
nitpick_ignore_regex = [(r"py:.*", r"(?!adapt_jax).*"), (r"py:.*", r".*\.(T|Pixels)")]


# What RST would read as more than text: |a|, a_, and a lone "C." as the start of a list.
MARKS = re.compile(r"\||(?<=\w)_(?!\w)|: [A-Z](?=\.(?: |$))")


def as_rst(app, what, name, obj, options, lines):
    """Docstrings are plain text: keeps their indented formulas and their odd characters."""
    out, literal = [], False
    for i, line in enumerate(lines):
        text = line.strip()
        opens = line.startswith("    ") and not literal and i and not lines[i - 1].strip()
        if opens:
            out += ["::", ""]
        literal = (literal or opens) and (line.startswith("    ") or not text)
        if not literal:
            line = MARKS.sub(lambda m: m[0][:-1] + "\\" + m[0][-1], line)
        out.append(line)
    lines[:] = out


def without_fields(app, what, name, obj, options, signature, returns):
    """The fields of a NamedTuple are described in its docstring, not in a signature."""
    return ("", "") if what == "class" else None


def skip_fields(app, what, name, obj, skip, options):
    """Their one-line documentation, "Alias for field number 0", says nothing."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def link_out(app, docname, source):
    """Links to Markdown outside docs/ lead to the file itself, as links to code do."""
    source[0] = re.sub(r"\]\((\.\./[^)#]+\.md)\)", r"](path:\1)", source[0])


def visit_math(translator, node):
    """One formula as MathML."""
    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    translator.body.append(f'<div class="formula">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app):
    """Registers the above."""
    app.connect("source-read", link_out)
    app.connect("autodoc-process-docstring", as_rst, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", without_fields)
    app.connect("autodoc-skip-member", skip_fields)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
