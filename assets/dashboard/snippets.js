// Client configuration ready to paste, for a key at this gateway.

/** Address of this gateway as the browser reached it. */
export const base = () => location.origin;

/** @type {Record<string, (key: string, model: string) => string>} */
export const SNIPPETS = {
  "OpenAI SDK": (key, model) => `from openai import OpenAI\n\nclient = OpenAI(\n    base_url="${base()}/v1",\n    api_key="${key}",\n)\nreply = client.chat.completions.create(\n    model="${model}",\n    messages=[{"role": "user", "content": "Hello"}],\n)\nprint(reply.choices[0].message.content)`,
  "Anthropic SDK": (key, model) => `from anthropic import Anthropic\n\nclient = Anthropic(\n    base_url="${base()}",\n    api_key="${key}",\n)\nreply = client.messages.create(\n    model="${model}",\n    max_tokens=256,\n    messages=[{"role": "user", "content": "Hello"}],\n)`,
  "Claude Code": (key) => `export ANTHROPIC_BASE_URL=${base()}\nexport ANTHROPIC_AUTH_TOKEN=${key}\nclaude`,
  Codex: (key) => `export GATEKEEPER_KEY=${key}\n\n# ~/.codex/config.toml\nmodel_provider = "gatekeeper"\n[model_providers.gatekeeper]\nname = "Gatekeeper"\nbase_url = "${base()}/v1"\nenv_key = "GATEKEEPER_KEY"\nwire_api = "responses"`,
  curl: (key, model) => `curl ${base()}/v1/chat/completions \\\n  -H 'Authorization: Bearer ${key}' \\\n  -H 'Content-Type: application/json' \\\n  -d '{"model":"${model}","messages":[{"role":"user","content":"Hello"}]}'`,
};
