"""Docstrings, error messages and names follow one style."""

import ast
import functools
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
ENTRY = re.compile(r"  (\S[^:]*): (\S.*)")
NAMES = re.compile(r"\**(X|[a-z]\w*)(, \**[a-z]\w*)*")  # scikit-learn calls features X
# Lines that begin like this continue the name ("of the run.") or are only a shape or a symbol.
FRAGMENT = re.compile(
    r"(of|from|for|as|in|by|with|at|to|its|their|those|see|told|called|likewise)\b"
    r"|(what|how|where|which)\.|[\"']|[A-Z][.,;]|\([^()]*\)([.,;]| of\b| from\b|$)"
)


@functools.cache
def trees() -> dict[str, ast.Module]:
    files = sorted((ROOT / "adapt_jax").rglob("*.py"))
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text()) for file in files}


def public_functions(tree: ast.Module):
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))
    return [f for f in functions if not f.name.startswith("_") or f.name == "__init__"]


def argument_lines(function: ast.FunctionDef) -> list[tuple[str, str]]:
    """(names, first line of the description) of every entry under `Args:`."""
    _, _, section = (ast.get_docstring(function) or "").partition("Args:\n")
    entries = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        if match := ENTRY.fullmatch(line):
            entries.append(match.groups())
    return entries


def parameters(function: ast.FunctionDef) -> set[str]:
    a = function.args
    plain = {x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)}
    return plain | {f"*{a.vararg.arg}" if a.vararg else "", f"**{a.kwarg.arg}" if a.kwarg else ""}


def last_text(node: ast.expr) -> str:
    """The literal text that a message ends with; "" where it ends with a value."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[*_, last]):
            return last_text(last)
        case ast.BinOp(right=right):
            return last_text(right)
        case ast.IfExp(body=body, orelse=orelse):
            return last_text(body) if last_text(body).endswith(".") else last_text(orelse)
    return ""


def test_argument_lines_name_parameters():
    wrong = []
    for file, tree in trees().items():
        for function in public_functions(tree):
            for names, _ in argument_lines(function):
                known = parameters(function)
                if not NAMES.fullmatch(names) or not set(names.split(", ")) <= known:
                    wrong.append(f"{file}: {function.name}: {names}")
    assert not wrong, "\n".join(["documented arguments that do not exist:", *wrong])


def test_argument_lines_say_what_the_argument_is():
    wrong = [
        f"{file}: {function.name}: {names}: {text}"
        for file, tree in trees().items()
        for function in public_functions(tree)
        for names, text in argument_lines(function)
        if FRAGMENT.match(text)
    ]
    assert not wrong, "\n".join(["begin with a noun that says what the argument is:", *wrong])


def test_error_messages_end_without_a_full_stop():
    wrong = []
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in ("InputError", "ValueError", "TypeError") and node.args:
                text = last_text(node.args[0])
                if text.endswith(".") and not text.endswith("..."):
                    wrong.append(f"{file}:{node.lineno}: {text}")
    assert not wrong, "\n".join(wrong)


def test_names_say_what_a_value_is():
    wrong = [
        f"{file}:{node.lineno}"
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if "found" in (getattr(node, field, None) for field in ("id", "arg", "name"))
    ]
    assert not wrong, "\n".join(["`found` may be anything; name what it is:", *wrong])
