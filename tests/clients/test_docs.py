"""docs/clients.md: it says what was measured, of clients that there are."""

import re

from tests.clients import catalogue, docs, record

_WIDEST = 140


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


def test_the_page_is_for_reading() -> None:
    """No row of the measured tables is too wide, and each links to a section that says how the client is set up."""
    measured = docs.PAGE.read_text("utf-8").partition("<!-- measured")[2].partition("<!-- end")[0]
    rows = [line for line in measured.splitlines() if line.startswith("|")]
    assert [row for row in rows if len(row) > _WIDEST] == []
    headings = re.findall("^### (.+)$", measured, re.MULTILINE)
    titles = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert re.findall(r"^\| \[.*\]\(#(.+?)\)", measured, re.MULTILINE) == titles[:-1]
    for client in catalogue.CLIENTS:
        _, _, section = measured.partition(f"### {client.title}\n")
        assert all(line.strip("()") in section.partition("\n### ")[0] for line in client.setup), client.name
