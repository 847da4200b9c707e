/** Schemas of the admin API's responses: other members are not sent. */

const text = { type: 'string' } as const
/** From 0 to 1. */
const part = { type: 'number', minimum: 0, maximum: 1 } as const
const flag = { type: 'boolean' } as const
const count = { type: 'integer', minimum: 0 } as const

/** A closed object. */
function object(required: Record<string, object>, optional: Record<string, object> = {}) {
  const properties = { ...required, ...optional }
  return { type: 'object', additionalProperties: false, required: Object.keys(required), properties } as const
}

function list(items: object) {
  return { type: 'array', items } as const
}

/** A page of a list; `next` is the offset of the page after it, absent on the last one. */
function page(items: object) {
  return object({ items: list(items) }, { next: count })
}

const valueMatch = object({ name: text, type: text, value: text })

const route = object(
  {
    hostname: text,
    path: object({ type: text, value: text }),
    headers: list(valueMatch),
    queryParams: list(valueMatch),
    cookies: list(valueMatch),
    sourceCIDRs: list(text),
    listeners: list(text),
    route: text,
    rule: text,
    action: text,
    backends: list(object({ weight: count, priority: count }, { backend: text, reason: text })),
  },
  { method: text, reason: text },
)

const backend = object(
  {
    id: text,
    protocol: text,
    algorithm: text,
    inFlight: count,
    total: count,
    ready: count,
    eligible: count,
    panic: flag,
    endpoints: list(
      object(
        { authority: text, state: text, taken: flag, reason: text, weight: count, inFlight: count },
        {
          zone: text,
          share: part,
          since: text,
          probe: object({ at: text, took: count, fault: text }),
          unanswered: count,
          limit: count,
        },
      ),
    ),
  },
  { connections: count, waiting: count },
)

const condition = object({ type: text, status: text, reason: text, message: text }, { observedGeneration: count })

const note = object({ reason: text, message: text })

const registration = object(
  {
    id: text,
    address: text,
    port: count,
    weight: count,
    metadata: { type: 'object', additionalProperties: text },
    state: text,
    lease: text,
    remaining: text,
  },
  { zone: text },
)

const matchView = { route: text, rule: text, hostname: text, path: object({ type: text, value: text }) }
/** Of what is stored of a response. */
const storedFacts = {
  status: count,
  bytes: count,
  state: text,
  age: count,
  lifetime: count,
  lifetimeBy: text,
  staleWhileRevalidate: count,
  staleIfError: count,
  received: text,
  tags: count,
}
const stored = object({ ...storedFacts, left: { type: 'integer' }, tagNames: list(text) })

const statistics = {
  limit: count,
  entries: count,
  used: count,
  held: count,
  stored: count,
  evicted: count,
  removed: count,
  replaced: count,
  refused: count,
  hitRatio: part,
  requests: list(object({ result: text, reason: text, count })),
  responses: list(object({ reason: text, count })),
  purges: object({ history: text }, { problem: text }),
}
const warmed = {
  state: text,
  urls: count,
  requested: count,
  hits: count,
  stored: count,
  others: count,
  failed: count,
}
/** What an answer is of. */
const reach = { missing: list(object({ name: text, why: text })), everywhere: flag, detail: text }

export const RESPONSES = {
  index: object({ paths: list(text) }),
  health: object({ status: text, reasons: list(text) }),
  problem: object({ type: text, title: text, status: count }, { detail: text, reason: text }),
  version: object(
    { version: text, node: text, generation: count, workers: count, replica: count, replicas: count },
    { zone: text },
  ),
  routes: page(route),
  backends: page(backend),
  statuses: page(object({ kind: text, key: text, conditions: list(condition) }, { rules: count, notes: list(note) })),
  problems: page(
    object({ reason: text, message: text }, { object: text, file: text, line: count, column: count, field: text }),
  ),
  registration,
  registrations: page(registration),
  cache: object({ ...statistics, ...reach, replicas: list(object({ name: text, ...statistics })) }),
  lookup: object({
    items: list(object({ replica: text, key: text, keyDigest: text, ...storedFacts }, { validator: text })),
    complete: flag,
    unknown: list(text),
    replicas: list(text),
    ...reach,
  }),
  explain: object(
    {
      method: text,
      url: text,
      listener: text,
      client: text,
      generation: count,
      lost: list(object({ ...matchView, why: text }, { method: text })),
      lostComplete: flag,
      filters: list(object({ filter: text, effect: text }, { status: count })),
      backends: list(text),
    },
    {
      hostname: text,
      match: object(matchView, { method: text }),
      refused: object({ reason: text, status: count, detail: text }),
      cache: object(
        { verdict: text, why: text, stores: list(object({ store: text, state: text })) },
        { result: text, key: text, keyDigest: text, vary: list(text), stored },
      ),
    },
  ),
  purge: object({
    namespaces: list(text),
    purged: count,
    soft: flag,
    replicas: count,
    reached: count,
    acts: list(text),
    missing: list(text),
    everywhere: flag,
    history: text,
    kept: flag,
    unknown: list(text),
    detail: text,
  }),
  warmUp: object({
    id: text,
    ...warmed,
    problems: list(object({ replica: text, url: text, problem: text })),
    replicas: list(object({ name: text, ...warmed })),
    ...reach,
  }),
  config: page(object({ path: text, value: {}, origin: text })),
} as const

/** Query of a list. Numbers stay strings: nothing is coerced. */
export const PAGE_QUERY = {
  type: 'object',
  additionalProperties: false,
  properties: {
    offset: { type: 'string', pattern: '^[0-9]{1,9}$' },
    limit: { type: 'string', pattern: '^[0-9]{1,4}$' },
  },
} as const
