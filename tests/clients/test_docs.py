"""docs/clients.md: it says what was measured, of clients that there are."""

from tests.clients import catalogue, docs, record


def test_the_page_is_what_the_record_says() -> None:
    """Neither the page nor the record was changed without the other."""
    text = docs.PAGE.read_text("utf-8")
    assert docs.page(text, record.read()) == text


def test_every_client_was_measured_in_full() -> None:
    """Each client of the catalogue has a record of every mode and script: none is half in."""
    found = record.read()
    assert set(found) == set(catalogue.BY_NAME)
    for name, measured in found.items():
        assert set(measured.modes) == set(catalogue.BY_NAME[name].modes), name
        for mode, went in measured.modes.items():
            assert list(went.scripts) == [script.name for script in catalogue.BY_NAME[name].scripts(mode)], (name, mode)
