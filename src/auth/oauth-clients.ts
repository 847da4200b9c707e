/**
 * Clients of the token issuer as a Secret lists them: by client id a JSON object with the digests of its secrets or its
 * public keys, and what it may ask for. Names are those of RFC 7591 where it has one.
 */
import { type ClientSecret, parseClientSecret } from './client-secret.ts'
import { parseUniqueObject } from './unique-members.ts'
import { type KeysReading, readKeySet, type VerificationKey } from './verification-keys.ts'

export const GRANT_TYPES = {
  clientCredentials: 'client_credentials',
  refreshToken: 'refresh_token',
  jwtBearer: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
} as const
export type GrantType = (typeof GRANT_TYPES)[keyof typeof GRANT_TYPES]

const ALL_GRANT_TYPES: ReadonlySet<unknown> = new Set(Object.values(GRANT_TYPES))

export interface OAuthClient {
  readonly id: string
  readonly secrets: readonly ClientSecret[]
  /** Of assertions by which it proves who it is (RFC 7523 §2.2). */
  readonly keys: readonly VerificationKey[]
  readonly grantTypes: readonly GrantType[]
  /** All that it may be granted. */
  readonly scopes: readonly string[]
  /** All that its tokens may be for. */
  readonly audiences: readonly string[]
  /** Whose assertions it may present as a grant (RFC 7523 §2.1). */
  readonly assertionIssuers: readonly AssertionIssuer[]
  /** It may introspect tokens of other clients. */
  readonly introspects: boolean
}

export interface AssertionIssuer {
  readonly issuer: string
  readonly keys: readonly VerificationKey[]
}

export interface OAuthClientsFault {
  /** A clause: what is wrong and what to do. It never has a part of a secret. */
  readonly fault: string
}

/** Of one Secret, which has a megabyte at most. */
export const MAX_CLIENTS = 2_000
/** Keys in one Secret: each takes some 0.2 ms of the control thread to read. */
const MAX_KEYS_IN_ALL = 256
const MAX_KEYS_PER_SET = 8
const MAX_SECRETS = 4
const MAX_SCOPES = 100
const MAX_AUDIENCES = 32
const MAX_ISSUERS = 8
const MAX_TEXT = 16_384

/** RFC 6749 §3.3. */
const SCOPE = /^[!#-[\]-~]{1,128}$/
const AUDIENCE = /^[!-~]{1,512}$/
const ISSUER = /^https:\/\/[!-~]{1,504}$/

/** What a client looks like in the Secret, and in the form that workers get. */
interface ClientDocument {
  readonly client_secret_hashes: readonly string[]
  readonly jwks: object | undefined
  readonly grant_types: readonly GrantType[]
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  readonly assertion_issuers: readonly { readonly issuer: string; readonly jwks: object }[]
  readonly introspects: boolean
}

export type ClientDocuments = ReadonlyMap<string, ClientDocument>

/** @param entries client id and JSON of each */
export function parseOAuthClients(entries: Iterable<readonly [string, string]>): ClientDocuments | OAuthClientsFault {
  const clients = new Map<string, ClientDocument>()
  let keys = 0
  for (const [id, text] of entries) {
    if (clients.size === MAX_CLIENTS) return { fault: `it has more than ${MAX_CLIENTS} clients; use several Secrets` }
    const read = readClient(text)
    if (typeof read === 'string') return { fault: `client ${id} ${read}` }
    keys += keysIn(read)
    if (keys > MAX_KEYS_IN_ALL) return { fault: `it has more than ${MAX_KEYS_IN_ALL} keys; use several Secrets` }
    const fault = faultOf(read)
    if (fault !== undefined) return { fault: `client ${id} ${fault}` }
    clients.set(id, read)
  }
  if (clients.size === 0) return { fault: 'it has no client; add one that headgate token client makes' }
  return clients
}

const MEMBERS: ReadonlySet<string> = new Set([
  ...['client_secret_hashes', 'jwks', 'grant_types', 'scope', 'audience', 'assertion_issuers', 'introspect'],
])

/** @returns what is wrong, as the end of a sentence about the client */
function readClient(text: string): ClientDocument | string {
  const value = text.length > MAX_TEXT ? undefined : parseUniqueObject(text)
  if (value === undefined) return `is no JSON object of at most ${MAX_TEXT} characters whose members are there once`
  const unknown = Object.keys(value).find((name) => !MEMBERS.has(name))
  if (unknown !== undefined)
    return `has ${JSON.stringify(unknown.slice(0, 64))}, which is none of ${[...MEMBERS].join(', ')}`
  const { client_secret_hashes: hashes = [], jwks, grant_types: grants = [GRANT_TYPES.clientCredentials] } = value
  const { scope = '', audience, assertion_issuers: issuers = [], introspect = false } = value
  const scopes = typeof scope === 'string' ? scope.split(' ').filter((one) => one !== '') : undefined
  const audiences = typeof audience === 'string' ? [audience] : audience
  if (!isList(hashes, MAX_SECRETS)) return `has no list of at most ${MAX_SECRETS} texts in client_secret_hashes`
  if (!isList(grants, ALL_GRANT_TYPES.size) || !grants.every((grant) => ALL_GRANT_TYPES.has(grant)))
    return `has grant_types that are not among ${[...ALL_GRANT_TYPES].join(', ')}`
  if (scopes === undefined || scopes.length > MAX_SCOPES || !scopes.every((one) => SCOPE.test(one)))
    return `has no scope that is a text of at most ${MAX_SCOPES} words`
  if (!isList(audiences, MAX_AUDIENCES) || audiences.length === 0 || !audiences.every((one) => AUDIENCE.test(one)))
    return `has no audience: a text, or a list of at most ${MAX_AUDIENCES}, that says what its tokens are for`
  if (typeof introspect !== 'boolean') return 'has an introspect that is neither true nor false'
  const trusted = readIssuers(issuers)
  if (typeof trusted === 'string') return trusted
  const document: ClientDocument = {
    client_secret_hashes: hashes,
    jwks: typeof jwks === 'object' && jwks !== null ? jwks : undefined,
    grant_types: [...new Set(grants)] as GrantType[],
    scopes: [...new Set(scopes)],
    audiences: [...new Set(audiences)],
    assertion_issuers: trusted,
    introspects: introspect,
  }
  return jwks === document.jwks ? document : 'has a jwks that is no JSON Web Key Set'
}

function keysIn({ jwks, assertion_issuers: issuers }: ClientDocument): number {
  const sets = [...(jwks === undefined ? [] : [jwks]), ...issuers.map((one) => one.jwks)] as {
    readonly keys?: unknown
  }[]
  return sets.reduce((sum, { keys }) => sum + (Array.isArray(keys) ? keys.length : 0), 0)
}

function isList(value: unknown, most: number): value is readonly string[] {
  return Array.isArray(value) && value.length <= most && value.every((one) => typeof one === 'string')
}

function readIssuers(value: unknown): ClientDocument['assertion_issuers'] | string {
  if (!Array.isArray(value) || value.length > MAX_ISSUERS)
    return `has no list of at most ${MAX_ISSUERS} in assertion_issuers`
  const names = new Set<string>()
  for (const one of value as readonly unknown[]) {
    const { issuer, jwks, ...rest } = (typeof one === 'object' && one !== null ? one : {}) as Record<string, unknown>
    if (typeof issuer !== 'string' || !ISSUER.test(issuer) || names.has(issuer) || Object.keys(rest).length > 0)
      return 'has an entry of assertion_issuers that is not issuer (an https URL of its own) and jwks'
    if (typeof jwks !== 'object' || jwks === null) return `has no jwks for the assertions of ${issuer}`
    names.add(issuer)
  }
  return value as ClientDocument['assertion_issuers']
}

/** What is wrong beyond the form. */
function faultOf(document: ClientDocument): string | undefined {
  const { client_secret_hashes: hashes, jwks, grant_types: grants, assertion_issuers: issuers } = document
  for (const [i, text] of hashes.entries()) {
    const secret = parseClientSecret(text)
    if (typeof secret === 'string') return `has an entry ${i + 1} of client_secret_hashes that ${secret}`
  }
  if (hashes.length === 0 && jwks === undefined) return 'cannot prove who it is: give it client_secret_hashes or a jwks'
  const own = jwks === undefined ? undefined : keysFault(readKeys(jwks))
  if (own !== undefined) return `has a jwks that cannot be used: ${own}`
  for (const { issuer, jwks: keys } of issuers) {
    const fault = keysFault(readKeys(keys))
    if (fault !== undefined) return `has keys of ${issuer} that cannot be used: ${fault}`
  }
  if (grants.includes(GRANT_TYPES.jwtBearer) !== issuers.length > 0)
    return `has only one of ${GRANT_TYPES.jwtBearer} in grant_types and assertion_issuers; state both or neither`
  return undefined
}

function readKeys(jwks: object): KeysReading {
  const { keys } = jwks as { readonly keys?: unknown }
  if (Array.isArray(keys) && keys.length > MAX_KEYS_PER_SET)
    return { fault: `it has more than ${MAX_KEYS_PER_SET} keys` }
  return readKeySet(JSON.stringify(jwks))
}

function keysFault(reading: KeysReading): string | undefined {
  return 'fault' in reading ? reading.fault : undefined
}

/** The form in which workers get them. */
export function writeOAuthClients(clients: ClientDocuments): string {
  return JSON.stringify([...clients])
}

/** By client id. */
export class OAuthClients {
  readonly #documents: ClientDocuments
  /** Those that have come; keys take long to read. */
  readonly #read = new Map<string, OAuthClient>()

  /** @param text of {@link writeOAuthClients} */
  constructor(text: string) {
    this.#documents = new Map(JSON.parse(text) as [string, ClientDocument][])
  }

  has(id: string): boolean {
    return this.#documents.has(id)
  }

  get(id: string): OAuthClient | undefined {
    const known = this.#read.get(id)
    const document = known === undefined ? this.#documents.get(id) : undefined
    if (document === undefined) return known
    const client = clientOf(id, document)
    this.#read.set(id, client)
    return client
  }
}

function clientOf(id: string, document: ClientDocument): OAuthClient {
  return {
    id,
    secrets: document.client_secret_hashes.flatMap((text) => {
      const secret = parseClientSecret(text)
      return typeof secret === 'string' ? [] : [secret]
    }),
    keys: document.jwks === undefined ? [] : keysOf(document.jwks),
    grantTypes: document.grant_types,
    scopes: document.scopes,
    audiences: document.audiences,
    assertionIssuers: document.assertion_issuers.map(({ issuer, jwks }) => ({ issuer, keys: keysOf(jwks) })),
    introspects: document.introspects,
  }
}

function keysOf(jwks: object): readonly VerificationKey[] {
  const reading = readKeys(jwks)
  return 'fault' in reading ? [] : reading.keys
}
