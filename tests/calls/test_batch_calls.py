"""The parts of a call by batch: what it costs, how services name things, and its rows in the journal."""

import asyncio
import json
import sqlite3

import pytest
from support.batch_server import batch_server

from overt.calls.batch_costs import estimated_cost, share_of
from overt.calls.costs import Price, PriceList
from overt.data.batch import Batched, Line, innermost
from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.provider.http import Mask
from overt.data.run.batch_rows import BatchRow
from overt.data.run.journal import Journal
from overt.generation.batches import google, openai
from overt.generation.batches.openai import OpenAIBatches
from overt.generation.chat.openai import OpenAIChat
from overt.generation.images.google import GoogleImages
from overt.generation.products import ChatTarget, Guarded
from overt.generation.transport import Reply

# -- what it costs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "share"),
    [
        ("api.openai.com", 0.5),
        ("shop.openai.azure.com", 0.5),
        ("generativelanguage.googleapis.com", 0.5),
        ("api.groq.com", 0.5),
        ("api.openai.com.evil.example", 1.0),
        ("notapi.openai.com", 1.0),
        ("127.0.0.1", 1.0),
        ("", 1.0),
    ],
)
def test_the_share_is_the_providers(host, share):
    assert share_of(None, host) == share
    assert share_of(Price(input=1, output=1), host) == share
    assert share_of(Price(input=1, output=1, batch=0.25), host) == 0.25


def test_a_price_file_may_say_it(tmp_path):
    file = tmp_path / "prices.yaml"
    file.write_text("m: {input: 1, output: 2, batch: 0.4}\n")
    assert PriceList.load(file).of("openai/m").batch == 0.4
    for wrong in ("m: {batch: 0.4}", "m: {input: 1, output: 2, batch: 1.5}"):
        file.write_text(wrong)
        with pytest.raises(InputError):
            PriceList.load(file)


def test_a_request_is_reckoned_at_its_longest_answer():
    price = Price(input=100_000, output=900_000, image=3)
    text = "a" * 4000  # a thousand tokens
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 7}
    cost = estimated_cost(price, json.dumps(body).encode())
    assert 100 + 6.3 + 3 <= cost <= 100 + 6.3 + 3 + 0.5  # the role counts as well
    picture = {"url": f"data:image/png;base64,{'A' * 100_000}"}
    body["messages"].append({"role": "user", "content": [{"image_url": picture}]})
    assert 100 <= estimated_cost(price, json.dumps(body).encode()) - cost <= 101
    assert estimated_cost(None, b"{}") == 0
    assert estimated_cost(Price(image=0.04), b'{"prompt": "x"}') == pytest.approx(0.04)


# -- what services say --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "path", "url", "model"),
    [
        ("https://h.example/v1", "/v1/chat/completions", "https://h.example/v1/batches", "m"),
        ("https://r.openai.azure.com/openai/v1/", "/v1/chat/completions",
         "https://r.openai.azure.com/openai/v1/batches", "m"),
        ("https://r.openai.azure.com/openai/deployments/dep-1?api-version=2024-10-21", "/chat/completions",
         "https://r.openai.azure.com/openai/batches?api-version=2024-10-21", "dep-1"),
    ],
)  # fmt: skip
def test_where_an_endpoint_has_its_batches(base, path, url, model):
    service = OpenAIBatches("/chat/completions", key="k" * 20, base_url=base, mask=Mask())
    assert service._url("/batches") == url
    line = json.loads(service._line(Line("id-1", b'{"model":"m","messages":[{"content":"\\"model\\":1"}]}')))
    assert line == {
        "custom_id": "id-1",
        "method": "POST",
        "url": path,
        "body": {"model": model, "messages": [{"content": '"model":1'}]},
    }


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            {"custom_id": "a", "response": {"status_code": 200, "body": {"x": 1}}, "error": None},
            (200, {"x": 1}),
        ),
        (
            {"custom_id": "a", "response": {"status_code": 400, "body": {"error": {"code": "c"}}}},
            (400, {"error": {"code": "c"}}),
        ),
        # vLLM's run_batch writes so
        (
            {"custom_id": "a", "response": {"status_code": 400, "body": None}, "error": {"message": "w"}},
            (400, {"error": {"message": "w"}}),
        ),
        ({"custom_id": "a", "response": None, "error": {"code": "batch_expired", "message": "w"}}, "timeout"),
        ({"custom_id": "a", "response": None, "error": {"code": "odd", "message": "w"}}, "server"),
        ({"custom_id": "a", "response": {"status_code": 200}}, "server"),
        ({"custom_id": "a"}, "server"),
        ({"custom_id": "a", "response": None, "error": {"code": "batch_cancelled"}}, None),
        ({"response": {"status_code": 200, "body": {}}}, None),
        ({"custom_id": 7, "response": []}, None),
    ],
)
def test_a_line_of_openais_results(line, found):
    got = openai._result(line)
    if isinstance(found, tuple):
        assert (got[1].status, got[1].data) == found
    elif found is not None:
        assert got[1].kind == found
    else:
        assert got is None


@pytest.mark.parametrize(
    ("status", "more", "state", "full"),
    [
        ("validating", {}, "open", False),
        ("finalizing", {}, "open", False),
        ("cancelling", {}, "open", False),
        ("a new word", {}, "open", False),
        ("COMPLETED", {}, "ended", False),
        ("expired", {}, "expired", False),
        ("cancelled", {}, "cancelled", False),
        ("failed", {"errors": {"data": [{"code": "invalid_json_line", "line": 3}]}}, "failed", False),
        ("failed", {"errors": {"data": [{"code": "token_limit_exceeded", "message": "m"}]}}, "failed", True),
        ("failed", {"errors": {"data": [{"message": "Enqueued token limit reached for m"}]}}, "failed", True),
        ("failed", {"errors": None}, "failed", False),
    ],
)
def test_states_of_openai(status, more, state, full):
    got = openai._state({"id": "batch_1", "status": status, **more})
    assert (got.state, got.is_full) == (state, full)


@pytest.mark.parametrize(
    ("batch", "state"),
    [
        ({"metadata": {"state": "BATCH_STATE_PENDING"}}, "open"),
        ({"metadata": {"state": "JOB_STATE_RUNNING"}}, "open"),
        ({"metadata": {"state": "BATCH_STATE_SUCCEEDED"}}, "ended"),
        ({"metadata": {"state": "BATCH_STATE_EXPIRED"}}, "expired"),
        ({"done": True, "error": {"code": 1, "message": "cancelled"}}, "cancelled"),
        ({"done": True, "error": {"code": 13, "message": "broken"}}, "failed"),
    ],
)
def test_states_of_gemini(batch, state):
    assert google._state({"name": "batches/1", **batch}).state == state


@pytest.mark.parametrize(("code", "status"), [(3, 400), (8, 429), (13, 500), (7, 403), (429, 429), (99, 500)])
def test_a_status_of_grpc_is_read_as_the_live_one(code, status):
    _, got = google._result({"key": "a", "error": {"code": code, "message": "w"}})
    assert got.status == status
    assert got.data["error"]["code"] == status
    assert google._result({"key": "a", "error": {"code": 1, "message": "cancelled"}}) is None


def test_the_numbers_that_gemini_writes_as_texts():
    stats = {"requestCount": "12", "successfulRequestCount": "7", "failedRequestCount": "1"}
    created = "2026-01-02T03:04:05.123456789Z"
    meta = {"state": "BATCH_STATE_RUNNING", "batchStats": stats, "createTime": created}
    got = google._state({"name": "batches/1", "metadata": meta})
    assert (got.total, got.done, got.failed) == (12, 7, 1)
    assert got.created is None or got.created == pytest.approx(1767323045.12, abs=0.1)


def test_a_file_of_requests_is_sent_to_the_site_alone(monkeypatch):
    """The address for the file comes from the service; another site gets neither prompts nor key."""
    monkeypatch.setenv("GEMINI_API_KEY", "k" * 30)
    with batch_server() as server:
        model = GoogleImages("gemini-2.5-flash-image", base_url=f"{server.url}/v1beta")
        service = model.batches()

        async def upload():
            lines = [Line(f"l{n}", b'{"contents": []}') for n in range(30)]
            server.url = "http://evil.example"
            found = await service.upload(lines, "label")
            await service.close()
            return found

        found = asyncio.run(upload())
    assert isinstance(found, CallError)
    assert "same site" in found.message


def test_who_can_be_asked_by_batch(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k" * 30)
    monkeypatch.setenv("GEMINI_API_KEY", "k" * 30)
    chat = OpenAIChat("m")
    assert innermost(Guarded("g", ChatTarget(chat))) is chat
    assert isinstance(chat, Batched)
    assert GoogleImages("imagen-4.0-generate-001").batches() is None
    assert not isinstance(innermost(Guarded("g", None)), Batched)


def test_the_key_is_masked_in_what_a_batch_api_says(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key-of-a-batch-0123456789")
    with batch_server() as server:
        service = OpenAIChat("m", base_url=f"{server.url}/v1").batches()
        got = service._exchanges.error(
            Reply(
                401, {}, b'{"error": {"message": "Incorrect API key: sk-secret-key-of-a-batch-0123456789"}}'
            )
        )
    assert "secret" not in got.message
    assert got.kind == "auth"


# -- the journal --------------------------------------------------------------------------------------


def test_open_batches_are_kept_and_closed_ones_are_not(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    assert journal.open_batches() == []
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batches'").fetchone()
    rows = [
        BatchRow("l1", "openai/m", "p", "new", ("a",), created=1.0),
        BatchRow("l2", "openai/m", "p", "begun", ("b",), file="f", created=3.0),
        BatchRow("l3", "openai/m", "p", "sent", ("c", "d"), "batch_1", "f", 0.5, 2.0),
        BatchRow("l4", "openai/m", "p", "closed", ("e",), created=4.0),
    ]
    for row in rows:
        journal.put_batch(row)
    assert journal.open_batches() == [rows[2], rows[1]]
    db.execute("UPDATE batches SET lines = 'no json' WHERE label = 'l2'")
    db.commit()
    assert journal.open_batches() == [rows[2]]
    db.close()
    journal.close()
