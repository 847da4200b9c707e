/** Requests that are explained: of what a user writes a request is made, and a worker says what it would do with it. */
import type { ExplainBody, ExplainOutcome, Explanations as ExplanationRequests } from '../admin/explanations.ts'
import type { ExplainAnswer, ExplainQuestion } from '../exchange/explain.ts'
import { canonicalAddress } from '../pattern/cidr.ts'
import { defaultPort } from '../pattern/host.ts'
import { WorkerQuestions, type WorkerQuestionsEdges } from '../thread/worker-questions.ts'

/** One of the settings that is open. */
export interface NamedListener {
  readonly name: string
  readonly port: number
  readonly tls: boolean
}

export interface ExplanationsOptions extends WorkerQuestionsEdges {
  readonly listeners: () => readonly NamedListener[]
}

export class Explanations implements ExplanationRequests {
  readonly #listeners: ExplanationsOptions['listeners']
  readonly #questions: WorkerQuestions<ExplainAnswer>

  constructor(options: ExplanationsOptions) {
    this.#listeners = options.listeners
    this.#questions = new WorkerQuestions(options)
  }

  async explain(body: ExplainBody): Promise<ExplainOutcome> {
    const question = questionOf(body, this.#listeners())
    if (typeof question === 'string') return refusal(422, 'InvalidExplain', 'It cannot be explained', question)
    const view = await this.#questions.ask((id) => ({ type: 'explain', id, question }))
    return view === null ? refusal(503, 'NotServing', 'No worker answers', 'Try again') : { ok: true, view }
  }

  /** What a worker says; null: it has no tables yet. */
  explained(id: number, answer: ExplainAnswer | null): void {
    this.#questions.answered(id, answer)
  }
}

function refusal(
  status: 422 | 503,
  reason: 'InvalidExplain' | 'NotServing',
  title: string,
  detail: string,
): ExplainOutcome {
  return { ok: false, status, reason, title, detail }
}

/** @returns why there is none */
function questionOf(body: ExplainBody, listeners: readonly NamedListener[]): ExplainQuestion | string {
  const { method = 'GET', headers = [], client = '127.0.0.1' } = body
  const url = URL.parse(body.url)
  if (url === null || !/^https?:$/.test(url.protocol) || url.host === '')
    return `${JSON.stringify(body.url.slice(0, 128))} is no http(s) URL: write it whole, such as https://shop.example/a`
  if (url.username !== '' || url.password !== '')
    return 'the URL has a user or password, which no client sends in it: write an Authorization header'
  const hosts = headers.filter(({ name }) => name.toLowerCase() === 'host')
  if (hosts.length > 1) return 'there are several Host headers'
  const address = canonicalAddress(client)
  if (address === undefined) return `the client ${JSON.stringify(client)} is no IP address`
  const scheme = url.protocol === 'https:' ? 'https' : 'http'
  const listener = listenerOf(body.listener, url, scheme, listeners)
  if (listener === undefined) return noListener(body.listener, scheme, listeners)
  return {
    method,
    scheme,
    authority: hosts[0]?.value ?? url.host,
    target: targetOf(url),
    fields: headers.map(({ name, value }) => [name.toLowerCase(), Buffer.from(value).toString('latin1')]),
    address,
    listener: listener.name,
  }
}

/** With the `?` that stands before nothing; a fragment is never sent. */
function targetOf(url: URL): string {
  const bare = url.search === '' && url.href.split('#', 1)[0]!.endsWith('?')
  return `${url.pathname}${bare ? '?' : url.search}`
}

function listenerOf(
  name: string | undefined,
  url: URL,
  scheme: 'http' | 'https',
  listeners: readonly NamedListener[],
): NamedListener | undefined {
  const fitting = listeners.filter(({ tls }) => tls === (scheme === 'https'))
  if (name !== undefined) return fitting.find((listener) => listener.name === name)
  const port = url.port === '' ? defaultPort(scheme) : Number(url.port)
  return fitting.find((listener) => listener.port === port) ?? fitting[0]
}

function noListener(name: string | undefined, scheme: 'http' | 'https', listeners: readonly NamedListener[]): string {
  const all = listeners.map((one) => `${one.name} (${one.tls ? 'https' : 'http'}, port ${one.port})`).join(', ')
  const which = name === undefined ? `listener for ${scheme}` : `listener ${JSON.stringify(name)} for ${scheme}`
  return `there is no ${which}; there ${listeners.length === 1 ? 'is' : 'are'} ${all}`
}
