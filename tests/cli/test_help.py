"""``--help`` teaches each command: what it does, an example that its options understand."""

import re
import shlex

import pytest
from typer.main import get_command

from physio_hqc.cli.main import app, run

ROOT = get_command(app)


def leaves(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield pytest.param((*path, name), command, id=" ".join((*path, name)))


def groups(group, path=()):
    yield path, group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from groups(command, (*path, name))


COMMANDS = list(leaves(ROOT))


def examples(command):
    """Command lines after "For example:", each as words."""
    after = command.help.partition("For example:")[2]
    paragraphs = [" ".join(part.split()) for part in after.split("\n\n")]
    return [shlex.split(part) for part in paragraphs if part.startswith("physio-hqc ")]


def test_all_commands_are_looked_at():
    found = {" ".join(parameter.values[0]) for parameter in COMMANDS}
    assert {"process", "study", "simulate session", "devices test"} <= found


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_a_command_says_what_it_does(path, command):
    first, _, rest = command.help.partition("\n")
    assert 20 < len(first) <= 100
    assert first.rstrip(".:") != path[-1]
    assert "For example:" in rest
    # Markdown shows nothing of what stands in angle brackets.
    assert not re.search(r"<\w+>", command.help)


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_its_options_all_have_a_help(path, command):
    for parameter in command.params:
        assert getattr(parameter, "help", None), parameter.name


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_its_examples_parse(path, command):
    found = examples(command)
    assert found
    for words in found:
        assert tuple(words[1 : 1 + len(path)]) == path
        context = command.make_context(path[-1], words[1 + len(path) :])
        assert not context.args


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("path", [parameter.values[0] for parameter in COMMANDS], ids=" ".join)
def test_help_fits_the_screen_and_shows_every_option(path, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERMINAL_WIDTH", str(width))
    assert run([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= width
    assert f"physio-hqc {' '.join(path)}" in " ".join(text.split())
    command = next(p.values[1] for p in COMMANDS if p.values[0] == path)
    for parameter in command.params:
        # An option may have a second name, which a narrow screen leaves no room for.
        assert any(option in text or option[0] != "-" for option in parameter.opts)


@pytest.mark.parametrize("path", [path for path, _ in groups(ROOT)], ids=" ".join)
def test_a_group_lists_its_commands_and_how_to_begin(path, capsys):
    assert run([*path, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    group = dict(groups(ROOT))[path]
    for name, command in group.commands.items():
        assert name in text
        assert command.help.split()[0] in text
    assert "physio-hqc " in text


def test_exit_codes_are_documented(capsys):
    assert run(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    said = text.partition("Exit codes:")[2]
    assert [code in said for code in ("0 done", "2 an error", "130 stopped")] == [True] * 3
