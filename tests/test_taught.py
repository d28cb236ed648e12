"""Libraries that know functions by their exact type are told of tracked ones, before or after they are imported."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

# What the two libraries do, in small.
YAML = """
    import types

    class BaseRepresenter:
        yaml_representers = {}

        @classmethod
        def add_representer(cls, kind, representer):
            if "yaml_representers" not in vars(cls):
                cls.yaml_representers = cls.yaml_representers.copy()
            cls.yaml_representers[kind] = representer

        def represent(self, value):
            return self.yaml_representers.get(type(value), lambda self, value: "anything")(self, value)

    class Representer(BaseRepresenter):
        def represent_name(self, value):
            return "a name"

    Representer.add_representer(types.FunctionType, Representer.represent_name)
"""
REFLECT = """
    import types

    def methods_of(kind):
        return [name for name, value in vars(kind).items() if type(value) is types.FunctionType]
"""
PROGRAM = """
    import sys
    from stichotrope import Profiler

    def mark():
        global tracked
        tracked = Profiler("taught").track(0)(lambda: 5)

    if {early}:
        mark()
    from twisted.python import reflect
    from yaml import representer

    class Own(representer.Representer):
        pass

    Own.add_representer(int, lambda self, value: "a number")
    if not {early}:
        mark()

    class Later(Own):
        pass

    Later.add_representer(type(lambda: 1), lambda self, value: "a function of its own")
    for kind in (representer.BaseRepresenter, representer.Representer, Own, Later):
        print(kind().represent(tracked), "/", kind().represent(lambda: 1), end=", ")
    print(Own().represent(3), reflect.methods_of(type("Kind", (), {{"a": tracked, "b": print, "c": 1}})))
"""


@pytest.mark.parametrize("early", [True, False])
def test_they_find_a_function(tmp_path: Path, early: bool) -> None:
    """In tables by type that they and programs have made, and by `type(value) is FunctionType`."""
    for name, text in (("yaml/representer", YAML), ("twisted/python/reflect", REFLECT)):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM.format(early=early))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout == (
        "anything / anything, a name / a name, a name / a name, "
        "a function of its own / a function of its own, a number ['a']\n"
    )


@pytest.mark.parametrize("package", ["numba.cloudpickle", "some.engine.cloudpickle"])
def test_a_package_s_own_cloudpickle_is_known(tmp_path: Path, package: str) -> None:
    """Wherever it keeps it."""
    path = tmp_path / package.replace(".", "/") / "cloudpickle.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "class CloudPickler:\n"
        "    def _dynamic_function_reduce(self, function):\n"
        "        return function.__name__, ()\n"
    )
    program = f"""
        from stichotrope import Profiler
        tracked = Profiler("sent").track(0)(lambda: 5)
        from {package} import cloudpickle
        print(len(cloudpickle.CloudPickler()._dynamic_function_reduce(tracked)[1]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.stderr, done.stdout) == ("", "3\n")
