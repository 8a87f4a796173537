"""The layout: which module has which test file, and how long modules and functions may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST_MODULE = 300
LONGEST_FUNCTION = 60
MODULES = sorted([*(ROOT / "proxy").rglob("*.py"), *(ROOT / "bench").rglob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def named(path: Path) -> str:
    """The path as seen from the root."""
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, nested ones too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("module", sorted((ROOT / "proxy" / "core").glob("*.py")), ids=lambda path: path.stem)
def test_each_core_module_has_its_test_file(module: Path) -> None:
    """What a core module promises is proved in the file of its name."""
    if module.stem != "__init__":
        assert (ROOT / "tests" / "core" / f"test_{module.stem}.py").is_file()


def test_each_core_test_file_has_its_module() -> None:
    """A renamed module takes its tests along; further files begin with their module's name."""
    modules = {module.stem for module in (ROOT / "proxy" / "core").glob("*.py")}
    for path in (ROOT / "tests" / "core").glob("test_*.py"):
        name = path.stem.removeprefix("test_")
        assert any(name == module or name.startswith(f"{module}_") for module in modules), named(path)


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_a_module_is_a_readers_minute(module: Path) -> None:
    """No module is longer than 300 lines."""
    assert len(module.read_text("utf-8").splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_no_function_is_long(module: Path) -> None:
    """No function of the package is longer than 60 lines, its docstring included."""
    for function in functions(module):
        assert function.end_lineno is not None
        assert function.end_lineno - function.lineno < LONGEST_FUNCTION, function.name


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_each_module_says_what_it_owns(module: Path) -> None:
    """Every module opens with a docstring."""
    assert ast.get_docstring(ast.parse(module.read_text("utf-8")))


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_each_test_says_what_it_proves(path: Path) -> None:
    """Every test has a sentence for a docstring."""
    for function in functions(path):
        if function.name.startswith("test_"):
            docstring = ast.get_docstring(function) or ""
            assert len(docstring) > 10, function.name
            assert docstring.splitlines()[0].rstrip().endswith((".", ":", "?")), function.name


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_no_test_is_left_out(path: Path) -> None:
    """Nothing is skipped or expected to fail."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"pytest", "pytest.mark"}:
            assert node.attr not in {"skip", "skipif", "xfail", "importorskip"}, node.lineno


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_tasks_are_started_in_one_place(module: Path) -> None:
    """Every asyncio task has an owner: only proxy/tasks.py makes one, by whatever loop or group."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and named(module) != "proxy/tasks.py":
            assert node.attr not in {"create_task", "ensure_future", "TaskGroup"}, node.lineno
