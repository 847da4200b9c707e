/**
 * Effects of an invalid edit. The last good version of an object is still served, but an invalid edit that adds auth,
 * authorization, access or a client certificate closes the rules concerned, and one that withdraws a grant takes effect
 * (security.md, "Stale").
 */
import { isDeepStrictEqual } from 'node:util'
import type { Backend } from '../../api/backend.ts'
import type { Route } from '../../api/route.ts'

type JsonObject = Readonly<Record<string, unknown>>

/** More than a Route can need: a deeper edit is not analysed, and everything is closed. */
const MAX_DEPTH = 24
const MAX_NODES = 200_000

/**
 * Names of the served rules to which the edit adds protection. Any key `auth`, `authorization`, `access` or
 * `clientCertificate` counts, wherever it stands: the mistake may be in a name above it. Rules that the edit only
 * introduces have never been open.
 *
 * @param raw the newest version as it was written
 */
export function closedRules(served: Route, raw: unknown): 'all' | ReadonlySet<string> {
  const spec = fieldsOf(fieldsOf(raw)?.spec)
  if (spec === undefined) return protections(raw).size > 0 ? 'all' : new Set()
  const { rules, ...rest } = spec
  const { rules: servedRules, ...servedRest } = served.spec
  if (adds(servedRest, rest)) return 'all'
  if (!Array.isArray(rules)) return protections(rules).size > 0 ? 'all' : new Set()
  const closed = new Set<string>()
  const kept = new Set<unknown>()
  let renamed = false
  for (const rule of rules as readonly unknown[]) {
    const name = fieldsOf(rule)?.name
    kept.add(name)
    if (typeof name !== 'string') {
      // It is unknown which rule this would protect.
      if (protections(rule).size > 0) return 'all'
      continue
    }
    const before = servedRules.find((one) => one.name === name)
    if (before !== undefined && adds(before, rule)) closed.add(name)
    else if (before === undefined && protections(rule).size > 0) renamed = true
  }
  // A removed rule and an added protected one may be the same rule under another name.
  if (renamed) for (const { name } of servedRules) if (!kept.has(name)) closed.add(name)
  return closed
}

/** Asks for what the served part does not ask for, or no longer lets pass whom that lets pass. */
function adds(served: unknown, edit: unknown): boolean {
  const before = protections(served)
  const after = protections(edit)
  for (const [path, wanted] of after) {
    const had = before.get(path)
    if (had === undefined || wanted.some((entry) => !had.includes(entry))) return true
  }
  const kept = credentials(edit)
  // A part without auth of its own inherits one, so without `anonymous` it may not be open any more.
  for (const [path, had] of credentials(served))
    if (had.some((entry) => (entry === ANYBODY || after.has(path)) && kept.get(path)?.includes(entry) !== true))
      return true
  return issuesToOthers(served, edit)
}

/** Clients or keys of a token issuer were replaced, perhaps because they must not be used any more. */
function issuesToOthers(served: unknown, edit: unknown): boolean {
  const [before, after] = [served, edit].map((rule) => fieldsOf(fieldsOf(rule)?.tokenIssuer))
  if (before === undefined || after === undefined) return false
  return ['issuer', 'signingKeySecretName', 'clientsSecretName'].some((name) => before[name] !== after[name])
}

/** By path: nothing more for `auth`; for others what must not be missing: rules, authorities, lists. */
function protections(part: unknown): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>()
  let nodes = 0
  const walk = (value: unknown, path: string, depth: number): void => {
    if (typeof value !== 'object' || value === null) return
    if (++nodes > MAX_NODES || depth > MAX_DEPTH) {
      found.set('', [])
      return
    }
    for (const [key, inner] of Object.entries(value)) {
      const place = `${path}.${key}`
      if (key === 'auth' && protects(inner)) found.set(place, [])
      else if (key === 'authorization' && entriesOf(inner).length > 0) found.set(place, entriesOf(inner))
      else if (key === 'access' && rangesOf(inner).length > 0) found.set(place, rangesOf(inner))
      else if (key === 'clientCertificate' && inner !== undefined) found.set(place, demandsOf(inner))
      else walk(inner, place, depth + 1)
    }
  }
  walk(part, '', 0)
  return found
}

/**
 * `{ anonymous: {} }` alone asks for no credential. Nothing at all does where its members are indented wrongly and
 * stand beside it.
 */
function protects(auth: unknown): boolean {
  if (auth === undefined) return false
  if (auth === null) return true
  const fields = fieldsOf(auth)
  return fields === undefined || Object.keys(fields).some((key) => key !== 'anonymous')
}

function entriesOf(authorization: unknown): string[] {
  if (authorization === undefined || authorization === null) return []
  const entries: readonly unknown[] = Array.isArray(authorization) ? authorization : [authorization]
  return entries.map((entry) => {
    const { name, ...test } = fieldsOf(entry) ?? { name: entry }
    return JSON.stringify([name, Object.entries(test).sort(([a], [b]) => (a < b ? -1 : 1))])
  })
}

/** Each address range that is denied, and those that alone are allowed: with another list others may pass. */
function rangesOf(access: unknown): string[] {
  const { allow, deny } = fieldsOf(access) ?? { deny: access }
  const denied = (Array.isArray(deny) ? deny : [deny]).filter((range) => range !== undefined && range !== null)
  const ranges = denied.map((range) => `deny ${JSON.stringify(range)}`)
  const alone = Array.isArray(allow) ? allow.map((range) => JSON.stringify(range)).sort() : [JSON.stringify(allow)]
  return allow === undefined || allow === null || alone.length === 0 ? ranges : [...ranges, `allow ${alone.join()}`]
}

const ANYBODY = 'anybody'

/** By path of `auth` and `authorization`: whom it lets pass. */
function credentials(part: unknown): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>()
  let nodes = 0
  const walk = (value: unknown, path: string, depth: number): void => {
    if (typeof value !== 'object' || value === null || ++nodes > MAX_NODES || depth > MAX_DEPTH) return
    for (const [key, inner] of Object.entries(value)) {
      const place = `${path}.${key}`
      if (key === 'auth') found.set(place, methodsOf(inner))
      else if (key === 'authorization') found.set(place, Array.isArray(inner) && inner.length === 0 ? [ANYBODY] : [])
      else walk(inner, place, depth + 1)
    }
  }
  walk(part, '', 0)
  return found
}

/** Other keys, audiences or consumers: whose credential is good is another set. */
function methodsOf(auth: unknown): string[] {
  const { anyOf, anonymous, jwt, apiKey, basic, clientCertificate, external, oidc } = fieldsOf(auth) ?? {}
  if (Array.isArray(anyOf)) return anyOf.flatMap((one) => (fieldsOf(one)?.anyOf === undefined ? methodsOf(one) : []))
  if (anonymous !== undefined) return [ANYBODY]
  const { issuer, audiences, algorithms, keys } = fieldsOf(jwt) ?? {}
  if (jwt !== undefined) return [JSON.stringify([issuer, audiences, algorithms, keys])]
  if (clientCertificate !== undefined) return ['clientCertificate']
  if (external !== undefined) {
    const { backendRef, path, protocol, requestHeaders, failOpen } = fieldsOf(external) ?? {}
    const asks = JSON.stringify(['external', backendRef, path, protocol, requestHeaders])
    return failOpen === true ? [asks, `${asks} or nobody`] : [asks]
  }
  if (oidc !== undefined) return [JSON.stringify(['oidc', fieldsOf(oidc)?.secretName])]
  if (basic !== undefined) return [JSON.stringify(['basic', fieldsOf(basic)?.secretName])]
  return [JSON.stringify([fieldsOf(apiKey)?.secretName])]
}

/** Other authorities, a list of revoked certificates or a stricter mode: who may connect by the edit is another set. */
function demandsOf(clientCertificate: unknown): string[] {
  const { mode, ...others } = fieldsOf(clientCertificate) ?? {}
  const demands = Object.entries(others).map(([key, value]) => `${key} ${JSON.stringify(value)}`)
  return mode === 'Optional' ? demands : [...demands, 'required']
}

/** The served Route without the delegates that the edit has removed. */
export function withoutWithdrawnDelegates(served: Route, raw: unknown): Route {
  const { delegates = [] } = served.spec
  const wanted = fieldsOf(fieldsOf(raw)?.spec)?.delegates
  const still: readonly unknown[] = Array.isArray(wanted) ? wanted : []
  const kept = delegates.filter((delegate) =>
    still.some((entry) => isDeepStrictEqual(plainData(entry), plainData(delegate))),
  )
  return kept.length === delegates.length ? served : { ...served, spec: { ...served.spec, delegates: kept } }
}

/** The served Backend without the namespaces that the edit no longer allows. */
export function withoutWithdrawnNamespaces(served: Backend, raw: unknown): Backend {
  const before = served.spec.allowedNamespaces
  const now = fieldsOf(fieldsOf(fieldsOf(raw)?.spec)?.allowedNamespaces)
  if (before.from === 'Same' || now?.from === 'All') return served
  const names = Array.isArray(now?.names) && now.from === 'Names' ? (now.names as readonly unknown[]) : []
  const kept = names.filter(
    (name) => typeof name === 'string' && (before.from === 'All' || before.names?.includes(name)),
  )
  const allowedNamespaces: typeof before =
    kept.length === 0 ? { from: 'Same' } : { from: 'Names', names: kept as readonly string[] }
  if (isDeepStrictEqual(before, allowedNamespaces)) return served
  return { ...served, spec: { ...served.spec, allowedNamespaces } }
}

/** The served Backend, which accepts any certificate only as long as the edit does. */
export function withoutWithdrawnLeniency(served: Backend, raw: unknown): Backend {
  const { tls } = served.spec
  if (tls?.insecureSkipVerify !== true) return served
  const now = fieldsOf(fieldsOf(fieldsOf(raw)?.spec)?.tls)
  if (now?.insecureSkipVerify === true) return served
  return { ...served, spec: { ...served.spec, tls: { ...tls, insecureSkipVerify: false } } }
}

function fieldsOf(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined
}

/** Removes the prototypes by which parsed and validated objects differ. */
function plainData(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null))
}
