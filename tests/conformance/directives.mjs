// The request-directive tests of http-cache-tests in POST form: their definitions and checks are
// used as published, only the exchange is another one. A GET becomes a POST whose prompt is the
// test's uuid; the origin wraps what it would have answered in a chat completion. Since Likewise
// replays no header of upstream's, the origin's count of requests travels inside the completion.
//
// Prints the origin's address, waits for the proxy's on stdin, prints the results as JSON.

import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { pathToFileURL } from 'node:url'

const HOME = pathToFileURL(`${process.env.CONFORMANCE_NODE}/node_modules/http-cache-tests/`)
const load = (path) => import(new URL(path, HOME))
const { default: handleConfig } = await load('server/handle-config.mjs')
const { default: handleState } = await load('server/handle-state.mjs')
const { default: handleTest } = await load('server/handle-test.mjs')
const { runTests, getResults } = await load('client/runner.mjs')
const { default: suite } = await load('tests/cc-request.mjs')

const MODEL = 'gpt-4o-mini'
const log = console.log
console.log = () => {} // the handlers talk

async function origin (request, response) {
  const [kind, uuid] = new URL(request.url, 'http://localhost').pathname.slice(1).split('/')
  if (kind === 'config') return handleConfig([uuid], request, response)
  if (kind === 'state') return handleState([uuid], request, response)
  let body = ''
  for await (const chunk of request) body += chunk
  const prompt = JSON.parse(body).messages[0].content
  const end = response.end.bind(response)
  response.end = (content) => {
    response.setHeader('Content-Type', 'application/json')
    end(content && JSON.stringify(completion(content, response.getHeader('Server-Request-Count'))))
  }
  handleTest([prompt], request, response)
}

function completion (content, count) {
  const message = { role: 'assistant', content, refusal: null }
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1700000000,
    model: MODEL,
    choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    origin_count: count
  }
}

// The fetch that the tests are given.
function exchange (proxy, upstream) {
  return async (url, init = {}) => {
    const { pathname } = new URL(url)
    const [, kind, uuid] = pathname.split('/')
    if (kind !== 'test') return fetch(upstream + pathname, init)
    const headers = new Headers(init.headers)
    headers.set('authorization', 'Bearer sk-directives')
    headers.set('content-type', 'application/json')
    const body = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: uuid }] })
    const answer = await fetch(`${proxy}/v1/chat/completions`, { method: 'POST', headers, body })
    return unwrapped(answer, await answer.text())
  }
}

// The completion's content as if it were the body, and the origin's count as if it were a header.
function unwrapped (answer, text) {
  const made = answer.status === 200 ? JSON.parse(text) : {}
  const headers = new Headers(answer.headers)
  if (made.origin_count) headers.set('Server-Request-Count', made.origin_count)
  else headers.delete('Server-Request-Count')
  const content = made.choices?.[0].message.content ?? text
  return { status: answer.status, headers, text: async () => content }
}

const server = createServer(origin)
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const upstream = `http://127.0.0.1:${server.address().port}`
log(upstream)
const [proxy] = await once(createInterface({ input: process.stdin }), 'line')
// Answers of Likewise's carry no validators, so nothing can be validated by one.
const apply = suite.tests.filter(
  (test) => !test.requests.some((request) => request.expected_type?.endsWith('_validated'))
)
await runTests([{ ...suite, tests: apply }], exchange(proxy, upstream), false, upstream)
log(JSON.stringify(getResults()))
process.exit(0)
