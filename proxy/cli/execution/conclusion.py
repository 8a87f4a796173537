"""A conclusion: what `openline exec` says when its command has ended."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from proxy.cli.client import Client, NoAnswer
from proxy.cli.execution.agents import silence
from proxy.cli.execution.destination import Destination
from proxy.cli.execution.sentence import SILENT, sentence
from proxy.errors import Problem
from proxy.instance import Instance, instances
from proxy.telemetry.summary import Summary


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How the command ended, and what its calls came to. `doubt`: why that is not all of it, or not known."""

    run: str
    status: int
    summary: Summary | None
    doubt: str = ""

    def line(self, words: Sequence[str]) -> str:
        """For a person. `words` are the command's."""
        if self.summary is None:
            return f"what the calls came to is not known: {self.doubt or Problem.RUN.value[2].rstrip('.')}"
        told = sentence(self.summary, silent=silence(words) or SILENT)
        return f"{told}; {self.doubt}" if self.doubt else told

    def json(self, words: Sequence[str], where: Destination) -> str:
        """For a program. The status is a shell's."""
        told: dict[str, object] = {
            "event": "exec",
            "run": self.run,
            "status": self.status if self.status >= 0 else 128 - self.status,
            "upstream": where.host,
            "upstream_from": where.origin,
            "shared_pid": where.running.pid if where.running else None,
            "text": self.line(words),
        }
        return msgspec.json.encode({**told, **(self.summary.figures() if self.summary else {})}).decode()


def shared(running: Instance, run: str, status: int) -> Conclusion:
    """That of a run through an Openline that others use, too."""
    now = next((one for one in instances() if one.api == running.api), None)
    if now is None:
        gone = f"the Openline that they went through (pid {running.pid}) has ended"
        return Conclusion(run, status, None, gone)
    try:
        summary = Client(now).get("/summary", Summary, run=run)
    except NoAnswer as error:
        return Conclusion(run, status, None, error.format_message().rstrip("."))
    return Conclusion(run, status, summary, "" if now.pid == running.pid else "counted since Openline was restarted")
