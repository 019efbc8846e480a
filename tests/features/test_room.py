"""What a room shows: its functions, each loaded on first use."""

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

ROOMS = ("signals", "features", "pipeline", "reactivity", "report")


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_is_there_and_no_module(room):
    package = importlib.import_module(f"physio_hqc.{room}")
    assert package.__all__
    assert dir(package) == sorted(package.__all__)
    for name in package.__all__:
        assert not isinstance(getattr(package, name), ModuleType), name
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        package.nothing_of_that_name  # noqa: B018  the look-up itself is tested


def test_no_module_of_the_features_is_named_after_a_function():
    code = (
        "import importlib, pkgutil, physio_hqc.features as room\n"
        "modules = [module.name for module in pkgutil.iter_modules(room.__path__)]\n"
        "assert modules and not set(modules) & set(room.__all__), modules\n"
        "for name in modules:\n"
        "    importlib.import_module(f'physio_hqc.features.{name}')\n"
        "assert all(callable(getattr(room, name)) for name in room.__all__ if name.islower())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_room_loads_none_of_its_libraries(room):
    code = (
        f"import sys, physio_hqc.{room}\n"
        "print(*({'scipy', 'pandas', 'numpy', 'h5py', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True
    )
    assert done.stdout.split() == []
