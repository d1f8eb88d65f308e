"""The documents stay true: what they name exists, what they quote is in the tree, what they tell to type is understood.

`path:function` names a function, class, method or constant (a label in assembly); `<!-- from path -->` before a block says that
its lines are in that file, in this order, and `<!-- from numachine demo -->` that the demo prints them.
"""
from __future__ import annotations

import ast
import io
import json
import re
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from rich.console import Console

from emu.cli.options import EarlyExit
from emu.cli.parser import parse
from emu.qmp import COMMANDS
from machines import demo

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
PACKAGES = "jit|emu|acpi|machines|tests|benchmarks|docs|tools"
REFERENCE = re.compile(r"`((?:\w+/)+\w+\.(?:py|s)):([A-Za-z_][\w.]*)`")
PATH = re.compile(rf"(?<![\w/.-])((?:{PACKAGES})/[\w/.*-]*\w)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"(?:<!-- from (.+?) -->\n+)?^ *```(\w*)\n(.*?)^ *```", re.M | re.S)


def text_of(document: Path) -> str:
    return document.read_text()


def blocks(document: Path, language: str) -> list[str]:
    return [body for _, kind, body in BLOCK.findall(text_of(document)) if kind == language]


def over(document_items: list[tuple[Path, str]]) -> pytest.MarkDecorator:
    ids = [f"{document.name}-{item.split(chr(10))[0][:60]}" for document, item in document_items]
    return pytest.mark.parametrize("item", [item for _, item in document_items], ids=ids)


def every(find) -> list[tuple[Path, str]]:
    return [(document, item) for document in DOCUMENTS for item in dict.fromkeys(find(document))]


# --- what is named
@cache
def defined(path: str) -> frozenset[str]:
    """Dotted names of everything that a file defines at its top level and in its classes."""
    source = (ROOT / path).read_text()
    if path.endswith(".s"):
        return frozenset(re.findall(r"^(\w+):", source, re.M))
    return frozenset(_names(ast.parse(source).body, ""))


def _names(body: list[ast.stmt], prefix: str):
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from _names(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (prefix + n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))


def problem_with(path: str, name: str) -> str:
    if not (ROOT / path).is_file():
        return f"there is no file {path}"
    return "" if name in defined(path) else f"{path} defines no {name}"


REFERENCES = every(lambda document: [":".join(found) for found in REFERENCE.findall(text_of(document))])


@over(REFERENCES)
def test_a_function_that_a_document_names_exists(item: str) -> None:
    assert not problem_with(*item.split(":"))


def test_the_walks_name_functions_at_every_step() -> None:
    walks = text_of(ROOT / "docs/ARCHITECTURE.md").split("\n## ")
    for walk in (part for part in walks if part.startswith("Walk")):
        steps = re.split(r"^\d+\. ", walk, flags=re.M)[1:]
        assert len(steps) >= 8
        assert not [step for step in steps if not REFERENCE.search(step)]


def test_a_name_that_does_not_exist_is_noticed() -> None:
    assert problem_with("jit/translate.py", "no_such_function") == "jit/translate.py defines no no_such_function"
    assert problem_with("jit/no_such_file.py", "x") == "there is no file jit/no_such_file.py"
    assert problem_with("emu/bus.py", "AddressSpace.no_such_method")


@over(every(lambda document: PATH.findall(text_of(document))))
def test_a_file_that_a_document_names_exists(item: str) -> None:
    assert list(ROOT.glob(item)), f"there is no {item}"


@over(every(lambda document: [f"{document.relative_to(ROOT)} {link}" for link in LINK.findall(text_of(document))]))
def test_a_link_leads_somewhere(item: str) -> None:
    document, link = item.split(" ")
    if "://" not in link:
        place, _, anchor = link.partition("#")
        target = (ROOT / document).parent / place if place else ROOT / document
        assert target.exists()
        assert not anchor or anchor in anchors(target)


def anchors(document: Path) -> list[str]:
    """GitHub's anchors of the headings."""
    headings = re.findall(r"^#+ (.*)$", text_of(document), re.M)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


# --- what is quoted
DEMO = "numachine demo"
QUOTES = every(lambda document: [f"{place}\n{body}" for place, _, body in BLOCK.findall(text_of(document)) if place and place != DEMO])


@over(QUOTES)
def test_a_quoted_line_is_in_the_file_it_comes_from(item: str) -> None:
    path, _, body = item.partition("\n")
    source = iter(squeezed((ROOT / path).read_text().replace("{{", "{").replace("}}", "}")))
    for line in squeezed(body):
        assert line in source, f"{path} does not go on with {line!r}"


def squeezed(text: str) -> list[str]:
    """Lines without the spaces that only align columns."""
    return [line for line in (" ".join(line.split()).removesuffix(",") for line in text.splitlines()) if line]


def test_there_are_quotes() -> None:
    assert len(QUOTES) >= 5


def without_time(line: str) -> str:
    return re.sub(r"^ *\d+\.\d{3} ", "", line)


def test_a_timeline_is_what_the_demo_prints() -> None:
    screen = Console(file=io.StringIO(), width=120)
    assert demo.main([], lambda: screen) == 0
    assert isinstance(screen.file, io.StringIO)
    printed = iter([without_time(line) for line in squeezed(screen.file.getvalue())])
    quoted = [body for place, _, body in BLOCK.findall(text_of(ROOT / "docs/HOTPLUG.md")) if place == DEMO]
    assert quoted
    for line in squeezed(quoted[0]):
        assert without_time(line) in printed, f"the demo does not go on with {line!r}"


# --- what is to be typed
def commands(document: Path) -> list[str]:
    joined = "\n".join(blocks(document, "sh")).replace("\\\n", " ")
    return [line.split("   #")[0].strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


@over(every(commands))
def test_a_command_is_understood(item: str) -> None:
    program, *arguments = [word for word in shlex.split(item) if word != "nice"]
    check_command(Path(program).name, arguments)


def check_command(program: str, arguments: list[str]) -> None:
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert {word for word in arguments if "=" not in word} <= set(targets)
        for path in PATH.findall(" ".join(arguments)):
            assert (ROOT / path).exists()
    elif program in ("numachine-system-x86_64", "numachine") and arguments[:1] != ["demo"]:
        try:
            parse(arguments[1:] if arguments[:1] == ["run"] else arguments)
        except EarlyExit:
            pass
    elif program.startswith("python"):
        check_python(arguments)
    else:
        assert program in ("numachine", "pip", "git", "cd", "apt-get", "qmp-shell", "grep"), program


def check_python(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        name = arguments[1].replace(".", "/")
        assert arguments[1] in ("venv", "pip", "pytest") or list(ROOT.glob(f"{name}.py")) or (ROOT / name / "__main__.py").exists()
    else:
        assert (ROOT / arguments[0]).is_file()


def test_a_command_with_an_unknown_option_is_noticed() -> None:
    with pytest.raises(Exception, match="no-such-option"):
        check_command("numachine-system-x86_64", ["-no-such-option"])


@over(every(lambda document: [body for path, kind, body in BLOCK.findall(text_of(document)) if kind == "python" and not path]))
def test_an_example_in_python_compiles_and_its_imports_exist(item: str) -> None:
    tree = ast.parse(re.sub(r"^   ", "", item, flags=re.M) if item.startswith("   ") else item)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name) or import_module(f"{node.module}.{alias.name}")


RUNNABLE = every(lambda document: [b for b in blocks(document, "python") if "assert " in b or "expect(" in b])


@over([(document, body) for document, body in RUNNABLE if "def " not in body])
def test_an_example_that_checks_something_is_right(item: str) -> None:
    exec(compile(item, "example", "exec"), {})  # noqa: S102 (our own documents)


def test_there_are_examples_that_check_something() -> None:
    assert len(RUNNABLE) >= 3


@over(every(lambda document: [line for body in blocks(document, "json") for line in body.splitlines() if line.startswith("{")]))
def test_a_qmp_message_is_understood(item: str) -> None:
    message = json.loads(item)
    if "execute" in message:
        COMMANDS.find(message["execute"]).arguments(message.get("arguments", {}))
    else:
        assert set(message) & {"return", "event", "QMP"}
