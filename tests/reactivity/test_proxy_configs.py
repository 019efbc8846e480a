import pytest

from physio_hqc.config import dump_yaml, list_configs, parse_yaml_model
from physio_hqc.errors import ConfigError
from physio_hqc.features.catalog import FEATURES
from physio_hqc.reactivity import ProxyDefinition, load_proxy

SHIPPED = ["seeman_1997", "session", "session_and_lab"]

# Wisconsin Longitudinal Study, documentation of allostatic load; units of its lab documentation.
SEEMAN = {
    "sbp": ("high", 148, "mmHg", "secondary"),
    "dbp": ("high", 83, "mmHg", "secondary"),
    "waist_hip": ("high", 0.94, "1", "secondary"),
    "total_hdl": ("high", 5.9, "1", "secondary"),
    "hba1c": ("high", 7.1, "%", "secondary"),
    "cortisol": ("high", 25.7, "µg/g creatinine", "primary"),
    "norepinephrine": ("high", 48, "µg/g creatinine", "primary"),
    "epinephrine": ("high", 5, "µg/g creatinine", "primary"),
    "hdl": ("low", 37, "mg/dL", "secondary"),
    "dhea_s": ("low", 35, "µg/dL", "primary"),
}

MINIMAL = """
name: own
title: One of our own
components:
  - name: resting_hr
    label: Resting heart rate
    unit: 1/min
    risk: high
    sources:
      - feature: ECG_Rate_Mean
"""


def own(old="", new=""):
    assert old in MINIMAL
    return parse_yaml_model(MINIMAL.replace(old, new), ProxyDefinition, source="own.yaml")


def test_what_is_shipped():
    assert list_configs("proxies") == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_definitions_survive_being_written(name):
    definition = load_proxy(name)
    assert definition.name == name
    assert parse_yaml_model(dump_yaml(definition), ProxyDefinition) == definition


@pytest.mark.parametrize("name", SHIPPED)
def test_units_are_those_of_the_features(name):
    for component in load_proxy(name).components:
        for source in component.sources:
            if source.feature is not None:
                assert FEATURES[source.feature].unit == component.unit


@pytest.mark.parametrize("name", SHIPPED)
def test_the_title_never_claims_allostatic_load(name):
    definition = load_proxy(name)
    texts = [definition.title, definition.description]
    texts += [component.label for component in definition.components]
    assert not any("allostatic load" in text.lower() for text in texts)


def test_cut_points_of_seeman_1997():
    definition = load_proxy("seeman_1997")
    found = {
        component.name: (component.risk, component.cut, component.unit, component.mediator)
        for component in definition.components
    }
    assert found == SEEMAN
    assert definition.rule == "cut points"
    assert not any(component.inclusive for component in definition.components)


def test_the_session_has_no_primary_mediator_and_no_column_of_a_laboratory():
    definition = load_proxy("session")
    assert definition.rule == "sample quartile"
    assert all(component.mediator == "secondary" for component in definition.components)
    assert all(source.column is None for entry in definition.components for source in entry.sources)
    protective = [component.name for component in definition.components if component.risk == "low"]
    assert protective == ["resting_rmssd"]


def test_cut_points_by_sex():
    definition = load_proxy("session_and_lab")
    by_sex = {entry.name: entry.cut_by_sex for entry in definition.components if entry.cut_by_sex}
    assert (by_sex["waist_hip"].female, by_sex["waist_hip"].male) == (0.85, 0.90)
    assert (by_sex["hdl"].female, by_sex["hdl"].male) == (50, 40)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ECG_Rate_Mean", "ECG_Rate_Maen", ["line 10", "did you mean 'ECG_Rate_Mean'"]),
        ("risk: high", "risk: up", ["line 8", "risk", "'high' or 'low'"]),
        ("risk: high", "riks: high", ["line 8", "did you mean 'risk'"]),
        ("feature: ECG_Rate_Mean", "window: baseline", ["either 'feature'", "or 'column'"]),
        ("feature: ECG_Rate_Mean", "{feature: ECG_Rate_Mean, column: hr}", ["either"]),
        ("feature: ECG_Rate_Mean", "{column: hr, window: baseline}", ["neither"]),
        ("feature: ECG_Rate_Mean", "{feature: ECG_Rate_Mean, over: hr}", ["column"]),
        (
            "feature: ECG_Rate_Mean",
            "{feature: ECG_Rate_Mean, recovery: half_recovery_s}",
            ["percent_300s"],
        ),
        ("feature: ECG_Rate_Mean", "{feature: ECG_Rate_Mean, recovery: fast}", ["fast"]),
        ("risk: high", "risk: high\n    cut: 90\n    cut_by_sex: {female: 1, male: 2}", ["either"]),
        ("risk: high", "risk: high\n    cut_by_sex: {female: 1}", ["male"]),
        ("risk: high", "risk: high\n    inclusive: true", ["cut point"]),
        ("risk: high", "risk: high\n    possible: [200, 20]", ["lowest value comes first"]),
        ("risk: high", "risk: high\n    cut: .nan", ["cut"]),
        ("name: resting_hr", "name: sex", ["another column"]),
        ("title:", "rule: cut points\ntitle:", ["no component has a cut point"]),
        ("title:", "min_share: 0\ntitle:", ["min_share"]),
        ("title:", "min_n: 2\ntitle:", ["min_n"]),
    ],
)
def test_wrong_definitions_are_refused_in_one_line(old, new, words):
    with pytest.raises(ConfigError) as caught:
        own(old, new)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("own.yaml")
    for word in words:
        assert word in message


def test_a_name_can_be_used_once():
    text = MINIMAL + MINIMAL[MINIMAL.index("  - name") :]
    with pytest.raises(ConfigError, match="already taken"):
        parse_yaml_model(text, ProxyDefinition)


def test_an_unknown_proxy_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'session'"):
        load_proxy("sesion")
    with pytest.raises(ConfigError, match="no such allostatic-load proxy file"):
        load_proxy("missing/seeman.yaml")


def test_defaults():
    definition = own()
    assert (definition.rule, definition.sex_specific) == ("sample quartile", False)
    assert definition.components[0].mediator == "secondary"
