/** `auth.external`: what a user writes, what of it a worker gets, and what it refers to. */
import { parseDuration } from '../../lib/quantity.ts'
import { type BackendName, backendIdOf, backendReferences } from '../backend-ref.ts'
import type { PolicyPlace, PolicyProblem, PolicyReference } from '../definition.ts'
import { checkFieldName } from '../header-edits/field-names.ts'
import { checkTemplate } from '../variables.ts'
import type { ExternalPlan, SignInPlan } from './plan.ts'

/** As it stands in a document. */
export interface ExternalValue {
  readonly backendRef: BackendName
  readonly path?: string
  readonly protocol?: 'HTTP' | 'GRPC'
  readonly requestHeaders?: readonly string[]
  readonly responseHeaders?: readonly string[]
  readonly clientHeaders?: readonly string[]
  readonly signIn?: SignInPlan
  readonly timeout?: string
  readonly failOpen?: boolean
  readonly cache?: { readonly ttl: string; readonly by: readonly string[] }
}

const DEFAULT_TIMEOUT = '5s'
const DEFAULT_REQUEST_HEADERS = ['authorization', 'cookie']
const DEFAULT_CLIENT_HEADERS = ['set-cookie']

/** What the gateway tells the service itself. */
const TOLD = /^x[-_]original[-_](method|uri|url|host)$/

export function* checkExternal(value: ExternalValue, place: PolicyPlace): Generator<PolicyProblem> {
  const { backendRef, path, protocol = 'HTTP', timeout, cache, signIn } = value
  if (place === 'Settings' && (backendRef.name === undefined || backendRef.namespace === undefined))
    yield { path: ['backendRef'], message: 'in the settings, state name and namespace of a Backend' }
  if (protocol === 'GRPC' && path !== undefined)
    yield { path: ['path'], message: 'is that of the method Check in gRPC; leave it out' }
  if (timeout !== undefined && parseDuration(timeout) === 0)
    yield { path: ['timeout'], message: 'has to be longer than 0s: requests wait for the answer' }
  if (cache !== undefined && parseDuration(cache.ttl) === 0)
    yield { path: ['cache', 'ttl'], message: 'is 0s, which keeps nothing; leave cache out' }
  for (const [i, selector] of (cache?.by ?? []).entries()) {
    const problem = /^(claim:|consumer$)/.test(selector)
      ? 'is known only behind the answer of the service; use what the request has'
      : checkTemplate(`%{${selector}}`)
    if (problem !== undefined) yield { path: ['cache', 'by', i], message: problem }
  }
  for (const field of ['requestHeaders', 'responseHeaders', 'clientHeaders'] as const)
    yield* checkHeaders(field, value[field] ?? [])
  if (signIn !== undefined) yield* checkSignIn(signIn)
}

function* checkHeaders(
  field: 'requestHeaders' | 'responseHeaders' | 'clientHeaders',
  names: readonly string[],
): Generator<PolicyProblem> {
  for (const [i, written] of names.entries()) {
    const name = written.toLowerCase()
    const problem = checkFieldName(name)
    if (problem !== undefined) yield { path: [field, i], message: problem }
    else if (field === 'requestHeaders' && TOLD.test(name))
      yield { path: [field, i], message: 'is what the service is told in any case; leave it out' }
  }
}

function* checkSignIn({ url, returnParam }: SignInPlan): Generator<PolicyProblem> {
  if (url.startsWith('//'))
    yield { path: ['signIn', 'url'], message: 'begins with //, the name of a host without a scheme; write https://' }
  if (url.includes('#'))
    yield { path: ['signIn', 'url'], message: 'has a fragment, behind which no parameter can stand; leave it out' }
  if (returnParam !== undefined && !/^[A-Za-z0-9._~-]+$/.test(returnParam))
    yield { path: ['signIn', 'returnParam'], message: 'is made of letters, digits and . _ ~ -' }
}

export function planExternal(value: ExternalValue, namespace: string | undefined): ExternalPlan {
  const { backendRef, path = '/', protocol = 'HTTP', signIn, failOpen = false, cache } = value
  const lower = (names: readonly string[]) => names.map((name) => name.toLowerCase())
  return {
    backend: backendIdOf(backendRef, namespace),
    from: namespace,
    protocol,
    path,
    requestHeaders: lower(value.requestHeaders ?? DEFAULT_REQUEST_HEADERS),
    responseHeaders: lower(value.responseHeaders ?? []),
    clientHeaders: lower(value.clientHeaders ?? DEFAULT_CLIENT_HEADERS),
    ...(signIn === undefined ? {} : { signIn }),
    timeout: parseDuration(value.timeout ?? DEFAULT_TIMEOUT),
    failOpen,
    ...(cache === undefined ? {} : { cache: { ttl: parseDuration(cache.ttl), by: cache.by } }),
  }
}

export function externalReferences(external: unknown): Iterable<PolicyReference> {
  return backendReferences((external as Partial<ExternalValue> | null | undefined)?.backendRef)
}
