"""The harness itself, with the one client that is there without an installation."""

import pytest

from tests.clients.catalogue import BY_NAME as CLIENTS
from tests.clients.environment import DRIVERS, installed
from tests.clients.run import both
from tests.clients.scripts import BY_NAME as SCRIPTS
from tests.clients.verdict import judge


@pytest.mark.parametrize("script", ["chat", "resume", "limited", "cut", "killed"])
async def test_curl_is_served_as_promised(script: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Real processes throughout: the same as directly, all continuations deltas, or spared a fault."""
    client = CLIENTS["curl"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENLINE_CLIENTS_CACHE", str(tmp_path_factory.getbasetemp() / "clients"))
        environment = await installed(client.packages)
    verdict = judge(await both(client, "stream", SCRIPTS[script], environment))
    assert verdict.wrong == ()
    if SCRIPTS[script].counts:
        assert verdict.deltas == verdict.continuations == 4


def test_every_client_has_its_driver() -> None:
    """An entry of the catalogue without a driver would be found at its first run only."""
    for client in CLIENTS.values():
        file = client.driver if client.driver.endswith(".mjs") else f"{client.driver}.py"
        assert (DRIVERS / file).is_file(), client.name
        assert {*client.quick, *client.skim, *client.brief, *client.whole_in} <= set(client.modes), client.name
