"""The vocabulary and the one reader of what a provider said; keys, addresses and waiting times of HTTP."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import overt.data.provider.vocabulary as vocabulary
from overt.data.chat import ErrorKind
from overt.data.errors import InputError
from overt.data.provider.http import Mask, check_address, key_from, status_kind
from overt.data.provider.reader import Answered, Failed, Refused, Said, judge, read_said
from overt.data.provider.vocabulary import find, finish_stage, refusal_codes, refusal_stage


def verdict(service, status, body, headers=None, **more):
    text = body if isinstance(body, str) else json.dumps(body)
    data = None if isinstance(body, str) else body
    return judge(service, read_said(status, headers or {}, data, text), **more)


def short(found):
    """A verdict as (what it is, its stage or kind, its code)."""
    if isinstance(found, Refused):
        return "refused", found.stage, found.code
    return (
        ("failed", found.error.kind, found.code)
        if isinstance(found, Failed)
        else ("answered", None, found.code)
    )


# -- error bodies: (service, status, body) -> verdict -------------------------------------------------------

BODIES = {
    "OpenAI": (
        "openai", 400, {"error": {"code": "content_policy_violation", "message": "no"}},
        ("refused", "prompt_filter", "content_policy_violation"),
    ),
    "Azure, the reason in the inner error": (
        "openai", 400, {"error": {"code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        ("refused", "prompt_filter", "ResponsibleAIPolicyViolation"),
    ),
    "Azure, a sentence": (
        "openai", 400, {"error": {"message": "It triggered Azure OpenAI's content management policy."}},
        ("refused", "prompt_filter", "content_filter"),
    ),
    "the same sentence in a fault": (
        "openai", 500, {"error": {"message": "content management policy service is down"}},
        ("failed", "server", ""),
    ),
    "the side in another field": (
        "openai", 400,
        {"error": {"code": "moderation_blocked", "moderation_details": {"moderation_stage": "input"}}},
        ("refused", "prompt_filter", "moderation_blocked:input"),
    ),
    "a side that is none": (
        "openai", 400,
        {"error": {"code": "moderation_blocked", "moderation_details": {"moderation_stage": "both"}}},
        ("refused", "image_filter", "moderation_blocked"),
    ),
    "the type alone": (
        "openai", 429, {"error": {"type": "insufficient_quota", "message": "no"}}, ("failed", "billing", ""),
    ),
    "OpenAI's quota sentence": (
        "openai", 429, {"error": {"message": "You exceeded your current quota"}}, ("failed", "billing", ""),
    ),
    "Google's quota sentence is a limit": (
        "google", 429, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "exceeded your current quota"}},
        ("failed", "rate_limit", "RESOURCE_EXHAUSTED"),
    ),
    "an error in a list": (
        "google", 400, [{"error": {"code": 400, "message": "API key not valid.", "status": "BAD"}}],
        ("failed", "auth", "BAD"),
    ),
    "a reason among details": (
        "google", 403, {"error": {"status": "X", "details": [{}, {"reason": "BILLING_DISABLED"}]}},
        ("failed", "billing", "X"),
    ),
    "a condition with a sentence": (
        "google", 400, {"error": {"status": "FAILED_PRECONDITION", "message": "enable billing"}},
        ("failed", "billing", "FAILED_PRECONDITION"),
    ),
    "the condition without it": (
        "google", 400, {"error": {"status": "FAILED_PRECONDITION", "message": "not in your country"}},
        ("failed", "auth", "FAILED_PRECONDITION"),
    ),
    "JSON inside of a string": (
        "openai", 400, {"error": {"message": '{"error": {"code": "content_filter", "message": "no"}}'}},
        ("refused", "prompt_filter", "content_filter"),
    ),
    "JSON inside of a string inside of one": (
        "openai", 400,
        {"error": {"message": json.dumps({"error": json.dumps({"error": {"code": "moderation_blocked"}})})}},
        ("refused", "image_filter", "moderation_blocked"),
    ),
    "long JSON inside of a string": (
        "openai", 400,
        {"error": {"message": json.dumps({"error": {"code": "content_filter", "message": "x" * 900}})}},
        ("refused", "prompt_filter", "content_filter"),
    ),
    "an error in a 200": (
        "openai", 200, {"error": {"code": 429, "message": "slow down"}}, ("failed", "rate_limit", ""),
    ),
    "a refusal in a 200": (
        "openai", 200, {"error": {"code": "content_filter"}}, ("refused", "prompt_filter", "content_filter"),
    ),
    "an error in a 200 whose code is no status": (
        "openai", 200, {"error": {"code": 7, "message": "?"}}, ("failed", "server", ""),
    ),
    "a sentence alone": ("openai", 400, {"error": "bad model"}, ("failed", "bad_request", "")),
    "findings in a list": (
        "fal", 422, {"detail": [{"type": "greater_than"}, {"type": "content_policy_violation"}]},
        ("refused", "prompt_filter", "content_policy_violation"),
    ),
    "findings that are none": (
        "fal", 422, {"detail": [{"type": "missing"}]}, ("failed", "bad_request", "missing"),
    ),
    "another service's word": (
        "stability", 400, {"name": "moderation_blocked"}, ("failed", "bad_request", "moderation_blocked"),
    ),
    "an unknown service speaks everybody's words": (
        "acme", 400, {"name": "content_moderation"}, ("refused", "prompt_filter", "content_moderation"),
    ),
    "a declared one nobody's": (
        "declared", 400, {"error": {"code": "content_policy_violation"}},
        ("failed", "bad_request", "content_policy_violation"),
    ),
    "too long for every service": (
        "stability", 400, {"name": "x", "errors": ["prompt: exceeds the maximum of 9 characters"]},
        ("failed", "too_long", "x"),
    ),
    "a page that forbids": ("openai", 403, "<html>Just a moment</html>", ("failed", "server", "")),
    "a page for nobody": ("openai", 401, "<html>who?</html>", ("failed", "server", "")),
    "a page for a bad key": (
        "openai", 401, "<html><h1>401 Authorization Required</h1></html>", ("failed", "auth", ""),
    ),
    "a sentence that forbids": ("openai", 403, "Forbidden", ("failed", "forbidden", "")),
    "a page": ("openai", 200, "<html>login</html>", ("failed", "server", "")),
    "an empty body": ("openai", 401, "", ("failed", "auth", "")),
    "a redirect": ("openai", 302, "", ("failed", "bad_request", "")),
    "a list of nothing": ("openai", 200, [], ("failed", "server", "")),
    "a number": ("openai", 400, 5, ("failed", "bad_request", "")),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_bodies(name):
    service, status, body, wanted = BODIES[name]
    assert short(verdict(service, status, body)) == wanted


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": " two\nlines "}}, "two lines"),
        ({"error": {"detail": "pay"}}, "pay"),
        ({"detail": [{"msg": "one"}, {"msg": "two"}]}, "one; two"),
        ({"errors": ["one", "two"]}, "one; two"),
        ({"title": "No credit", "detail": "Pay."}, "No credit: Pay."),
        ({"message": "bad size"}, "bad size"),
        ({"error": {"message": '{"detail": "inner"}'}}, "inner"),
        ({"odd": 1}, 'HTTP 400: {"odd": 1}'),
        ("", "HTTP 400: an empty body"),
        ("<html>x", "HTTP 400: a page instead of an answer: <html>x"),
        ("oops", "HTTP 400: the body is no JSON object: oops"),
        ({"error": {"message": "x" * 900}}, "x" * 500),
    ],
)
def test_the_words_of_an_error(body, words):
    assert verdict("openai", 400, body).error.message == words


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, {"retry_after": 9}, 7.0),
        ({}, {"retry_after": 9}, 9.0),
        ({}, {"error": {"details": [{"retryDelay": "34.5s"}]}}, 34.5),
        ({}, {"error": {"retry_after": "3"}}, 3.0),
        ({}, {"error": {"message": '{"retry_after": 4}'}}, 4.0),
        ({}, {"retry_after": True}, None),
        ({}, {"retry_after": -1}, None),
        ({}, {"retry_after": 86_399}, 86_399.0),
        ({}, {"retry_after": 604_800}, 604_800.0),
        ({}, {"retry_after": 604_801}, None),
        ({}, {"retry_after": "soon"}, None),
    ],
)
def test_how_long_to_wait(headers, body, seconds):
    assert verdict("replicate", 429, body, headers).error.retry_after == seconds


def test_json_inside_of_strings_is_followed_to_a_depth():
    def nested(levels):
        body = {"error": {"code": "content_filter"}}
        for _ in range(levels):
            body = {"error": {"message": json.dumps(body)}}
        return body

    for levels in range(4):
        assert short(verdict("openai", 400, nested(levels)))[0] == "refused"
    assert short(verdict("openai", 400, nested(4)))[0] == "failed"


def test_a_body_that_says_nothing_is_quoted_only_where_there_is_an_error():
    assert verdict("openai", 200, {"odd": 1}, missing="no picture").error.message == "no picture"
    assert verdict("openai", 200, {"error": {"odd": 1}}).error.message == '{"error": {"odd": 1}}'
    status = verdict("openai", 200, {"error": {"code": 400}}).error
    assert (status.status, status.kind) == (400, "bad_request")
    for code in (399, 600):
        assert verdict("openai", 200, {"error": {"code": code}}).error.status == 200
    assert verdict("openai", 404, {"error": {"code": 500}}).error.status == 404


def test_headers_are_read_like_codes():
    body = {"detail": "it failed"}
    assert short(verdict("fal", 422, body, {"x-fal-error-type": "no_media_generated"}))[0] == "refused"
    assert short(verdict("fal", 422, body, {"x-fal-retryable": "true"})) == ("failed", "server", "")
    assert short(verdict("fal", 401, body, {"x-fal-retryable": "true"})) == ("failed", "forbidden", "")


def test_content_outweighs_all_but_a_refusal():
    said = Said(200, ("MAX_TOKENS",), message="stopped")
    assert judge("google", said, has_content=True) == Answered("MAX_TOKENS")
    assert short(judge("google", said)) == ("failed", "bad_request", "MAX_TOKENS")
    assert isinstance(judge("google", Said(200, ("SAFETY",)), has_content=True), Refused)
    assert isinstance(judge("google", Said(400), has_content=True), Failed)
    assert judge("google", Said(200), missing="no picture came").error.message == "no picture came"
    assert judge("google", Said(400), missing="no picture came").error.message == "HTTP 400"
    assert judge("google", Said(399), missing="no picture came").error.message == "no picture came"
    nothing = judge("google", Said()).error
    assert (nothing.kind, nothing.message, nothing.status) == ("server", "the answer cannot be used", None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "code", "message", "detail", "type", "errors", "retry_after", "details"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(
    JSON, st.sampled_from([200, 204, 302, 400, 403, 429, 500]), st.sampled_from(["openai", "google", "acme"])
)
def test_any_body_is_one_verdict(body, status, service):
    found = judge(service, read_said(status, {}, body, json.dumps(body)))
    assert isinstance(found, Refused | Failed)  # there is no content, so it is no answer
    if isinstance(found, Failed):
        assert found.error.message
        assert found.error.kind in ErrorKind.__args__
    again = {"error": {"message": json.dumps(body)}}  # and so it is inside of a string
    assert isinstance(judge(service, read_said(status, {}, again, "")), Refused | Failed)


# -- the vocabulary -----------------------------------------------------------------------------------------


def test_each_row_can_be_met():
    """A row that another one hides, or that cannot be read, would be dead weight."""
    for service, rows in vocabulary._table().items():
        for row in rows:
            if row.says or row.content or row.code.startswith("finish:"):
                continue
            of = "refusals" if row.meaning in vocabulary.STAGES else "errors"
            code = row.code.replace("*", "x")
            found = find(service, [code], status=row.status[0] if row.status else None, of=of)
            assert (found.meaning, found.code) == (row.meaning, row.name or code), (service, row)


def test_a_new_word_is_one_line(tmp_path, monkeypatch):
    shipped = (vocabulary.resources.files("overt.data.provider") / "vocabulary.yaml").read_text("utf-8")
    line = "    - {says: against our values, as: values}\n"
    grown = shipped.replace("    - content_moderation  # HTTP 403\n", f"    - content_moderation\n{line}")
    assert grown != shipped
    (tmp_path / "vocabulary.yaml").write_text(grown)
    said = 400, {"name": "bad_request", "errors": ["This is against our values."]}
    assert short(verdict("stability", *said)) == ("failed", "bad_request", "bad_request")
    caches = (vocabulary._table, vocabulary._rows, vocabulary.refusal_stage)
    monkeypatch.setattr(vocabulary.resources, "files", lambda _: tmp_path)
    for cache in caches:
        cache.cache_clear()
    try:
        assert short(verdict("stability", *said)) == ("refused", "prompt_filter", "values")
        assert refusal_stage("stability", "VALUES") == "prompt_filter"
    finally:
        monkeypatch.undo()
        for cache in caches:
            cache.cache_clear()


@pytest.mark.parametrize(
    ("meaning", "entry"),
    [("refused", "x"), ("model", {"cod": "x"}), ("model", {"code": "x", "stage": "model"})],
)
def test_a_row_that_cannot_be_read_is_named(meaning, entry):
    with pytest.raises(ValueError, match="vocabulary"):
        vocabulary.row(meaning, entry)


def test_lookups():
    assert refusal_stage("google", " safety ") == "image_filter"
    assert refusal_stage("stability", "safety") is None
    assert refusal_stage("acme:Painter", "safety") == "image_filter"  # gateways copy codes
    assert refusal_stage("acme:Painter", "") is None
    assert refusal_stage("openai", "safety") is None
    assert refusal_stage("openai", "safety", 400) == "prompt_filter"
    assert refusal_stage("replicate", "e005") == "model"  # named by a row for a sentence
    assert refusal_stage("any", "content_filter") is None
    assert finish_stage("openai", "content_filter") == "prompt_filter"
    assert finish_stage("google", "content_filter") == "model"
    assert finish_stage("google", "STOP") is None
    assert finish_stage("google", "") is None
    assert "safety" not in refusal_codes("openai")  # it hangs on the status
    assert "e005" in refusal_codes("replicate")


def test_refusals_before_errors_and_codes_before_sentences():
    found = find("openai", ["insufficient_quota"], "rejected by our safety system", 400, of="refusals")
    assert (found.meaning, found.code) == ("prompt_filter", "safety_system")
    found = find("openai", ["x", "moderation_blocked"], "content management policy", 400, of="refusals")
    assert (found.meaning, found.code) == ("image_filter", "moderation_blocked")
    assert find("openai", ["invalid_api_key"], of="refusals") is None
    assert find("openai", ["invalid_api_key"], of="errors").meaning == "auth"
    assert find("openai", ["my_billing_thing"], of="errors").meaning == "billing"
    assert find("openai", [" ", ""], of="errors") is None


def test_the_file_is_plain_yaml():
    data = yaml.safe_load(
        (vocabulary.resources.files("overt.data.provider") / "vocabulary.yaml").read_text("utf-8")
    )
    assert set(data) >= {"openai", "google", "bfl", "fal", "stability", "replicate", "declared", "any"}


# -- HTTP ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, "bad_request"), (304, "server"), (308, "bad_request"), (400, "bad_request"), (401, "auth"),
        (402, "billing"), (403, "forbidden"), (404, "bad_request"), (408, "server"), (409, "server"),
        (413, "too_long"), (422, "bad_request"), (425, "server"), (429, "rate_limit"), (499, "bad_request"),
        (500, "server"), (503, "server"), (599, "server"),
    ],
)  # fmt: skip
def test_statuses(status, kind):
    assert status_kind(status) == kind


def test_a_key(monkeypatch):
    monkeypatch.setenv("SOME_KEY", " k3y\n")
    assert key_from("SOME_KEY", "x/y", "https://api.example.com") == "k3y"
    for blank in ("", "  "):
        monkeypatch.setenv("SOME_KEY", blank)
        with pytest.raises(InputError, match="SOME_KEY is not set") as caught:
            key_from("SOME_KEY", "x/y?threshold=2", None)
        said = caught.value.message()
        for part in ("export SOME_KEY=", "x/y?api_key_env=NAME", "x/y?base_url=http://localhost"):
            assert part in said
        assert "threshold" not in said
        assert key_from("SOME_KEY", "x/y", "http://localhost:8000/v1") == ""


@pytest.mark.parametrize("url", ["", "api.example.com", "ftp://x", "http://", "http://[bad", "file:///etc"])
def test_what_is_no_address(url):
    with pytest.raises(InputError, match="no http"):
        check_address("x/y", url)
    check_address("x/y", "https://api.example.com/v1?api-version=2")


def test_what_nobody_may_see():
    mask = Mask("key-one-0123:secret-two", "abc", "abcd")
    assert (
        mask.text("key-one-0123:secret-two, key-one-0123, secret-two, abcd, abc") == "***, ***, ***, ***, abc"
    )
    assert mask.json({"a": ["abcd", 1, None], "b": {"c": "x abcd"}}) == {
        "a": ["***", 1, None],
        "b": {"c": "x ***"},
    }
    said = "bad key sk-*****9876 at https://api.example.com/v1?k=abcd,\n see \ud83d"
    assert mask.words(said) == "bad key *** at https://api.example.com/... see ?"
    assert mask.words("x" * 900) == "x" * 500
    assert Mask("longer-secret", "secret").text("longer-secret") == "***"
    assert Mask("").text("") == ""
