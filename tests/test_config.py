"""YAML configuration: found by name or path, errors that help, nothing but ConfigError."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from physio_hqc.config import (
    MAX_BYTES,
    ConfigModel,
    Name,
    WrongKeyError,
    dump_yaml,
    find_config,
    list_configs,
    load_config,
    load_yaml_model,
    nearest,
    parse_yaml_model,
)
from physio_hqc.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


class Inner(ConfigModel):
    duration_s: float
    label: str = ""


class Outer(ConfigModel):
    name: str
    inner: tuple[Inner, ...] = ()
    single: Inner | None = None
    anything: dict[str, str | int | float | bool | None] = Field(default={})


def message(text, model=Outer):
    with pytest.raises(ConfigError) as caught:
        parse_yaml_model(text, model, source="study.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestFinding:
    @pytest.mark.parametrize("kind", ["protocols", "devices", "pipelines"])
    def test_lists_what_ships(self, kind):
        assert list_configs(kind) == sorted(path.stem for path in (CONFIGS / kind).glob("*.yaml"))
        assert list_configs(kind)

    def test_name_and_path_find_the_same_file(self):
        by_name = find_config("protocols", "tsst")
        assert find_config("protocols", by_name) == by_name
        assert find_config("protocols", str(by_name)) == by_name

    def test_misspelt_name_suggests_the_nearest(self):
        with pytest.raises(ConfigError, match=r"'lepore1993'; did you mean 'lepore_1993'\?"):
            find_config("protocols", "lepore1993")

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(ConfigError, match=r"tst\.yaml: no such protocol file.*'tsst'"):
            find_config("protocols", tmp_path / "tst.yaml")

    @pytest.mark.parametrize("name", ["", "\0", "a" * 5000, "x/\ud800", "\n", "..", "/", "~"])
    def test_impossible_names(self, name):
        with pytest.raises(ConfigError) as caught:
            find_config("devices", name)
        assert len(str(caught.value).splitlines()) == 1

    def test_unknown_kind(self):
        with pytest.raises(ConfigError):
            list_configs("../errors")

    def test_file_in_the_current_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("mine.yml").write_text("name: a", encoding="utf-8")
        assert load_config("protocols", "mine.yml", Outer).name == "a"

    def test_installed_package_has_its_own_copy(self, tmp_path):
        # As in a wheel: the package folder holds configs/ and no repository is around it.
        package = tmp_path / "physio_hqc"
        (package / "configs" / "protocols").mkdir(parents=True)
        source = CONFIGS.parent / "physio_hqc"
        for name in ("__init__.py", "__init__.pyi", "errors.py", "config.py"):
            (package / name).write_bytes((source / name).read_bytes())
        shipped = CONFIGS / "protocols" / "tsst.yaml"
        (package / "configs" / "protocols" / "only.yaml").write_bytes(shipped.read_bytes())
        code = "from physio_hqc.config import list_configs; print(list_configs('protocols'))"
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == "['only']"

    def test_importing_the_package_does_not_load_it(self):
        code = "import sys, physio_hqc; print(sorted({'yaml', 'pydantic'} & set(sys.modules)))"
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == "[]"


class TestReading:
    def test_values(self):
        text = "name: a\ninner:\n  - {duration_s: 2, label: b}\n  - duration_s: 1e-3\n"
        model = parse_yaml_model(text, Outer)
        assert model.inner == (Inner(duration_s=2, label="b"), Inner(duration_s=0.001))

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("no", "no"), ("on", "on"), ("10:30", "10:30"), ("0x1810", "0x1810"), ("010", 10),
            ("1_000", "1_000"), ("2024-01-02", "2024-01-02"), ("true", True), ("~", None),
            ("", None), ("1e3", 1000.0), (".5", 0.5), ("-4", -4), ("'7'", "7"), ("<<", "<<"),
        ],
    )  # fmt: skip
    def test_scalars_are_those_of_yaml_1_2(self, text, value):
        result = parse_yaml_model(f"name: a\nanything:\n  x: {text}\n", Outer).anything["x"]
        assert result == value
        assert type(result) is type(value)

    def test_frozen(self):
        with pytest.raises(ValueError, match="frozen"):
            parse_yaml_model("name: a", Outer).name = "b"

    def test_byte_order_mark_is_no_problem(self, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_bytes("\ufeffname: ä".encode())
        assert load_yaml_model(path, Outer).name == "ä"

    @given(
        st.builds(
            Outer,
            name=st.text(),
            inner=st.lists(
                st.builds(Inner, duration_s=st.floats(allow_nan=False), label=st.text())
            ),
            anything=st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()),
        )
    )
    @settings(deadline=None, max_examples=300)
    def test_dump_reads_back(self, model):
        assert parse_yaml_model(dump_yaml(model), Outer) == model


class TestMessages:
    def test_unknown_key(self):
        text = "name: a\n# remark\ninner:\n  - duration_s: 1\n    lable: x\n"
        assert message(text) == (
            "study.yaml, line 5: inner[0]: unknown key 'lable', did you mean 'label'?"
        )

    def test_unknown_key_without_a_neighbour_lists_the_known(self):
        assert message("name: a\nsingle: {duration_s: 1, zzz: 2}\n") == (
            "study.yaml, line 2: single: unknown key 'zzz', known: duration_s, label"
        )

    def test_misspelt_required_key_is_reported_once(self):
        text = "name: a\ninner:\n  - {duration_s: 1}\n  - label: x\n    duratoin_s: 1\n"
        assert message(text) == (
            "study.yaml, line 5: inner[1]: unknown key 'duratoin_s', did you mean 'duration_s'?"
        )

    def test_missing_key_points_to_its_group(self):
        assert message("name: a\ninner:\n  - duration_s: 1\n  - label: x\n") == (
            "study.yaml, line 4: inner[1].duration_s: this key is required and missing"
        )

    def test_wrong_value(self):
        assert message("name: a\nsingle:\n  duration_s: six minutes\n") == (
            "study.yaml, line 3: single.duration_s: should be a valid number, unable to parse "
            "string as a number, not 'six minutes'"
        )

    def test_several_problems_are_counted_first_in_the_file_first(self):
        text = "name: [1]\ninner:\n  - duration_s: x\n  - duration_s: y\n"
        assert message(text).startswith("study.yaml, line 1: name: ")
        assert message(text).endswith("(and 2 more)")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "name: a\nsingle: 3",
                "line 2: single: should be a group of 'key: value' lines, not 3",
            ),
            ("name: a\ninner: b", "line 2: inner: should be a list, not 'b'"),
            ("name: [a]", "line 1: name: should be text, not a list"),
            ("name:", "line 1: name: should be text, not empty"),
            ("name: a\npair: [1]", "line 2: pair: needs more than 1 of them"),
            ("name: a\npair: [1, 2, 3]", "line 2: pair: takes at most 2 of them"),
            ("name: a\nsome: []", "line 2: some: needs at least 1 of them"),
            (
                "name: a\nsome: [x y]",
                "line 2: some[0]: should be one word of letters, digits and _",
            ),
        ],
    )
    def test_plain_words(self, text, said):
        class More(Outer):
            pair: tuple[int, int] = (1, 2)
            some: tuple[Name, ...] = Field(default=("a",), min_length=1)

        assert said in message(text, More)
        assert "more)" not in message(text, More)

    def test_wrong_key_error_is_located(self):
        class Checked(Outer):
            def model_post_init(self, _context):
                raise WrongKeyError(("inner", 1, "label"), "is too long")

        text = "name: a\ninner:\n  - duration_s: 1\n  - duration_s: 2\n    label: b\n"
        assert message(text, Checked) == "study.yaml, line 5: inner[1].label: is too long"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "study.yaml: is empty"),
            ("# nothing\n", "study.yaml: is empty"),
            ("- a\n- b\n", "line 1: the top level must be"),
            ("name: a\nname: b\n", "line 2: key 'name' appears twice"),
            ("name: a\nanything: {x: 1, x: 2}\n", "line 2: key 'x' appears twice"),
            ("name: &a b\n", "line 1: anchors"),
            ("name: a\nsingle: *a\n", "line 2: anchors"),
            ("name: !!python/object/apply:os.system ['x']\n", "line 1: tags"),
            ("name: !!str 1\n", "line 1: tags"),
            ("name: a\n? [1, 2]\n: b\n", "line 2: a key must be a plain word"),
            ("name: a\n  b: c\n", "line 2: mapping values are not allowed here"),
            ("name: 'a\n", "line 2: found unexpected end of stream"),
            ("name: a\n---\nname: b\n", "line 2: but found another document"),
            ("name: a\n\tb: c\n", "line 2: a tab; indent with spaces"),
            ("name: a\x00", "line 1: contains a control character"),
            ('name: "\\UFFFFFFFF"', "number out of range"),
            (
                "name: a\nanything: {x: " + "9" * 5000 + "}",
                "line 2: the number has too many digits",
            ),
            ("name: " + "[" * 40 + "]" * 40, "line 1: nested deeper than 32 levels"),
            ("name:\n" + "- a\n" * 11_000, "more than 10000 entries"),
            ("name: " + "a" * MAX_BYTES, "larger than 1000 kB"),
        ],
    )
    def test_refused_text(self, text, said):
        assert said in message(text)

    def test_nearest_ignores_capitals(self):
        assert nearest("RMSSD", ["rmssd_ms", "sdnn"]) == "did you mean 'rmssd_ms'?"
        assert nearest("a", []) == "known: none"


class TestFiles:
    def test_missing(self, tmp_path):
        with pytest.raises(ConfigError, match="no such file"):
            load_yaml_model(tmp_path / "none.yaml", Outer)

    def test_folder(self, tmp_path):
        with pytest.raises(ConfigError, match="no such file"):
            load_yaml_model(tmp_path, Outer)

    def test_too_large(self, tmp_path):
        path = tmp_path / "big.yaml"
        path.write_bytes(b"#" * (MAX_BYTES + 1))
        with pytest.raises(ConfigError, match="larger than 1000 kB"):
            load_yaml_model(path, Outer)

    def test_not_utf8_names_the_line(self, tmp_path):
        path = tmp_path / "latin.yaml"
        path.write_bytes("name: a\n# µ".encode("latin-1"))
        with pytest.raises(ConfigError, match=r"latin\.yaml, line 2: not UTF-8"):
            load_yaml_model(path, Outer)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
    def test_unreadable(self, tmp_path):
        path = tmp_path / "secret.yaml"
        path.write_text("name: a", encoding="utf-8")
        path.chmod(0)
        with pytest.raises(ConfigError, match="cannot be read"):
            load_yaml_model(path, Outer)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "inner", "single", "duration_s", "label", "x"]), inner
        )
    ),
    max_leaves=15,
)
yamlish = st.lists(
    st.sampled_from(
        ["name", "inner", "duration_s", ": ", ":", "- ", "\n", "\n  ", "[", "]", "{", "}", ",", "'",
         '"', "|", ">", "&a", "*a", "!!int", "!", "%YAML 1.1", "---", "...", "#", "? ", "1", ".inf",
         "\t", "<<", "~", "\\x", "\\U0011FFFF", "@", "`", "\u2028", "\ud800", "9" * 4301]
    ),
    max_size=30,
).map("".join)  # fmt: skip


class TestFuzz:
    """Whatever the text: a model, or one line of ConfigError."""

    @staticmethod
    def complaint(read, *args):
        try:
            read(*args, Outer)
        except ConfigError as error:
            return str(error)
        return ""

    @given(st.text() | yamlish)
    @settings(deadline=None, max_examples=1000)
    def test_text(self, text):
        assert self.complaint(parse_yaml_model, text).isprintable()

    @given(plain)
    @settings(deadline=None, max_examples=300)
    def test_yaml_of_the_wrong_shape(self, data):
        assert self.complaint(parse_yaml_model, yaml.safe_dump(data)).isprintable()
        nested = yaml.safe_dump({"name": "a", "inner": data}, default_flow_style=True)
        assert self.complaint(parse_yaml_model, nested).isprintable()

    @given(raw=st.binary(max_size=400))
    @settings(
        deadline=None,
        max_examples=300,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_bytes(self, tmp_path, raw):
        path = tmp_path / "fuzz.yaml"
        path.write_bytes(raw)
        assert self.complaint(load_yaml_model, path).isprintable()
