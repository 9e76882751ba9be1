// openai-node: its own runners where it has one, else chunks joined by their index.
// The same protocol as loop.py: one job a line in, one outcome a line out.

import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const OpenAI = createRequire(`${process.env.CONFORMANCE_NODE}/`)('openai')
const PATIENCE = 30_000

function client (job) {
  return new OpenAI({ baseURL: `${job.url}/v1`, apiKey: job.key, maxRetries: 0, timeout: PATIENCE })
}

function body (job) {
  const counted = job.stream && job.usage && ['chat', 'completions'].includes(job.api)
  return { ...job.request, ...(counted ? { stream_options: { include_usage: true } } : {}) }
}

function options (job) {
  return { headers: job.headers, query: job.query }
}

async function chat (job) {
  const completions = client(job).chat.completions
  if (!job.stream) return completions.create(body(job), options(job))
  return completions.stream(body(job), options(job)).finalChatCompletion()
}

async function responses (job) {
  const api = client(job).responses
  if (!job.stream) return api.create(body(job), options(job))
  return api.stream(body(job), options(job)).finalResponse()
}

async function completions (job) {
  const create = (more) => client(job).completions.create({ ...body(job), ...more }, options(job))
  if (!job.stream) return create({})
  const chunks = []
  for await (const chunk of await create({ stream: true })) chunks.push(chunk)
  return joined(chunks)
}

function joined (chunks) {
  const whole = {}
  const choices = new Map()
  for (const chunk of chunks) {
    Object.assign(whole, known(chunk))
    for (const { text, logprobs, ...rest } of chunk.choices) {
      const into = choices.get(rest.index) ?? { text: '', logprobs: null }
      choices.set(rest.index, Object.assign(into, known(rest), { text: into.text + text }))
      for (const [key, value] of Object.entries(logprobs ?? {})) {
        into.logprobs = { ...into.logprobs, [key]: [...(into.logprobs?.[key] ?? []), ...(value ?? [])] }
      }
    }
  }
  return { ...whole, choices: [...choices.values()].sort((a, b) => a.index - b.index) }
}

function known (fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
}

async function embeddings (job) {
  return client(job).embeddings.create(body(job), options(job))
}

const APIS = { chat, completions, responses, embeddings }

async function outcome (job) {
  try {
    return { answer: await APIS[job.api](job) }
  } catch (fault) {
    const said = fault.error ?? fault.message
    return { fault: { kind: fault.constructor.name, status: fault.status ?? null, said } }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await outcome(JSON.parse(line)))}\n`)
}
