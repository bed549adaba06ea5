// One call of an SDK with its usual retries; prints status and body of the error. Arguments: client, url, key, case, model.
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

const [client, url, apiKey, kind, model] = process.argv.slice(2);
const messages = [{ role: 'user', content: 'Hello' }];
const calls = {
  openai(api = new OpenAI({ baseURL: `${url}/v1`, apiKey })) {
    if (kind === 'not_supported') return api.images.generate({ model, prompt: 'a cat' });
    return api.chat.completions.create({ model, messages, max_tokens: 50 });
  },
  anthropic(api = new Anthropic({ baseURL: url, apiKey })) {
    if (kind === 'not_supported') return api.messages.batches.list();
    return api.messages.create({ model, messages, max_tokens: 50 });
  },
};
try {
  await calls[client]();
  console.log('no error');
} catch (error) {
  console.log(error.status, JSON.stringify(error.error ?? String(error)));
}
