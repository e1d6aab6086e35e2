"""The errors that tell a user what to do."""

import pytest

from autoseg.errors import UsageError, unknown_name


def test_a_near_name_is_proposed():
    error = unknown_name("network", "icnet_resnet5", ["icnet_resnet50", "duc_hdc_resnet101"])
    assert isinstance(error, UsageError)
    assert str(error) == (
        "unknown network 'icnet_resnet5'; did you mean 'icnet_resnet50'? "
        "Known: duc_hdc_resnet101, icnet_resnet50."
    )


def test_no_name_is_proposed_where_none_is_near():
    error = unknown_name("strategy", "zzz", {"darts": 1, "random": 2})
    assert str(error) == "unknown strategy 'zzz'. Known: darts, random."


def test_the_nearest_of_several_is_proposed():
    error = unknown_name("dataset", "camvit", ["camera", "camvid", "cityscapes"])
    assert "did you mean 'camvid'?" in str(error)


def test_callers_may_catch_a_value_error():
    with pytest.raises(ValueError, match=r"^unknown preset 'a'"):
        raise unknown_name("preset", "a", ["paper"])


def test_an_empty_table_says_so():
    assert str(unknown_name("preset", "tiny", [])) == "unknown preset 'tiny'. There is none."
