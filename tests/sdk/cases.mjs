// JavaScript clients in their usual form. Each case prints one line, which stage.py counts.
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import Anthropic from '@anthropic-ai/sdk';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, streamText } from 'ai';

const { GK_URL: url, GK_KEY: key, GK_POOR_KEY: poor, GK_SEEN: seen } = process.env;
const words = 'Grüße aus dem Wald 🌲';
const messages = [{ role: 'user', content: 'hello' }];
const chatTools = ['get_weather', 'get_time'].map((name) => ({
  type: 'function',
  function: { name, parameters: { type: 'object', properties: {} } },
}));
const messageTools = ['get_weather', 'get_time'].map((name) => ({ name, input_schema: { type: 'object' } }));

const chat = (apiKey = key) => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, timeout: 20000 });
const claude = (apiKey = key) => new Anthropic({ baseURL: url, apiKey, maxRetries: 0, timeout: 20000 });
const ai = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
const seenLast = async () => (await (await fetch(seen)).json()).at(-1);
const say = (model, more = {}) => ({ model, messages, max_tokens: 100, ...more });

async function raises(kind, status, call) {
  try {
    await call();
  } catch (error) {
    assert.equal(error.constructor.name, kind.name, String(error));
    assert.equal(error.status, status, String(error));
    return error;
  }
  throw new Error(`no ${kind.name}`);
}

const cases = {
  async 'openai chat'() {
    const answer = await chat().chat.completions.create({ model: 'o-text', messages });
    assert.equal(answer.choices[0].message.content, words);
    assert.equal(answer.usage.total_tokens, 26);
    assert.deepEqual(answer.x_unknown, { kept: [1, 'é'] });
  },
  async 'openai chat says what it cost'() {
    const { response } = await chat().chat.completions.create({ model: 'o-text', messages, max_tokens: 50 }).withResponse();
    assert.match(response.headers.get('x-gatekeeper-cost-usd'), /^0\.0000540*$/);
  },
  async 'cache shares the answer of the Python client, whole and streamed'() {
    const body = { model: 'cached', messages, max_tokens: 64, temperature: 0.5 };
    const whole = await chat().chat.completions.create(body).withResponse();
    assert.equal(whole.response.headers.get('x-gatekeeper-cache'), 'exact');
    assert.equal(whole.data.choices[0].message.content, words);
    const streamed = await chat().chat.completions.create({ ...body, stream: true }).withResponse();
    assert.equal(streamed.response.headers.get('x-gatekeeper-cache'), 'exact');
    let text = '';
    for await (const chunk of streamed.data) text += chunk.choices[0]?.delta?.content ?? '';
    assert.equal(text, words);
  },
  async 'openai stream'() {
    let text = '';
    let usages = 0;
    for await (const chunk of await chat().chat.completions.create({ model: 'o-text', messages, stream: true })) {
      text += chunk.choices[0]?.delta?.content ?? '';
      usages += chunk.usage ? 1 : 0;
    }
    assert.equal(text, words);
    assert.equal(usages, 0);
    assert.equal((await seenLast()).body.stream_options.include_usage, true);
  },
  async 'openai stream with usage'() {
    const options = { model: 'o-text', messages, stream: true, stream_options: { include_usage: true } };
    let usages = 0;
    for await (const chunk of await chat().chat.completions.create(options)) usages += chunk.usage ? 1 : 0;
    assert.equal(usages, 1);
  },
  async 'openai tools'() {
    const answer = await chat().chat.completions.create({ model: 'o-tools', messages, tools: chatTools });
    const calls = answer.choices[0].message.tool_calls;
    assert.deepEqual(calls.map((call) => call.function.name), ['get_weather', 'get_time']);
    assert.deepEqual(JSON.parse(calls[0].function.arguments), { city: 'Köln', days: 3 });
    const results = calls.map((call) => ({ role: 'tool', tool_call_id: call.id, content: 'rain' }));
    const turns = [...messages, answer.choices[0].message, ...results];
    const last = await chat().chat.completions.create({ model: 'o-tools', messages: turns, tools: chatTools });
    assert.equal(last.choices[0].message.content, '3 days of rain');
  },
  async 'openai tools stream'() {
    const final = await chat().chat.completions.stream({ model: 'o-tools', messages, tools: chatTools }).finalChatCompletion();
    const calls = final.choices[0].message.tool_calls;
    assert.deepEqual(calls.map((call) => call.function.arguments), ['{"city":"Köln","days":3}', '{}']);
  },
  async 'openai models'() {
    const names = [];
    for await (const model of chat().models.list()) names.push(model.id);
    assert.ok(names.includes('o-text') && !names.includes('o-other'), names.join());
  },
  async 'openai wrong key'() {
    const error = await raises(OpenAI.AuthenticationError, 401, () => chat('sk-gk-ci-wrong').models.list());
    assert.equal(error.code, 'authentication_error');
  },
  async 'openai model not allowed'() {
    const call = () => chat().chat.completions.create({ model: 'o-other', messages });
    assert.equal((await raises(OpenAI.PermissionDeniedError, 403, call)).code, 'model_not_allowed');
  },
  async 'openai unknown model'() {
    const call = () => chat(poor).chat.completions.create({ model: 'no-such-model', messages });
    assert.equal((await raises(OpenAI.NotFoundError, 404, call)).code, 'model_not_found');
  },
  async 'openai over budget'() {
    const call = () => chat(poor).chat.completions.create({ model: 'o-text', messages });
    assert.equal((await raises(OpenAI.APIError, 402, call)).code, 'budget_exceeded');
  },
  async 'openai bad request of the upstream'() {
    const error = await raises(OpenAI.BadRequestError, 400, () => chat().chat.completions.create({ model: 'o-400', messages }));
    assert.match(error.message, /string too long/);
  },
  async 'openai rate limit of the upstream'() {
    const error = await raises(OpenAI.RateLimitError, 429, () => chat().chat.completions.create({ model: 'o-429', messages }));
    assert.equal(error.headers.get('retry-after'), '7');
  },
  async 'openai upstream failures are not the users'() {
    for (const model of ['o-500', 'o-401']) {
      await raises(OpenAI.InternalServerError, 502, () => chat().chat.completions.create({ model, messages }));
    }
  },
  async 'openai truncated stream is an error'() {
    await assert.rejects(async () => {
      for await (const chunk of await chat().chat.completions.create({ model: 'o-cut', messages, stream: true })) void chunk;
    }, OpenAI.APIError);
  },
  async 'anthropic messages'() {
    const answer = await claude().messages.create(say('c-text'));
    assert.equal(answer.content[0].text, words);
    assert.equal(answer.usage.output_tokens, 9);
  },
  async 'anthropic stream'() {
    const final = await claude().messages.stream(say('c-text')).finalMessage();
    assert.equal(final.content[0].text, words);
    assert.deepEqual([final.usage.input_tokens, final.usage.output_tokens, final.stop_reason], [21, 9, 'end_turn']);
  },
  async 'anthropic thinking stream keeps its signature'() {
    const [thinking, redacted] = (await claude().messages.stream(say('c-think')).finalMessage()).content;
    assert.equal(thinking.signature, 'EqQBCgIYAhIkSIGNATURE==');
    assert.equal(redacted.data, 'EmwKAhgBEgyREDACTED==');
  },
  async 'anthropic tools'() {
    const answer = await claude().messages.create(say('c-tools', { tools: messageTools }));
    const calls = answer.content.filter((block) => block.type === 'tool_use');
    assert.deepEqual(calls[0].input, { city: 'Köln', days: 3 });
    const results = calls.map((call) => ({ type: 'tool_result', tool_use_id: call.id, content: 'rain' }));
    const turns = [...messages, { role: 'assistant', content: answer.content }, { role: 'user', content: results }];
    const last = await claude().messages.create(say('c-tools', { tools: messageTools, messages: turns }));
    assert.equal(last.content[0].text, '3 days of rain');
  },
  async 'anthropic tools stream'() {
    const final = await claude().messages.stream(say('c-tools', { tools: messageTools })).finalMessage();
    const inputs = final.content.filter((block) => block.type === 'tool_use').map((block) => block.input);
    assert.deepEqual(inputs, [{ city: 'Köln', days: 3 }, {}]);
  },
  async 'anthropic models'() {
    const names = [];
    for await (const model of claude().models.list({ limit: 1 })) names.push(model.id);
    assert.ok(names.includes('c-text') && !names.includes('c-other'), names.join());
    assert.equal(new Set(names).size, names.length);
  },
  async 'anthropic wrong key'() {
    const error = await raises(Anthropic.AuthenticationError, 401, () => claude('sk-gk-ci-wrong').messages.create(say('c-text')));
    assert.equal(error.error.error.type, 'authentication_error');
    assert.ok(error.error.request_id);
  },
  async 'anthropic model not allowed'() {
    await raises(Anthropic.PermissionDeniedError, 403, () => claude().messages.create(say('c-other')));
  },
  async 'anthropic unknown model'() {
    await raises(Anthropic.NotFoundError, 404, () => claude(poor).messages.create(say('no-such-model')));
  },
  async 'anthropic over budget'() {
    const error = await raises(Anthropic.PaymentRequiredError, 402, () => claude(poor).messages.create(say('c-text')));
    assert.equal(error.error.error.type, 'billing_error');
  },
  async 'anthropic bad request of the upstream'() {
    const error = await raises(Anthropic.BadRequestError, 400, () => claude().messages.create(say('c-400')));
    assert.match(error.message, /valid list/);
  },
  async 'anthropic rate limit of the upstream'() {
    const error = await raises(Anthropic.RateLimitError, 429, () => claude().messages.create(say('c-429')));
    assert.equal(error.headers.get('retry-after'), '7');
  },
  async 'anthropic upstream failures are not the users'() {
    for (const model of ['c-500', 'c-529', 'c-401']) {
      const error = await claude().messages.create(say(model)).then(() => null, (error) => error);
      assert.ok(error && [502, 503, 529].includes(error.status), `${model}: ${error?.status}`);
    }
  },
  async 'openai responses'() {
    const answer = await chat().responses.create({ model: 'c-text', input: 'hello' });
    assert.equal(answer.output_text, words);
    let last;
    for await (const event of await chat().responses.create({ model: 'o-text', input: 'hello', stream: true })) last = event;
    assert.equal(last.type, 'response.completed');
    assert.equal(last.response.output[0].content[0].text, words);
  },
  async 'b11 ai sdk by default'() {
    const { textStream, usage } = streamText({ model: ai('r-all'), prompt: 'hello' });
    let text = '';
    for await (const piece of textStream) text += piece;
    assert.equal(text, 'Ein 🦀 läuft.');
    assert.equal((await usage).inputTokens, 2000);
    assert.match((await seenLast()).path, /\/v1\/responses$/);
  },
  async 'ai sdk on other vendors'() {
    for (const model of ['o-text', 'c-text']) {
      assert.equal((await generateText({ model: ai(model), prompt: 'hello' })).text, words);
      const { textStream } = streamText({ model: ai(model), prompt: 'hello' });
      let text = '';
      for await (const piece of textStream) text += piece;
      assert.equal(text, words);
    }
  },
  async 'streams with id lines, pings and a cost have no event of a comment'() {
    const odd = [{ role: 'user', content: 'x-odd-lines' }];
    let text = '';
    for await (const chunk of await chat().chat.completions.create({ model: 'o-text', messages: odd, stream: true })) {
      text += chunk.choices[0]?.delta?.content ?? '';
    }
    assert.equal(text, words);
    const kinds = [];
    for await (const event of await chat().responses.create({ model: 'r-all', input: 'x-odd-lines', stream: true })) kinds.push(event.type);
    assert.equal(kinds.at(-1), 'response.completed');
    const final = await claude().messages.stream(say('c-text', { messages: odd })).finalMessage();
    assert.equal(final.content[0].text, words);
    for (const [model, said] of [['r-all', 'Ein 🦀 läuft.'], ['o-text', words], ['c-text', words]]) {
      let piece = '';
      for await (const part of streamText({ model: ai(model), prompt: 'x-odd-lines' }).textStream) piece += part;
      assert.equal(piece, said, model);
    }
  },
  async 'anthropic truncated stream is an error'() {
    await assert.rejects(claude().messages.stream(say('c-cut')).finalMessage());
  },
};

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    console.log(`node ${name}: passed`);
  } catch (fault) {
    failed += 1;
    console.log(`node ${name}: FAILED: ${fault?.name}: ${fault?.message}`.replaceAll('\n', ' '));
    console.error(fault);
  }
}
process.exit(failed ? 1 : 0);
