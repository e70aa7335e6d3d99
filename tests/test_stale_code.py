"""Editing a module makes stale exactly the rules whose scripts import it.

Of options the values do, as params: tests/test_params.py.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from workflow_scripts import code_closure

SCRIPTS = sorted(path for path in (ROOT / "workflow_scripts").glob("*/*.py"))
MODULES = sorted(
    path
    for package in ("wildtalker_core", "workflow_scripts")
    for path in (ROOT / package).rglob("*.py")
)


@pytest.fixture()
def tree(tmp_path):
    for package in ("wildtalker_core", "workflow_scripts"):
        shutil.copytree(ROOT / package, tmp_path / package)
    return tmp_path


def digests(tree):
    code_closure._digest_of_source.cache_clear()  # as in a new plan; imports stay the same
    return {
        str(script.relative_to(ROOT)): code_closure.digest(
            tree / script.relative_to(ROOT), tree, tree / "wildtalker_core"
        )
        for script in SCRIPTS
    }


def test_each_edited_module_changes_its_importers_only(tree):
    before = digests(tree)
    importers = {
        name: {str(path.relative_to(tree)) for path in code_closure.closure(
            tree / name, tree, tree / "wildtalker_core")}
        for name in before
    }  # fmt: skip
    for module in MODULES:
        name = str(module.relative_to(ROOT))
        copy = tree / name
        text = copy.read_text()
        copy.write_text(text + "\n# edited\n")
        after = digests(tree)
        copy.write_text(text)
        changed = {script for script in before if after[script] != before[script]}
        assert changed == {script for script, used in importers.items() if name in used}, name


@pytest.mark.parametrize(
    "script",
    [ROOT / f"workflow_scripts/{name}.py" for name in (
        "person/track_head", "media/spoil_clip", "render/render_portrait")],
    ids=lambda path: path.stem,
)  # fmt: skip
def test_what_python_loads_is_in_the_closure(script):
    """Python's own imports of the script are the oracle; lazy ones may come on top."""
    stage, name = script.parent.name, script.stem
    code = f"import sys, workflow_scripts.{stage}.{name}\n" + (
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith("
        "('wildtalker_core', 'workflow_scripts')) and getattr(m, '__file__', None)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    loaded = {path for path in done.stdout.split() if path != str(script)}
    loaded = {path for path in loaded if not path.endswith("/options.py")}
    assert loaded, done.stderr
    found = {str(path) for path in code_closure.closure(script, ROOT, ROOT / "wildtalker_core")}
    assert loaded <= found


def test_lazy_imports_and_packages_count(tmp_path):
    core = tmp_path / "elsewhere" / "wildtalker_core"  # as in a wheel
    scripts = tmp_path / "workflow_scripts"
    for name, text in {
        core / "__init__.py": "",
        core / "a/__init__.py": "from wildtalker_core import c",
        core / "a/b.py": "def f():\n    import wildtalker_core.d",
        core / "c.py": "",
        core / "d.py": "",
        core / "unused.py": "",
        scripts / "s/job.py": "from wildtalker_core.a import b",
    }.items():
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_text(text)
    found = code_closure.closure(scripts / "s/job.py", tmp_path, core)
    names = {str(path.relative_to(core)) for path in found}
    assert names == {"__init__.py", "a/__init__.py", "a/b.py", "c.py", "d.py"}
