"""OpenAI's Python client against a server: openai_client.py BASE_URL KEY MODEL. Prints what it found as JSON."""
import asyncio
import json
import sys

import openai

url, key, model = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
request = dict(
    model=model,
    messages=[{"role": "user", "content": "Good morrow, my lord."}],
    max_completion_tokens=20,
    temperature=0,
)


def kind(call, **more):
    try:
        call(**more)
    except openai.APIStatusError as error:
        assert error.body["message"], error
        return type(error).__name__
    return "none"


async def stream():
    text, chunks, tokens = "", 0, 0
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as other:
        async for chunk in await other.chat.completions.create(
            **request, stream=True, stream_options={"include_usage": True}
        ):
            chunks += 1
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
            if chunk.usage:
                tokens = chunk.usage.completion_tokens
    return text, chunks, tokens


whole = client.chat.completions.create(**request, logprobs=True, top_logprobs=1)
text, chunks, tokens = asyncio.run(stream())
assert tokens == whole.usage.completion_tokens
wrong = openai.OpenAI(base_url=url, api_key="wrong", max_retries=0)
print(
    json.dumps(
        {
            "whole": whole.choices[0].message.content,
            "streamed": text,
            "chunks": chunks,
            "tokens": tokens,
            "logprobs": len(whole.choices[0].logprobs.content),
            "accepted": whole.usage.completion_tokens_details.accepted_prediction_tokens,
            "models": [one.id for one in client.models.list()],
            "errors": [
                kind(client.chat.completions.create, **{**request, "model": "other"}),
                kind(client.completions.create, model=model, prompt="a " * 3000),
                kind(wrong.completions.create, model=model, prompt="a"),
            ],
        }
    )
)
