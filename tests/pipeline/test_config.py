"""Pipeline settings: the shipped file says what the code does, and every setting is explained."""

import re

import pytest
from pydantic import BaseModel

from physio_hqc.config import find_config, list_configs
from physio_hqc.errors import ConfigError
from physio_hqc.pipeline.config import PipelineConfig, load_pipeline_config


def leaves(model, prefix=""):
    """Dotted name and field of every setting; window rules count as one."""
    for name, field in model.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from leaves(nested, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def load(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_pipeline_config(path)


def test_shipped_default_is_the_default_of_the_code():
    assert load_pipeline_config() == load_pipeline_config("default") == PipelineConfig()
    assert "default" in list_configs("pipelines")


def test_every_setting_is_described_and_stands_in_the_shipped_file():
    text = find_config("pipelines", "default").read_text(encoding="utf-8")
    for name, field in leaves(PipelineConfig):
        assert field.description, name
        assert re.search(rf"^[ #]*{name.rpartition('.')[2]}:", text, re.MULTILINE), name


def test_values_from_the_literature():
    config = load_pipeline_config()
    assert (config.hrv.lf_hz, config.hrv.hf_hz) == ((0.04, 0.15), (0.15, 0.40))  # Task Force 1996
    assert (config.correction.flag_above, config.correction.withhold_above) == (0.05, 0.20)
    assert config.pressure.sbp_mmhg == (60, 260)
    assert config.pressure.dbp_mmhg == (30, 160)
    assert 0.01 <= config.eda.scr_amplitude_min_us <= 0.05  # Boucsein 2012
    assert config.windows is None


def test_a_file_names_only_what_it_changes(tmp_path):
    text = "eda: {method: highpass}\nwindows:\n  phase_last: [{minutes: 5}]\n"
    config = load(tmp_path, text)
    assert config.eda.method == "highpass"
    assert config.windows.phase_last[0].length_s == 300
    assert config.hrv == PipelineConfig().hrv
    assert load(tmp_path, config.to_yaml()) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "eda: {metod: highpass}",
            "line 1: eda: unknown key 'metod', did you mean 'method'",
        ),
        ("eda: {method: highpas}", "line 1: eda.method: should be .*did you mean 'highpass'"),
        ("ecg: {leave_out_artifacts: most}", "line 1: ecg.leave_out_artifacts: should be"),
        ("eda: {scr_latency_s: [4, 1]}", "eda.scr_latency_s: should go from low to high"),
        ("eda: {latency_of: [markers]}", r"eda.latency_of\[0\]: .*did you mean 'marker'"),
        ("hvr: {}", "unknown key 'hvr', did you mean 'hrv'"),
        ("hrv:\n  lf_hz: [0.15, 0.04]", "line 2: hrv.lf_hz: should go from low to high"),
        ("hrv:\n  lf_hz: [0.04]", "line 2: hrv.lf_hz"),
        ("hrv:\n  hf_hz: [0.15, 3]", "line 2: hrv.hf_hz.*less than or equal to 2"),
        ("hrv:\n  hf_hz: [0.12, 0.4]\n  lf_hz: [0.04, 0.15]", "lf_hz: should not reach into hf_hz"),
        ("hrv: {vlf_hz: [0, 0.05]}", "line 1: hrv.vlf_hz: should not reach into lf_hz"),
        ("hrv: {frequency_method: welsh}", "hrv.frequency_method: .*did you mean 'welch'"),
        ("ecg: {cleaning: butterworth}", "ecg: unknown key 'cleaning'"),
        ("correction: {flag_above: 0.5}", "correction.flag_above: should not be above"),
        ("quality: {min_quality: 50}", "quality.min_quality: should be less than or equal to 1"),
        ("reactivity: {kinds: [phases]}", r"reactivity.kinds\[0\]: .*did you mean 'phase'"),
        ("windows: {sliding: {length: 60, step_s: 1}}", "did you mean 'length_s'"),
        ("eda: {scr_amplitude_min_us: 0}", "should be greater than 0, not 0"),
    ],
)
def test_wrong_settings(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, text)


def test_unknown_name():
    with pytest.raises(ConfigError, match="no pipeline is called 'defalt'; did you mean 'default'"):
        load_pipeline_config("defalt")
