"""What can be continued."""

from proxy.simulator.memory import Memory, Remembered, Store, Stored

A, B = Remembered("a", ()), Remembered("b", ())


def test_each_lane_has_one_latest_response() -> None:
    """The next response of a lane takes the place of the one before."""
    memory = Memory()
    memory.move_on(None, A)
    memory.move_on("x", B)
    assert (memory.find("a"), memory.find("b")) == (A, B)
    memory.move_on(None, Remembered("c", ()))
    assert memory.find("a") is None
    memory.move_on("x", None)
    memory.move_on("never", None)
    assert memory.find("b") is None


def test_eviction_is_for_the_own_lane() -> None:
    """Only the lane whose latest it is can lose an id; consuming loses it everywhere."""
    memory = Memory()
    memory.move_on(None, A)
    memory.evict("a", "x")
    memory.evict("b", None)
    assert memory.find("a") == A
    memory.evict("a", None)
    assert memory.find("a") is None
    memory.move_on("x", A)
    memory.consume("a")
    assert memory.find("a") is None


def test_all_can_be_forgotten() -> None:
    """A connection and a store can lose everything."""
    memory, store = Memory(), Store(10)
    memory.move_on(None, A)
    store.add(Stored(A, {}, ()))
    memory.clear()
    store.clear()
    assert memory.find("a") is None
    assert store.find("a") is None


def test_the_store_is_bounded_and_knows_items() -> None:
    """Items are known by their ids; the oldest responses go first."""
    store = Store(2)
    for name in "abc":
        store.add(Stored(Remembered(name, ({"role": "user"}, {"id": f"msg_{name}"})), {}, ({"role": "user"},)))
    assert store.find("a") is None
    assert store.items["msg_c"] == {"id": "msg_c"}
    assert store.remove("c")
    assert not store.remove("c")


def test_reasoning_that_was_not_kept_is_known_as_such() -> None:
    """Only what was said here without being stored, and only where the item does not hold it itself."""
    store = Store(10)
    bare = {"type": "reasoning", "id": "rs_a", "summary": []}
    assert store.lacks(bare) is None
    store.pass_by([bare, {"type": "message", "id": "msg_a"}, {"type": "reasoning"}])
    assert store.lacks(bare) == "rs_a"
    assert store.lacks({**bare, "encrypted_content": "x"}) is None
    assert store.lacks({**bare, "content": [{"type": "reasoning_text", "text": "so"}]}) is None
    assert store.lacks({"type": "message", "id": "msg_a"}) is None
    assert store.lacks({"type": "reasoning"}) is None
    store.add(Stored(Remembered("a", (bare,)), {}, ()))
    assert store.lacks(bare) is None


def test_an_item_that_a_caller_sent_under_an_id_is_not_what_was_said() -> None:
    """Callers edit what they send back, ids and all; a reference means what the model said, lost or not."""
    store = Store(10)
    said, edited = {"id": "msg_a", "content": "said"}, {"id": "msg_a", "content": "edited"}
    store.add(Stored(Remembered("a", (said,)), {}, ()))
    store.add(Stored(Remembered("b", (edited, {"id": "msg_b"})), {}, (edited,)))
    store.clear()
    assert store.items == {"msg_a": said, "msg_b": {"id": "msg_b"}}
