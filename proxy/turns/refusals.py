"""Refusals: errors in place of the first event, and what each says of the host's lanes and of the head named."""

from collections.abc import Mapping

from proxy.core.events import Event
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.core.refusal import Refusal, refusal
from proxy.errors import Answer, TurnFault
from proxy.turns.memory import Memory
from proxy.turns.turn import Turn
from proxy.upstream.capabilities import Host
from proxy.upstream.lease import Lease


class Refusals:
    """Those of one host."""

    def __init__(self, memory: Memory, host: Host) -> None:
        self._memory = memory
        self._host = host

    def fault(self, turn: Turn, lease: Lease, event: Event) -> TurnFault:
        """Which fault it is that the first event is this error."""
        said = refusal(event.frame)
        if turn.continued and said.minds(turn.continued.response_id):
            self._memory.not_found(turn.continued, lease)
            return TurnFault(Fault.NOT_FOUND, "the upstream no longer knew the response")
        if lease.named and (said.no_lanes or self._doubts(lease, said)):
            return self._no_lane(turn, lease, said)
        self._memory.rejected(turn, lease, said.status)
        answer = Answer(said.status, said.body, json_headers(said.headers))
        return TurnFault(Fault.REJECTED, f"the upstream answered with {said.status}", answer)

    def none(self, turn: Turn, lease: Lease) -> None:
        """The first event is a response's."""
        if lease.named:
            self._host.takes_names = True
        elif turn.doubted is not None:
            self._host.did_without(turn.doubted)
            turn.doubted = None

    def _doubts(self, lease: Lease, said: Refusal) -> bool:
        """Whether the lane may be what was refused, though nothing says so: the host has not taken its name yet."""
        return not lease.lane.taken and said.may_mean_lane(known=self._host.takes_names)

    def _no_lane(self, turn: Turn, lease: Lease, said: Refusal) -> TurnFault:
        lane, ahead = lease.lane, lease.lane.ahead or 0
        if said.lanes_used_up and (ahead or lane.taken):
            self._host.refused_name(lane.lanes.taken if lane.taken else ahead)
            lease.spoil(Whole.LANES_REFUSED)
        elif said.no_lanes and (not said.lanes_used_up or (turn.moved and self._host.names == 1)):
            self._host.refused_lanes()
            lease.spoil(Whole.LANES_REFUSED)
        else:
            # The caller's own mistake, or the lane: a repetition without one tells, and till then nobody is to blame.
            turn.doubted = ahead
            if not lane.lanes.taken:
                lease.spoil(Whole.LANES_REFUSED)
        return TurnFault(Fault.NO_LANES, "the host took no stream_id")


def json_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """These, for a JSON body."""
    return {"content-type": "application/json", **headers}
