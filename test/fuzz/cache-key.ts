/**
 * Fuzzer of cache keys: `node test/fuzz/cache-key.ts [seconds]`. Two requests have one key exactly when they are the
 * same request. What it finds goes into cache-key.seeds.json, which cache-key.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { KeyWriter, keyPrefix, writeIdentity, writeSelector, writeTarget } from '../../src/cache/key.ts'
import { describeKey, urlOfKey } from '../../src/cache/key-text.ts'
import { writeContent } from '../../src/cache/query-content.ts'
import { writeVariant } from '../../src/cache/vary.ts'
import { Fields } from '../../src/message/fields.ts'

/** Everything that a key is made of. */
export interface KeyParts {
  readonly scope: { namespace: string; route: string; rule: string; policy: string; version: string; backend: string }
  readonly target: {
    method: string
    origin: { scheme: 'http' | 'https'; host: string; port: number }
    originalPath: string
    path: string
    query?: string | undefined
    upstreamHost?: string | undefined
  }
  readonly selectors: readonly { name: string; values: readonly string[] }[]
  /** Null stands for an absent value: these are kept in a file. */
  readonly identity: readonly (string | null)[]
  readonly content: { type: readonly string[]; body: string } | null
  readonly varied: readonly { name: string; values: readonly string[] }[]
}

/**
 * Texts that, put together without care, are others: empty ones, parts of each other, tags and lengths as characters.
 */
const text = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom('', 'a', 'b', 'ab', 'ba', 'aa', '\u0001', 'a\u000f\u0001\u0000\u0000b', ';', '\n'),
  },
  { weight: 2, arbitrary: fc.constantFrom('Ā', 'ÿ', '\u0101\u0100', '\ud800', '\udfff', '😀', '\ufffd') },
  { weight: 1, arbitrary: fc.string({ maxLength: 4, unit: 'binary' }) },
)
/** Values of fields are Latin-1, and have no blank at their ends. */
const value = fc.constantFrom('', 'a', 'b', 'a, b', 'a,b', 'ÿ', 'a;b', 'ab')
const named = fc.record({ name: text, values: fc.array(text, { maxLength: 3 }) })
const varied = fc.record({ name: fc.constantFrom('x-a', 'x-b', 'x-ab'), values: fc.array(value, { maxLength: 3 }) })

export const keyParts: fc.Arbitrary<KeyParts> = fc.record({
  scope: fc.record({ namespace: text, route: text, rule: text, policy: text, version: text, backend: text }),
  target: fc.record(
    {
      method: fc.constantFrom('GET', 'HEAD', 'QUERY', 'get'),
      origin: fc.record({
        scheme: fc.constantFrom<('http' | 'https')[]>('http', 'https'),
        host: text,
        port: fc.constantFrom(80, 443, 8080, 0),
      }),
      originalPath: text,
      path: text,
      query: fc.option(text, { nil: undefined }),
      upstreamHost: fc.option(text, { nil: undefined }),
    },
    { requiredKeys: ['method', 'origin', 'originalPath', 'path'] },
  ),
  selectors: fc.array(named, { maxLength: 3 }),
  identity: fc.array(fc.option(text), { maxLength: 3 }),
  content: fc.option(fc.record({ type: fc.array(value, { maxLength: 2 }), body: fc.string({ maxLength: 3 }) })),
  varied: fc.uniqueArray(varied, { maxLength: 2, selector: ({ name }) => name }),
})

const writer = new KeyWriter()

export function keyOf(parts: KeyParts): Buffer {
  const { scope, target, selectors, identity, content, varied } = parts
  writeTarget(writer, keyPrefix(scope), { query: undefined, upstreamHost: undefined, ...target })
  for (const { name, values } of selectors) writeSelector(writer, name, values)
  writeIdentity(
    writer,
    identity.map((each) => each ?? undefined),
  )
  if (content !== null) writeContent(writer, fieldsOf('content-type', content.type), Buffer.from(content.body))
  const request = new Fields()
  for (const { name, values } of varied) for (const each of values) request.add(name, each)
  writeVariant(
    writer,
    varied.map(({ name }) => name),
    request,
  )
  assert.equal(writer.tooLong, false)
  return writer.copy()
}

function fieldsOf(name: string, values: readonly string[]): Fields {
  const fields = new Fields()
  for (const each of values) fields.add(name, each)
  return fields
}

/** A request as one text, the same for those that are the same by the rules: HEAD is as GET, a default port is none. */
function meaning({ scope, target, selectors, identity, content, varied }: KeyParts): string {
  const { method, origin, originalPath, path, query, upstreamHost } = target
  const port = origin.port === (origin.scheme === 'https' ? 443 : 80) ? 'default' : origin.port
  return JSON.stringify([
    [scope.namespace, scope.route, scope.rule, scope.policy, scope.version, scope.backend],
    [method === 'HEAD' ? 'GET' : method, origin.scheme, origin.host, port, originalPath, path],
    [query === undefined ? [] : [query], upstreamHost === undefined ? [] : [upstreamHost], identity],
    selectors.map(({ name, values }) => [name, values]),
    content === null ? null : [content.type, content.body],
    varied.map(({ name, values }) => [name, values]),
  ])
}

/** Throws when two requests that differ have one key, or two that do not have two. */
export function checkKeys([a, b]: readonly [KeyParts, KeyParts]): void {
  const [one, other] = [keyOf(a), keyOf(b)]
  assert.equal(one.equals(other), meaning(a) === meaning(b))
  // A text for people never fails, and the URL is the one that was asked for.
  assert.ok(describeKey(one).startsWith(`${a.target.method === 'HEAD' ? 'GET' : a.target.method} `))
  assert.ok(urlOfKey(one).startsWith(`${a.target.origin.scheme}://${a.target.origin.host}`))
}

/** The same request again, or one in which a single place is another's. */
export const keyPairs: fc.Arbitrary<[KeyParts, KeyParts]> = fc
  .tuple(keyParts, keyParts, fc.nat({ max: 7 }))
  .map(([a, b, which]) => {
    if (which === 7) return [a, b]
    const name = (['scope', 'target', 'selectors', 'identity', 'content', 'varied'] as const)[which]
    return [a, name === undefined ? structuredClone(a) : { ...a, [name]: b[name] }]
  })

export const seeds: readonly (readonly [KeyParts, KeyParts])[] = JSON.parse(
  readFileSync(new URL('cache-key.seeds.json', import.meta.url), 'utf8'),
)

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(keyPairs, checkKeys), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map(([a, b]): [[KeyParts, KeyParts]] => [[a, b]]),
  })
}
