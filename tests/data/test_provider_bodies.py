"""What services really send where they say no, fail or half fail, each with where it was seen in public.

Every refusal has siblings that look alike and are errors, and the other way round.
"""

import json

import pytest

from overt.data.provider.completion import read_completion
from overt.data.provider.machine import machine_says
from overt.data.provider.reader import Answered, Failed, Refused, judge, read_said

GUIDELINES = "Content violates usage guidelines. Team: 1f, API key ID: 2e, Model: grok-4, Failed check: "
SENSITIVE = (
    "系统检测到输入或生成内容可能包含不安全或敏感内容，请您避免输入易产生敏感内容的提示语，感谢您的配合。"
)
AZURE = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please "
    "modify your prompt and retry."
)
QUOTA = "You exceeded your current quota, please check your plan and billing details."
PER_MINUTE = [
    {
        "error": {
            "code": 429,
            "message": f"{QUOTA} * Quota exceeded for metric: x/free_tier_requests, limit: 15",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                    "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}],
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"},
            ],
        }
    }
]


def verdict(status, body, headers=None, service="openai"):
    text = body if isinstance(body, str) else json.dumps(body)
    return judge(service, read_said(status, headers or {}, None if isinstance(body, str) else body, text))


def error(message, **more):
    return {"error": {"message": message, **more}}


# -- refusals -----------------------------------------------------------------------------------------------

REFUSED = {
    # docs.x.ai; UKGovernmentBEIS/inspect_ai#2267; theopenco/llmgateway#1785; Wei-Shaw/sub2api#5359
    "xAI": (403, {"code": "permission-denied", "error": f"{GUIDELINES}SAFETY_CHECK_TYPE_BIO"}),
    "xAI, the bare sentence": (
        403,
        {"code": "permission-denied", "error": "Content violates usage guidelines. "},
    ),
    "xAI, the other sentence of its code": (
        403,
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Content violates safety guidelines. Failed check: SAFETY_CHECK_TYPE_CSAM",
        },
    ),
    # openrouter.ai/docs/errors
    "OpenRouter": (
        403,
        error(
            'vendor/m requires moderation on OpenRouter. Your input was flagged for "violence". No credits '
            "were charged.",
            code=403,
            metadata={
                "reasons": ["violence"],
                "flagged_input": "a ...",
                "provider_name": "OpenAI",
                "model_slug": "vendor/m",
            },
        ),
    ),
    "OpenRouter, in the issue's words": (
        403,
        error(
            "Your chosen model requires moderation and your input was flagged",
            code=403,
            metadata={"reasons": ["S1"]},
        ),
    ),
    "OpenRouter, the host's body inside": (
        400,
        error(
            "Provider returned error",
            code=400,
            metadata={"provider_name": "Azure", "raw": json.dumps(error(AZURE, code="content_filter"))},
        ),
    ),
    "OpenRouter, cut off inside": (
        400,
        error(
            "Provider returned error",
            code=400,
            metadata={
                "raw": '{"error":{"type":"invalid_request_error","code":"content_policy_violation","mes'
            },
        ),
    ),
    # deepseek-ai/DeepSeek-V2#30, 666ghj/BettaFish#108; the docs' "detail" form
    "DeepSeek": (
        400,
        error("Content Exists Risk", type="invalid_request_error", code="invalid_request_error"),
    ),
    "DeepSeek, flat": (400, {"message": "Content Exists Risk", "code": "INVALID_REQUEST"}),
    "DeepSeek, detail": (400, {"detail": "Content Exists Risk"}),
    "DeepSeek, no JSON": (400, "Content Exists Risk"),
    "DeepSeek behind a gateway": (
        500,
        error(
            "Error code: 400 - {'error': {'message': 'Content Exists Risk', 'param': None}}",
            type="upstream_error",
            code="400",
        ),
    ),
    # camel-ai/owl#432, QwenLM/qwen-code#2905, QwenLM/Qwen#938
    "Alibaba": (
        400,
        error(
            "Input data may contain inappropriate content.",
            code="data_inspection_failed",
            type="data_inspection_failed",
        ),
    ),
    "Alibaba, native": (
        400,
        {"code": "DataInspectionFailed", "message": "Output data may contain x", "request_id": "1"},
    ),
    "Alibaba, the code in the sentence": (
        400,
        error(
            "<400> InternalError.Algo.DataInspectionFailed: Input text data may contain inappropriate "
            "content.",
            type="invalid_request_error",
            code="invalid_parameter_error",
        ),
    ),
    "Alibaba, rights of others": (
        400,
        {"code": "IPInfringementSuspect", "message": "Input data is suspected of x"},
    ),
    # MoonshotAI/kimi-cli#1002, platform.kimi.com/docs/api/errors
    "Moonshot": (
        400,
        error(
            "The request was rejected because it was considered high risk",
            code=400,
            param="prompt",
            type="content_filter",
        ),
    ),
    "Moonshot, the type lost on the way": (
        400,
        error("The request was rejected because it was considered high risk"),
    ),
    # langchain4j/langchain4j#1079
    "Zhipu": (400, error(SENSITIVE, code="1301")),
    "Zhipu, the code alone": (400, error("no", code="1301")),
    "Zhipu, the sentence alone": (400, {"message": SENSITIVE}),
    # MiniMax-AI/MiniMax-M3#11
    "MiniMax": (
        200,
        {"choices": None, "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}},
    ),
    "MiniMax, output": (200, {"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}),
    "MiniMax, as a 500": (
        500,
        error("input new_sensitive, messages[1]'s content[1] image is sensitive (1026)"),
    ),
    "MiniMax, a flag": (200, {"choices": [], "input_sensitive": True, "input_sensitive_type": 5}),
    # cloud.baidu.com: need_clear_history, ban_round
    "Baidu": (200, {"id": "as-1", "result": "", "need_clear_history": True, "ban_round": 0}),
    # volcengine.com/docs/82379/1099476
    "Volcengine": (
        400,
        error(
            "The request failed because the input text may contain sensitive information.",
            code="InputTextSensitiveContentDetected",
            type="BadRequest",
        ),
    ),
    "Volcengine, risk": (400, error("x", code="OutputTextRiskDetection", type="BadRequest")),
    "Tencent": (400, error("x", code="OperationDenied.TextIllegalDetected")),
    "StepFun": (
        451,
        error("The content you provided or machine outputted is blocked.", type="censorship_blocked"),
    ),
    # openai: community, microsoft/PyRIT#1463
    "OpenAI, biology": (
        400,
        error(
            "Invalid prompt: we've limited access to this content for safety reasons.", code="invalid_prompt"
        ),
    ),
    "OpenAI, flagged": (
        400,
        error(
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
            code="invalid_prompt",
        ),
    ),
    "OpenAI, cyber": (400, error("This request has been flagged for x", code="cyber_policy")),
    "OpenAI, an image in the prompt": (400, error("x", code="image_content_policy_violation")),
    "OpenAI, safety system": (
        400,
        error(
            "Your request was rejected as a result of our safety system. Your prompt may contain text that "
            "is not allowed by our safety system.",
            type="invalid_request_error",
            code=None,
        ),
    ),
    "Azure": (400, error(AZURE, code="content_filter", status=400)),
    "Azure, the code as the status": (400, error(AZURE, code="400", type=None)),
    "Microsoft": (400, error(AZURE.replace("Azure OpenAI", "Microsoft"), code="400")),
    # litellm
    "litellm": (
        400,
        error(
            "litellm.BadRequestError: litellm.ContentPolicyViolationError: ContentPolicyViolationError: "
            "AzureException - The response was filtered",
            type=None,
            code="400",
        ),
    ),
    "litellm, a printed body": (
        400,
        error(
            "litellm.BadRequestError: OpenAIException - Error code: 400 - {'error': {'message': 'no', "
            "'type': 'x', 'param': None, 'code': 'content_filter'}}",
            code="400",
        ),
    ),
    # BerriAI/litellm#13321: an object where a sentence should be
    "litellm, a guardrail": (
        400,
        {
            "error": {
                "message": {
                    "error": "Violated guardrail policy",
                    "bedrock_guardrail_response": {"action": "GUARDRAIL_INTERVENED"},
                },
                "type": "None",
                "param": "None",
                "code": "400",
            }
        },
    ),
    "litellm, moderation": (
        400,
        error("{'error': 'Violated OpenAI moderation policy', 'moderation_result': {}}"),
    ),
    # Portkey-AI/gateway; apim.docs.wso2.com
    "Portkey": (
        446,
        error(
            "The guardrail checks defined in the config failed. You can find more information in the "
            "`hook_results` object.",
            type="hooks_failed",
        ),
    ),
    "WSO2": (
        446,
        {
            "code": "900514",
            "type": "REGEX_GUARDRAIL",
            "message": {"action": "GUARDRAIL_INTERVENED", "actionReason": "Violation of x detected."},
        },
    ),
    # developers.cloudflare.com/ai-gateway
    "Cloudflare": (
        424,
        {
            "success": False,
            "error": [{"code": 2016, "message": "Prompt blocked due to security configurations"}],
        },
    ),
    "Cloudflare, response": (
        400,
        {"errors": [{"code": 2017, "message": "Response blocked due to security configurations"}]},
    ),
    "Databricks": (400, error("Request blocked by input guardrail 'safety'")),
    # Anthropic: stanford-crfm/helm
    "Anthropic": (
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "Output blocked by content filtering policy",
            },
        },
    ),
    # docs.aws.amazon.com: Titan and Nova
    "Bedrock": (
        400,
        {
            "message": "This request has been blocked by our content filters. Our filters flagged "
            "this prompt because it may conflict our AUP or AWS Responsible AI Policy."
        },
    ),
    # stanford-crfm/helm: palmyra
    "Writer": (400, {"tpe": "x", "errors": [{"key": "fail.content.moderation.failed", "description": "x"}]}),
    # Gemini, Vertex and Imagen behind OpenAI's protocol
    "Gemini, no choices": (200, {"choices": [], "prompt_feedback": {"block_reason": "PROHIBITED_CONTENT"}}),
    "Gemini, its own body": (200, {"promptFeedback": {"blockReason": "SAFETY"}}),
    "Azure, filtered prompt": (
        200,
        {"choices": [], "prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": True}}}]},
    ),
    "Imagen": (
        400,
        error(
            "Image generation failed with the following error: The response is blocked, as it may violate "
            "our policies. If you believe this is an error, please send feedback to your account team. "
            "Error Code: 58061214",
            code=400,
            status="INVALID_ARGUMENT",
        ),
    ),
    "Imagen, an unknown number": (
        400,
        error("The prompt could not be drawn. Support codes: 12345678", code=400),
    ),
    "Imagen, no number": (400, error("Image generation failed: the response is blocked.", code=400)),
    # pictures elsewhere
    "xAI, a picture": (200, {"data": [{"url": "", "respect_moderation": False, "revised_prompt": ""}]}),
    "xAI, a picture by base64": (200, {"data": [{"b64_json": "", "respect_moderation": False}]}),
    "Ideogram": (200, {"data": [{"url": None, "is_image_safe": False}]}),
    "Ideogram, at once": (422, {"error": "Prompt failed safety check"}),
    "Luma": (
        400,
        {"state": "failed", "failure_reason": "400: prompt not allowed because advanced moderation failed"},
    ),
    "Leonardo": (400, {"error": "content moderated"}),
    "Recraft": (400, {"code": "bad_request", "message": "The prompt contains inappropriate content"}),
    "Together": (
        422,
        error(
            "The image generation request was rejected because it contains NSFW content",
            type="invalid_request_error",
        ),
    ),
    "Firefly": (422, {"error_code": "prompt_unsafe", "message": "x"}),
    "xAI, a sentence": (
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "Generated image rejected by content moderation.",
        },
    ),
    "a flag": (200, {"images": [], "nsfw_content_detected": [True]}),
    "another flag": (200, {"data": [{"url": "", "flagged": True}]}),
    "OpenRouter, reasons alone": (
        403,
        error("Forbidden", code=403, metadata={"reasons": ["S1"], "model_slug": "vendor/m"}),
    ),
    "iFlytek": (400, error("x", code="10013")),
    "MiniMax, beside an empty answer": (
        200,
        {
            "choices": [{"message": {"content": ""}, "finish_reason": "stop"}],
            "base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"},
        },
    ),
    # siblings that nobody named
    "a stranger's code": (
        400,
        {"code": 1, "msg": "Your request was blocked by our content moderation system"},
    ),
    "a stranger's guidelines": (422, {"detail": "This prompt goes against our community guidelines"}),
    "a stranger's policy": (403, {"message": "The prompt violates our acceptable use policy."}),
    "a stranger's flag": (403, error("Prompt flagged by safety classifier", code=403)),
    "a stranger's words": (400, {"error": "Banned prompt detected"}),
    "a stranger's denial": (403, {"error": {"reason": "Input denied: potentially unsafe content"}}),
    "in a 200": (200, error("Content violates usage guidelines")),
    "in Chinese": (400, {"code": 5, "message": "输入内容包含敏感词，请修改后重试"}),
    "a wrapped wrapper": (
        502,
        error(json.dumps(error(json.dumps(error("x", code="data_inspection_failed")), code="400"))),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    found = verdict(*REFUSED[name])
    assert isinstance(found, Refused), found
    assert found.code


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_one_for_every_service_that_draws_and_for_the_chat(name):
    status, body = REFUSED[name]
    reply = read_completion(
        None if isinstance(body, str) else body, status, {}, body if isinstance(body, str) else ""
    )
    assert reply.error is None, reply
    assert reply.refusal
    assert not reply.text


@pytest.mark.parametrize(
    ("body", "stage"),
    [
        (error("Output blocked by content filtering policy"), "image_filter"),
        (error("The generated image was flagged by our safety filter"), "image_filter"),
        (
            {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."},
            "image_filter",
        ),
        (error("x Error Code: 58061214"), "prompt_filter"),
        (error("x Support codes: 43188360"), "image_filter"),
        (error("Your prompt was flagged by our safety filter"), "prompt_filter"),
    ],
)
def test_the_side_that_refused(body, stage):
    assert verdict(400, body).stage == stage


# -- errors -------------------------------------------------------------------------------------------------

FAILED = {
    "the moderation endpoint is away": (400, error("moderation endpoint unavailable"), "bad_request"),
    "the moderation timed out": (400, error("The moderation service timed out"), "bad_request"),
    "the check failed to run": (
        400,
        error("Content safety check failed to run: model not loaded"),
        "bad_request",
    ),
    "the guardrail failed to run": (
        400,
        error("Output guardrail 'x' failed to evaluate: HTTP 503"),
        "bad_request",
    ),
    "the moderation is overloaded": (503, error("content moderation is overloaded"), "server"),
    "a flagged account": (403, error("Your account was flagged for unusual activity"), "auth"),
    "a suspended account": (
        403,
        error("Your account has been suspended for violating our usage policies"),
        "auth",
    ),
    "an organization": (
        400,
        error("Your organization has been disabled because it violated our usage policy"),
        "bad_request",
    ),
    "a parameter": (400, error("safety_identifier is not a valid parameter"), "bad_request"),
    "another parameter": (400, error("Invalid safety_settings: category x is unknown"), "bad_request"),
    "a third": (400, error("Unrecognized request argument supplied: moderation"), "bad_request"),
    "a fourth": (
        400,
        error("Unsupported parameter: 'guardrails' is not supported with this model"),
        "bad_request",
    ),
    "a fifth": (
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "safety_checker"],
                    "msg": "Extra inputs are not permitted",
                }
            ]
        },
        "bad_request",
    ),
    "a content type": (400, error("content type application/x is not supported"), "bad_request"),
    "a blocked content type": (400, error("Forbidden content type: text/html"), "bad_request"),
    "content of a role": (400, error("messages[0].content is not allowed to be empty"), "bad_request"),
    "illegal characters": (400, error("The request contains illegal characters in a header"), "bad_request"),
    "a sensitive header": (400, error("The request contains sensitive headers"), "bad_request"),
    "a schema": (400, error("Invalid prompt: expected an object", code="invalid_prompt"), "bad_request"),
    "a model called so": (
        404,
        error("The model 'nsfw-painter' does not exist", code="model_not_found"),
        "bad_request",
    ),
    "a model called safety": (404, error("model llama-guard-safety not found"), "bad_request"),
    "terms of a provider": (
        # Davidvandijcke/coarse#183: a setting of the account
        403,
        error(
            "The request is prohibited due to a violation of provider Terms Of Service.",
            code=403,
            metadata={"provider_name": None},
        ),
        "forbidden",
    ),
    "no host for a data policy": (404, error("No endpoints found matching your data policy"), "bad_request"),
    "a country": (
        403,
        error("Country, region, or territory not supported", code="unsupported_country_region_territory"),
        "forbidden",
    ),
    "a legal reason": (451, error("This model is not available in your country"), "bad_request"),
    "a firewall": (
        403,
        "<!DOCTYPE html><title>Attention Required!</title>Sorry, you have been blocked",
        "server",
    ),
    "a firewall's policy": (
        400,
        "<html>Your request was blocked by the content filter of Corp.</html>",
        "bad_request",
    ),
    "a page at 403": (403, "<html><h1>403 Forbidden</h1></html>", "server"),
    "nothing at 403": (403, "", "forbidden"),
    "a word at 403": (403, {"error": {"type": "forbidden", "message": "Request not allowed"}}, "forbidden"),
    "permission-denied without a reason": (403, {"code": "permission-denied", "error": "No."}, "forbidden"),
    # Wei-Shaw/sub2api#5359: the same code for the account
    "permission-denied of the account": (
        403,
        {"code": "permission-denied", "error": "Access to the chat endpoint is denied"},
        "auth",
    ),
    "a wrong key": (403, {"error": "Invalid API key provided"}, "auth"),
    "a wrong token": (403, error("Token has expired"), "auth"),
    "no permission": (403, error("You do not have permission to use this model"), "auth"),
    "a missing scope": (403, error("Missing scopes: model.request"), "auth"),
    "an unverified organization": (403, error("Your organization must be verified to use the model"), "auth"),
    "unauthorized": (401, {"message": "Unauthorized"}, "auth"),
    "401 without words": (401, "", "auth"),
    "Anthropic's key": (
        401,
        {"type": "error", "error": {"type": "authentication_error", "message": "x"}},
        "auth",
    ),
    "MiniMax's key": (200, {"base_resp": {"status_code": 2049, "status_msg": "invalid api key"}}, "auth"),
    "MiniMax's limit": (200, {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "rate_limit"),
    "MiniMax's balance": (
        200,
        {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        "billing",
    ),
    "a safe rating that blocked nothing": (
        200,
        {"choices": [], "promptFeedback": {"safetyRatings": [{"category": "X", "blocked": False}]}},
        "server",
    ),
    "nothing filtered": (
        200,
        {"choices": [], "prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": False}}}]},
        "server",
    ),
    "a picture that is safe": (200, {"data": [{"url": "", "is_image_safe": True}]}, "server"),
    "no picture and no reason": (200, {"data": []}, "server"),
    "an unknown 400": (400, error("Something about the frobnicator"), "bad_request"),
    "an unknown 422": (422, {"detail": "no such sampler"}, "bad_request"),
    # quota
    "no quota left": (429, error(QUOTA, type="insufficient_quota", code="insufficient_quota"), "billing"),
    "no quota left, the sentence alone": (429, error(QUOTA), "billing"),
    "no balance": (402, error("Insufficient Balance"), "billing"),
    "Anthropic's balance": (400, error("Your credit balance is too low to access the API."), "billing"),
    "Moonshot's balance": (
        429,
        error(
            "Your account x is suspended, please check your plan and billing details",
            type="exceeded_current_quota_error",
        ),
        "billing",
    ),
    "one-api's balance": (
        403,
        error("用户额度不足", code="insufficient_user_quota", type="new_api_error"),
        "billing",
    ),
    "Gemini's quota per minute": (429, PER_MINUTE, "rate_limit"),
    "Alibaba's quota per minute": (
        429,
        error("Allocated quota exceeded, please increase your quota limit.", code="insufficient_quota"),
        "rate_limit",
    ),
    "OpenRouter's free requests a day": (
        429,
        error(
            "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests per day",
            code=429,
        ),
        "rate_limit",
    ),
    "Bedrock": (400, {"__type": "ThrottlingException", "message": "Too many requests"}, "rate_limit"),
    "a 429 inside of a 500": (500, error("slow down", code=429), "rate_limit"),
    "a limit that reads like a filter": (
        429,
        error("Request blocked by content policy rate limit, retry in 3 seconds"),
        "rate_limit",
    ),
}


@pytest.mark.parametrize("name", FAILED)
def test_failed(name):
    status, body, kind = FAILED[name]
    found = verdict(status, body)
    assert isinstance(found, Failed), found
    assert found.error.kind == kind


# -- sentences that nobody has seen yet ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("This request has been blocked for safety reasons")),
        (400, error("Request rejected: content moderation")),
        (403, error("Forbidden: content policy")),
        (400, error("Your prompt has been blocked by Azure's content safety system")),
        (400, error("The prompt was refused by the content filter")),
        (400, error("Safety violation detected in input")),
        (400, error("Policy violation: violence")),
        (400, error("Prompt blocked")),
        (400, error("Your request couldn't be completed because it may violate our policies")),
        (400, error("Input validation failed: the prompt contains disallowed content")),
        (
            400,
            error(
                "Sorry, this prompt violates our content policy. Please try again later with another prompt."
            ),
        ),
        (400, error("NSFW content detected")),
        (400, error("Image was flagged as NSFW")),
        (400, error("We cannot process this request as it may contain sensitive content")),
        (403, {"code": "permission-denied", "error": "Prompt rejected by safety moderation"}),
        (403, {"message": "content_policy_violation"}),
        (403, {"detail": {"code": "moderation", "message": "The input was flagged by moderation."}}),
        (422, {"detail": "The content was flagged by a content checker."}),
        (400, error('{"error":{"message":"Content Exists Risk"}}', code="400")),
        (400, error("user sensitive words detected", code="sensitive_words_detected")),
        (
            500,
            error(
                "user sensitive words detected (request id: 1)",
                code="sensitive_words_detected",
                type="new_api_error",
            ),
        ),
        (
            400,
            error(
                "openai_error: The response was filtered due to the prompt triggering",
                code="bad_response_status_code",
            ),
        ),
        (400, error("x", code="prohibited_content")),
        (400, error("x", type="safety_violation")),
        (400, error("x", type="moderation")),
        (400, error("x", code="moderation_blocked")),
        (400, error("x", code="unsafe_content")),
        (400, error("x", code="content_blocked")),
        (400, error("x", code="nsfw")),
        (400, error("x", code="blocked_content")),
        (400, error("x", code="policy_violation")),
        (400, error("x", code="CONTENT_SAFETY")),
        (400, error("x", code="PROMPT_BLOCKED")),
        (200, {"data": [{"url": "", "finish_reason": "content_filter"}]}),
        (200, {"data": [{"b64_json": None, "error": {"code": "content_filter", "message": "x"}}]}),
        (200, {"data": [], "error": {"code": "OutputImageSensitiveContentDetected", "message": "x"}}),
        (200, {"data": [{"error": {"code": "OutputImageSensitiveContentDetected", "message": "x"}}]}),
        (200, {"output": {"task_status": "FAILED", "code": "DataInspectionFailed", "message": "x"}}),
        (400, error("Generation stopped: content may be harmful")),
        (400, error("Request blocked by Model Armor")),
        (400, error("Prompt injection detected")),
        (403, error("This model refuses to process requests of this kind: prompt was identified as harmful")),
        (400, error("The image generation was blocked. Reason: SAFETY")),
        (
            400,
            error(
                "Unable to show generated images. All images were filtered out because they violated "
                "Vertex AI's usage guidelines. Support codes: 56562880"
            ),
        ),
        (400, error("Your current safety filter threshold filtered out 1 generated images.")),
        (
            400,
            error(
                "image_generation_user_error: Your request was rejected by the safety system. "
                "safety_violations=[sexual]."
            ),
        ),
    ],
)
def test_unseen_refusals(status, body):
    assert isinstance(verdict(status, body), Refused)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("moderation_model not found")),
        (400, error("safety_tolerance 9 was rejected")),
        (400, error("enable_safety_checker was rejected")),
        (400, error("The 'moderation' parameter must be one of 'auto', 'low'")),
        (400, error("Invalid value: 'safe'. Supported values are 'auto' and 'low'.", param="moderation")),
        (403, error("Content moderation is not enabled for your account")),
        (400, error("Content filter configuration not found")),
        (400, error("content policy id is required")),
        (400, error("response_format is not allowed")),
        (400, error("Rejected: input too long")),
        (400, error("The request was rejected because the image is too large")),
        (400, error("Request blocked: too many concurrent requests")),
        (400, error("prompt is blocked by validation: must be a string")),
        (400, error("Failed to check content safety: connection refused")),
        (500, error("Safety checker crashed")),
        (502, error("content filter error")),
        (400, error("content_filter_error: the content filter could not complete")),
        (404, error("The moderation endpoint does not exist")),
        (403, error("Your API key has been flagged and blocked")),
        (403, error("Project has been blocked due to policy violation")),
        (403, error("This organization is not allowed to use image moderation")),
        (403, error("User is banned for violating community guidelines")),
        (403, error("Access denied by security policy")),
        (403, error("Request blocked by security policy", code="waf")),
        (403, error("CORS: origin not allowed by policy")),
        (400, error("stop sequence 'unsafe' is invalid")),
        (400, error("Unknown field: safetySettings")),
        (400, error("'harmful' is not one of the allowed values")),
        (400, error("Tool 'flag_content' failed")),
        (400, error("tool call blocked by schema policy")),
        (429, error("You have been flagged for too many requests")),
        (400, error("Deployment blocked by Azure policy")),
        (400, error("The parameter 'sensitive' is deprecated")),
        (400, error("Input contains restricted token <|im_start|>")),
        (400, error("content must be a non-empty string; 'explicit' content type")),
        (400, error("This model's usage policy requires accepting the license first")),
        (403, error("You must accept the usage policy before using this model")),
        (403, error("Model requires acceptance of acceptable use policy")),
        (400, error("Guardrail configuration is invalid")),
        (400, error("The guardrail identifier or version provided in the request is not valid")),
        (400, {"message": "Invalid guardrail: guardrail version 3 blocked"}),
        (408, error("content moderation timed out")),
        (400, error("Timeout while waiting for the safety check")),
        (400, error("data inspection service error")),
        (400, error("unsafe redirect blocked")),
        (400, error("Unsafe image URL: private IPs are blocked")),
        (400, error("image url blocked: cannot fetch http://x")),
        (400, error("Response blocked: stream closed")),
        (403, error("Team: x has been blocked")),
        (403, error("exceeded rate limit for moderation")),
        (
            400,
            {
                "code": "InvalidParameter.DataInspection",
                "message": "Unable to download the media resource during the data inspection process.",
            },
        ),
    ],
)
def test_unseen_errors_that_speak_of_filters(status, body):
    assert isinstance(verdict(status, body), Failed)


@pytest.mark.parametrize(
    ("status", "body", "headers", "what"),
    [
        (403, error("The API key does not have access to this model"), {}, "auth"),
        (403, error("API key not valid"), {}, "auth"),
        (403, {"detail": "Invalid authentication credentials"}, {}, "auth"),
        (403, {"detail": "Not authenticated"}, {}, "auth"),
        (
            403,
            {"message": "User is not authorized to access this resource with an explicit deny"},
            {},
            "auth",
        ),
        (403, {"Message": "User: arn:aws is not authorized to perform: bedrock:InvokeModel"}, {}, "auth"),
        (403, {"message": "Missing Authentication Token"}, {}, "auth"),
        (
            403,
            error("Project `proj_x` does not have access to model `gpt-x`", code="model_not_found"),
            {},
            "auth",
        ),
        (403, error("Your account is not active"), {}, "auth"),
        (403, error("This account has been deactivated"), {}, "auth"),
        (403, error("Permission denied: Consumer 'api_key:x' has been suspended."), {}, "auth"),
        (403, error("Unauthorized"), {}, "auth"),
        (403, "Forbidden", {}, "forbidden"),
        (403, {"error": "Forbidden"}, {}, "forbidden"),
        (403, error("Host not in allowlist"), {}, "forbidden"),
        (403, error("Model is disabled for this key"), {}, "auth"),
        (403, error("insufficient quota"), {}, "billing"),
        (403, error("Your credit balance is exhausted"), {}, "billing"),
        (
            403,
            {"detail": "User is locked. Reason: Exhausted balance. Top up your balance at x"},
            {},
            "billing",
        ),
        (401, error("No cookie auth credentials found", code=401), {}, "auth"),
        (401, error("User not found.", code=401), {}, "auth"),
        (
            429,
            error("Quota exceeded for quota metric 'Generate Content API requests per minute' and limit"),
            {},
            "rate_limit",
        ),
        (
            429,
            error(
                "You exceeded your current quota. Please migrate to a paid plan; Quota: 200 "
                "requests per day. Please retry in 12h3m."
            ),
            {},
            "rate_limit",
        ),
        (
            429,
            error("Resource has been exhausted (e.g. check quota).", status="RESOURCE_EXHAUSTED"),
            {},
            "rate_limit",
        ),
        (
            429,
            error(
                "This request would exceed your account's rate limit. Please try again later.",
                type="rate_limit_error",
            ),
            {},
            "rate_limit",
        ),
        (429, error("Organization quota exceeded for the month", code="insufficient_quota"), {}, "billing"),
        (429, error("You have run out of credits"), {}, "billing"),
        (429, error("Insufficient funds"), {}, "billing"),
        (429, error("account balance not enough", code="1113"), {}, "billing"),
        (429, error("您的账户已欠费"), {}, "billing"),
        (429, error("当前分组请求数已达上限，请稍后再试"), {}, "rate_limit"),
        (429, "Too Many Requests", {"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}, "rate_limit"),
        (429, error("x"), {"retry-after": "nan"}, "rate_limit"),
        (429, error("x"), {"x-ratelimit-reset": "99999999999999999999"}, "rate_limit"),
        (
            529,
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            {},
            "server",
        ),
        (503, error("The model is overloaded. Please try again in 20s"), {}, "server"),
        (
            400,
            {"__type": "com.amazon.coral.service#ThrottlingException", "message": "Rate exceeded"},
            {},
            "rate_limit",
        ),
        (
            400,
            {"message": "x"},
            {"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/"},
            "rate_limit",
        ),
        (402, error("Insufficient credits"), {}, "billing"),
        (402, error("This request requires more credits, or fewer max_tokens"), {}, "billing"),
        (403, error("Daily quota exceeded", errors=[{"reason": "dailyLimitExceeded"}]), {}, "rate_limit"),
        (400, error("Prompt rejected: prohibited"), {}, "refused"),
        (400, error("The image you requested contains nudity"), {}, "refused"),
        (400, error("Request contains prohibited words: x"), {}, "refused"),
        (400, error("Prompt contains forbidden words"), {}, "refused"),
        (400, error("Unsafe prompt"), {}, "refused"),
        (400, error("unsafe content detected"), {}, "refused"),
        (400, error("Sensitive content detected"), {}, "refused"),
        (
            400,
            error(
                "Potentially sensitive content: the input or output was flagged as sensitive. "
                "Please try again with different inputs. (E005)"
            ),
            {},
            "refused",
        ),
        (400, error("No image was generated. Reason: IMAGE_SAFETY"), {}, "refused"),
        (400, error("finishReason: PROHIBITED_CONTENT"), {}, "refused"),
        (400, error("Generation failed: blocked by content policy"), {}, "refused"),
        (400, error("Prompt violates terms of service"), {}, "refused"),
        (400, error("The prompt does not comply with our terms"), {}, "refused"),
        (400, error("Request not permitted under our usage policy"), {}, "refused"),
    ],
)
def test_keys_bills_limits_and_further_words(status, body, headers, what):
    found = verdict(status, body, headers)
    assert (found.error.kind if isinstance(found, Failed) else "refused") == what


# -- waiting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        (PER_MINUTE, {}, 34.07),
        (
            error("Rate limit reached for gpt-x on tokens per min (TPM). Please try again in 1.2s. Visit x"),
            {},
            1.2,
        ),
        (error("Rate limit reached. Please try again in 6m0s."), {}, 360.0),
        (error("Please try again in 850ms"), {}, 0.85),
        (error("Please try again in 1h2m3.5s"), {}, 3723.5),
        (
            error("Requests to x have exceeded call rate limit of your tier. Please retry after 8 seconds."),
            {},
            8.0,
        ),
        (error("Quota exceeded. Please retry in 34.074824224s."), {}, 34.074824224),
        (error("Daily limit reached, try again in 1 hour and 30 minutes"), {}, 5400.0),
        (error("Too many requests. Please wait 5 seconds before"), {}, 5.0),
        (error("limit of 20 per minute"), {}, None),
        (
            error("x", metadata={"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "7s"}}),
            {},
            7.0,
        ),
        (
            error("x"),
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-remaining-tokens": "9",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            0.012,
        ),
        (
            error("x"),
            {
                "x-ratelimit-remaining-requests": "5",
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            360.0,
        ),
        (error("x"), {"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "12ms"}, None),
        (error("try again in 9s"), {"retry-after": "2"}, 2.0),
        (error("x", details=[{"retryDelay": "86400s"}]), {}, 86_400.0),
    ],
)
def test_how_long_to_wait(body, headers, seconds):
    found = verdict(429, body, headers)
    assert found.error.kind == "rate_limit"
    assert found.error.retry_after == (None if seconds is None else pytest.approx(seconds))


def test_who_says_when_to_come_again_has_a_limit_and_no_bill():
    assert verdict(429, error(QUOTA), {"retry-after": "5"}).error.kind == "rate_limit"
    assert verdict(429, error(QUOTA, code="insufficient_quota"), {"retry-after": "5"}).error.kind == "billing"


# -- a 200 that says that it failed -------------------------------------------------------------------------


def chat(content="", finish="stop", **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    top = {name: more.pop(name) for name in list(more) if name in ("error", "prompt_filter_results")}
    return {"choices": [choice | more], **top}


HALF = "Sure. First, take the"
BROKEN = {
    # openrouter.ai/docs/errors
    "an error in the choice": (chat(HALF, "error", error={"code": 502, "message": "x"}), "server"),
    "an error in the choice alone": (
        {"choices": [{"error": {"code": 429, "message": "slow down"}}]},
        "rate_limit",
    ),
    "an error beside the choices": (
        chat(HALF, error={"message": "Provider returned error", "code": 502}),
        "server",
    ),
    "a sentence beside the choices": (chat(HALF, error="upstream went away"), "server"),
    "half a sentence": (chat(HALF, "error"), "server"),
    "half a sentence, aborted": (chat(HALF, "abort"), "server"),
    "half a sentence, DeepSeek": (chat(HALF, "insufficient_system_resource"), "server"),
    "half a sentence, Zhipu": (chat(HALF, "network_error"), "server"),
    "an error sentence": (chat("Error: upstream request failed"), "server"),
    "an error sentence with a status": (chat("Error: request failed with status code 429"), "rate_limit"),
    "an error sentence of a client": (chat("litellm.InternalServerError: OpenAIException - x"), "server"),
    "an error sentence of a proxy": (
        chat("upstream connect error or disconnect/reset before headers"),
        "server",
    ),
    "an error sentence of a server": (chat("502 Bad Gateway"), "server"),
    "an error sentence of OpenAI": (
        chat("The server had an error while processing your request. Sorry!"),
        "server",
    ),
    "an error page": (chat("<html><head><title>502 Bad Gateway</title></head></html>"), "server"),
    "an error object": (chat('{"error": {"message": "upstream error", "code": 500}}'), "server"),
    "an error object with a sentence": (chat('{"error": "upstream request timeout"}'), "server"),
    "an error object of vLLM": (chat('{"object": "error", "message": "x", "code": 50001}'), "server"),
}


@pytest.mark.parametrize(
    "content",
    [
        "Too many requests",
        "An error occurred while processing your request. Please try again.",
        "Error: request failed with status code 500.",
        "[ERROR] 503: backend unavailable",
        "error, status code: 429, message: Rate limit",
        "Error code: 500 - {'error': {'message': 'x'}}",
        "Error: rate limit exceeded. Please try again in 20s.",
        'API Error: 500 {"type":"error"}',
        "Error: read ECONNRESET",
        "stream error: stream ID 5; INTERNAL_ERROR",
        "Sorry, something went wrong while generating the response.",
        "Error calling model: 502",
        "Exception: no available channel for model",
        "当前分组上游负载已饱和，请稍后再试",
        '{"detail":"Internal Server Error"}',
        '{"status":"error","message":"upstream timeout"}',
        '{"code":500,"message":"server error"}',
    ],
)
def test_what_machines_say_in_an_answer_s_place(content):
    assert isinstance(machine_says("openai", content), Failed)
    assert read_completion(chat(content)).error is not None


def test_a_machine_s_status_and_waiting_time_are_read():
    found = machine_says("openai", "Error: HTTP 429, rate limit exceeded. Please try again in 20s.")
    assert (found.error.kind, found.error.status, found.error.retry_after) == ("rate_limit", 429, 20.0)


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name):
    body, kind = BROKEN[name]
    reply = read_completion(body)
    assert reply.error is not None, reply
    assert (reply.error.kind, reply.text, reply.refusal) == (kind, "", None)


@pytest.mark.parametrize(
    "content",
    [
        "Error: that is what the terminal shows when a file is missing. To fix it, check the path.",
        "I cannot help with that.",
        '{"error": "I cannot help with that request."}',
        '{"error": {"message": "I am sorry, I cannot do that."}}',
        '{"answer": "x", "error": {"code": 1, "message": "no"}}',
        "A 502 Bad Gateway means that a proxy got no usable answer. " * 3,
        "HTTP has many status codes, and 404 is the best known.",
        "Errors are human: upstream or downstream.",
        "HTTP 404 means that the page was not found.",
        "HTTP 404 Not Found",
        "Error: Connection refused usually means the server isn't running.",
        "Network error handling in Python: use try.",
        "Error: something about the server. It then restarts by itself and everything is fine.",
        "Service unavailable means that a server is busy.",
        '{"detail": "A cat on a mat"}',
        '{"status": "error", "message": "I would rather not write that."}',
        '```json\n{"error": {"code": 500}}\n```',
        "The error message says: rate limit.",
        "[]",
        "{",
    ],
)
def test_what_a_model_says_about_errors_is_an_answer(content):
    assert machine_says("openai", content) == Answered()
    reply = read_completion(chat(content))
    assert (reply.text, reply.error, reply.refusal) == (content, None, None)


def test_fields_for_errors_that_say_nothing():
    for empty in (None, "", {}, {"code": None, "message": ""}, {"code": 0}, []):
        assert read_completion(chat("Sure.", error=empty)).text == "Sure."


def test_a_cut_off_answer_stays_one():
    reply = read_completion(chat(HALF, "length"))
    assert (reply.text, reply.is_cut_off, reply.error) == (HALF, True, None)


@pytest.mark.parametrize(
    "finish",
    [
        "SPII",
        "SAFETY",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "RECITATION",
        "IMAGE_SAFETY",
        "content_filter",
        "content_filter: PROHIBITED_CONTENT",
        "contentFilter",
        "sensitive",
        "guardrail_intervened",
        "content_filtered",
        "refusal",
        "MODEL_ARMOR",
        "moderation",
        "prohibited_content",
        "ERROR_TOXIC",
    ],
)
def test_finish_reasons_that_refuse(finish):
    for content in ("", None, HALF):
        reply = read_completion(chat(content, finish))
        assert (reply.refusal, reply.finish_reason, reply.error) == (finish, finish, None)
    native = read_completion(chat("", "stop", native_finish_reason=finish))
    assert (native.refusal, native.error) == (finish, None)


@pytest.mark.parametrize(
    "finish", ["stop", "length", "tool_calls", "eos", "STOP", None, "end_turn", "MAX_TOKENS"]
)
def test_finish_reasons_that_do_not(finish):
    reply = read_completion(chat("Sure.", finish))
    assert (reply.text, reply.refusal, reply.error) == ("Sure.", None, None)


def test_an_error_in_a_choice_may_be_a_refusal():
    error_ = {"code": 403, "message": "Your input was flagged by our moderation"}
    assert read_completion(chat(HALF, "error", error=error_)).refusal
    assert read_completion(chat("Error: Content violates usage guidelines.")).refusal
    assert (
        read_completion(chat('{"error": {"code": "content_filter", "message": "x"}}')).refusal
        == "content_filter"
    )
