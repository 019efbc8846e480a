import numpy as np
import pytest

from physio_hqc.errors import SignalError
from physio_hqc.features._windows import UNDEFINED, Reasons, as_windows, merge_tables


def test_no_windows_means_the_whole_span():
    assert as_windows(None, (1.0, 4.0)).tolist() == [[1.0, 4.0]]


@pytest.mark.parametrize("empty", [[], np.empty((0, 2))])
def test_an_empty_list_of_windows_gives_no_rows(empty):
    assert as_windows(empty, (0.0, 1.0)).shape == (0, 2)


@pytest.mark.parametrize(
    "wrong", [[1, 2], [[1, 2, 3]], [[3, 2]], [[0, np.nan]], [[0, np.inf]], [["a", "b"]], "x"]
)
def test_wrong_windows_are_refused(wrong):
    with pytest.raises(SignalError, match="windows"):
        as_windows(wrong, (0.0, 1.0))


def test_reasons_withhold_before_flags_and_explain_every_nan():
    reasons = Reasons(4)
    reasons.flag("A", np.array([True, True, False, False]), "short")
    reasons.flag("A", np.array([True, False, False, False]), ["first", "", "", ""])
    reasons.withhold("A", np.array([False, True, False, False]), ["", "too few", "", ""])
    reasons.withhold("A", np.array([False, True, False, False]), "said later")
    table = reasons.frame({"A": [1.0, 2.0, np.nan, 4.0], "B": np.arange(4)})
    assert table["A"].isna().tolist() == [False, True, True, False]
    assert table.attrs["reasons"]["A"] == ["flag: short; first", "too few", UNDEFINED, ""]
    assert table.attrs["reasons"]["B"] == [""] * 4
    assert table.index.tolist() == [0, 1, 2, 3]


def test_merged_tables_keep_all_reasons():
    left, right = Reasons(1), Reasons(1)
    left.flag("A", where=True, text="x")
    merged = merge_tables([left.frame({"A": [1.0]}), right.frame({"B": [2.0]})])
    assert merged.attrs["reasons"] == {"A": ["flag: x"], "B": [""]}


def test_a_copy_of_a_table_has_reasons_of_its_own():
    reasons = Reasons(2)
    reasons.flag("A", where=True, text="x")
    table = reasons.frame({"A": [1.0, 2.0], "B": [1.0, 2.0]})
    column, copied = table["A"], table.copy()
    copied.attrs["reasons"]["A"][0] = "changed"
    assert table.attrs["reasons"]["A"] == ["flag: x", "flag: x"]
    assert column.attrs["reasons"] == table.attrs["reasons"]
    assert isinstance(copied.attrs["reasons"]["A"], list)
