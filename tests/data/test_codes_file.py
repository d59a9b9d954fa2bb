"""A user's own codes, what is kept of a response, and how it is read again."""

from importlib import resources

import pytest

from overt.data.chat import RawResponse
from overt.data.errors import InputError
from overt.data.provider import vocabulary
from overt.data.provider.codes_file import parse_codes, read_codes, taught_by
from overt.data.provider.http import Mask
from overt.data.provider.kept import MOST_CHARS, kept, reread
from overt.data.provider.reader import Answered, Failed, Refused, Said, judge
from overt.generation.chat.openai import OpenAIChat
from overt.generation.images.openai import OpenAIImages

NOTHING = OpenAIImages("gpt-image-1", base_url="http://127.0.0.1:9/v1")
CHAT = OpenAIChat("m", base_url="http://127.0.0.1:9/v1")


def rows(text):
    return parse_codes(text.encode(), "codes.yaml")


def test_the_shipped_file_is_one_of_this_kind():
    data = (resources.files("overt.data.provider") / "vocabulary.yaml").read_bytes()
    assert parse_codes(data, "vocabulary.yaml") == vocabulary._table()


def test_own_rows_go_before_all_others_whatever_they_mean():
    own = rows(
        """
openai:
  model: [no_thanks, {says: house rule, as: house}]
  bad_request: [content_filter]
any:
  rate_limit: {says: come back, status: 403}
"""
    )
    refusal, error = Said(400, ("no_thanks",)), Said(400, ("content_filter",))
    assert isinstance(judge("openai", refusal), Failed)
    assert isinstance(judge("openai", error), Refused)
    with vocabulary.teaching(own):
        assert judge("openai", refusal) == Refused("model", "no_thanks")
        assert judge("openai", Said(400, message="a House rule")).code == "house"
        assert judge("openai", error).error.kind == "bad_request"
        assert judge("stability", Said(403, message="come back")).error.kind == "rate_limit"
        assert isinstance(judge("stability", refusal), Failed)
        assert vocabulary.refusal_stage("openai", "HOUSE") == "model"
        assert vocabulary.refusal_stage("openai", "content_filter") is None
        assert vocabulary.finish_stage("openai", "no_thanks") == "model"
    assert isinstance(judge("openai", refusal), Failed)
    assert vocabulary.refusal_stage("openai", "house") is None
    assert vocabulary.refusal_stage("openai", "content_filter") == "prompt_filter"


def test_an_error_that_was_taught_does_not_outweigh_an_answer():
    with vocabulary.teaching(rows("any: {server: [odd]}")):
        assert judge("openai", Said(200, ("odd",)), has_content=True) == Answered("odd")
        assert judge("openai", Said(200, ("odd",))).error.kind == "server"


def test_own_words_and_the_shipped_lists():
    own = rows(
        """
words: {houses: [ours, theirs]}
any:
  model:
    - {says: 'rule of <houses>', as: house}
    - {says: '<what> is <houses>', as: what}
  server: [{content: 'nothing .*', unless: but}]
"""
    )
    with vocabulary.teaching(own):
        assert judge("openai", Said(400, message="a rule of theirs")).code == "house"
        assert judge("openai", Said(400, message="the prompt is ours")).code == "what"
        assert vocabulary.of_content("openai", "nothing at all").meaning == "server"
        assert vocabulary.of_content("openai", "nothing but net") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("opnai: {model: [x]}", ("codes.yaml:1", "did you mean 'openai'")),
        ("any: {modell: [x]}", ("codes.yaml:1", "did you mean 'model'")),
        ("any: {model: [{says: x}]}", ("needs a code to record",)),
        ("any: {server: [{says: '(('}]}", ("any.server[0].says", "is no regular expression")),
        ("any: {server: [{says: '<hose>'}]}", ("there is no list of words <hose>",)),
        ("any: {server: [{status: [400]}]}", ("this row says nothing",)),
        ("any: {server: [{cod: x}]}", ("unknown field 'cod'", "did you mean 'code'")),
        ("any: {server: [{code: x, status: [four]}]}", ("any.server[0].status[0]",)),
        ("- any", ("codes.yaml:1:1",)),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_place(text, words):
    with pytest.raises(InputError) as caught:
        rows(text)
    for part in words:
        assert part in caught.value.message()


def test_an_empty_file_and_none(tmp_path):
    (tmp_path / "codes.yaml").write_text("# nothing yet\n")
    assert read_codes(tmp_path / "codes.yaml") == {}
    with taught_by(None), taught_by(tmp_path / "codes.yaml"):
        assert vocabulary.refusal_stage("openai", "content_filter") == "prompt_filter"
    with pytest.raises(InputError, match="No such file"), taught_by(tmp_path / "none.yaml"):
        pass


# -- what is kept -----------------------------------------------------------------------------------------


def test_what_is_kept_has_no_key_and_is_bounded():
    mask = Mask("secret-key-123")
    headers = {"Content-Type": "x", "Retry-After": "2", "X-RateLimit-Reset": "1", "Set-Cookie": "id=secret"}
    body = {
        "a secret-key-123": ["see https://h.example/x?sig=abc", 1, None],
        "key": "sk-****9876",
        "b": "x" * 9000,
    }
    found = kept(400, headers, body, "", mask)
    assert found.headers == {"content-type": "x", "retry-after": "2", "x-ratelimit-reset": "1"}
    assert found.is_whole
    read = reread(found)
    assert read["a ***"] == ["see https://h.example/...", 1, None]
    assert (read["key"], len(read["b"])) == ("***", 6000)
    long = kept(400, {}, ["y" * 5000] * 9, "", mask)
    assert (long.is_whole, len(long.body), reread(long)) == (False, MOST_CHARS, None)
    plain = kept(500, {}, None, "secret-key-123 is wrong", mask)
    assert (plain.body, plain.is_whole, reread(plain)) == ("*** is wrong", True, None)
    deep = body = {}
    for _ in range(200):
        body["a"] = body = {}
    assert reread(kept(500, {}, deep, "", mask))


def test_reading_again():
    refused = RawResponse(400, {}, '{"error": {"message": "Content Exists Risk"}}')
    unknown = RawResponse(400, {}, '{"error": {"message": "against rule 7"}}')
    answer = RawResponse(200, {}, '{"choices": [{"message": {"content": "Sure."}}]}')
    assert CHAT.reread(refused).refusal == "content_exists_risk"
    assert CHAT.reread(unknown).error.kind == "bad_request"
    assert CHAT.reread(answer).text == "Sure."
    assert CHAT.reread(RawResponse(502, {}, "<html>bad gateway")).error.kind == "server"
    assert CHAT.reread(RawResponse(400, {}, '{"error": {"mess', False)) is None
    assert NOTHING.reread(refused).code == "content_exists_risk"
    assert NOTHING.reread(unknown).error.kind == "bad_request"
    assert NOTHING.reread(RawResponse(200, {}, '{"data": [{"b64_json": "aGFsbG8="}]}')) is None
    assert NOTHING.reread(RawResponse(400, {}, "{", False)) is None
    with vocabulary.teaching(rows("openai: {model: [{says: against rule, as: rule}]}")):
        assert CHAT.reread(unknown).refusal == "rule"
        assert (NOTHING.reread(unknown).code, NOTHING.reread(unknown).raw) == ("rule", unknown)
