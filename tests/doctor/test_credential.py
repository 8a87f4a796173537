"""The credential: where it is taken from, what can be sent, and what is said of it."""

import pytest

from proxy.doctor.credential import credential


def test_the_usual_variable() -> None:
    """OPENAI_API_KEY goes to the host as SDKs send it."""
    found = credential({"OPENAI_API_KEY": "sk-1"}, None)
    assert found.headers == [("authorization", "Bearer sk-1")]
    assert found.trouble() is None
    assert "sk-1" not in repr(found)


def test_a_variable_that_was_named() -> None:
    """It counts alone; the usual one is left alone."""
    assert credential({"OPENAI_API_KEY": "sk-1", "MINE": "k2"}, "MINE").headers == [("authorization", "Bearer k2")]
    assert credential({"OPENAI_API_KEY": "sk-1"}, "MINE").headers == []


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": ""}])
def test_without_one(environ: dict[str, str]) -> None:
    """No key, or an empty one, is skipped with the way to give one."""
    trouble = credential(environ, None).trouble()
    assert trouble
    assert (trouble.state, "--api-key-env" in trouble.advice) == ("skipped", True)


def test_a_variable_that_is_not_set() -> None:
    """Where one was named, that fails; the name is not repeated, as it may be the key itself."""
    found = credential({}, "sk-not-a-name")
    trouble = found.trouble()
    assert trouble
    assert trouble.state == "failed"
    assert "sk-not-a-name" not in f"{trouble} {found}"


@pytest.mark.parametrize("key", ["sk-1\n", "sk 1", "sk-é", " "])
def test_what_cannot_be_sent(key: str) -> None:
    """A line end, a blank or a letter beyond ASCII: it fails, names the variable, and nothing is sent."""
    found = credential({"OPENAI_API_KEY": key}, None)
    trouble = found.trouble()
    assert trouble
    assert (trouble.state, found.headers) == ("failed", [])
    assert "OPENAI_API_KEY" in trouble.text
    assert key not in trouble.text or key == " "
