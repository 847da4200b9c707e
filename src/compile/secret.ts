/** Reads one Secret of our types: whether what it holds can be used, and what is delivered of it. */
import type { Secret } from '../api/kubernetes.ts'
import { parseApiKeys, writeApiKeys } from '../auth/api-keys.ts'
import { parseUsers, writeUsers } from '../auth/htpasswd.ts'
import { parseOAuthClients, writeOAuthClients } from '../auth/oauth-clients.ts'
import { type OidcClient, readOidcClient, writePublicClient } from '../auth/oidc-client.ts'
import { parseSigningKeys, type SigningKeys, writeSigningKeys } from '../auth/signing-keys.ts'
import {
  type KeysReading,
  MAX_KEY_TEXT,
  MAX_SECRET_BYTES,
  readKeySet,
  readPublicKeys,
  readSharedSecret,
} from '../auth/verification-keys.ts'
import type { Milliseconds } from '../lib/clock.ts'
import {
  API_KEYS_SECRET,
  CA_SECRET,
  CRL_SECRET,
  HTPASSWD_SECRET,
  JWKS_SECRET,
  JWT_KEY_SECRET,
  OAUTH_CLIENTS_SECRET,
  OIDC_CLIENT_SECRET,
  REDIS_SECRET,
  SIGNING_KEYS_SECRET,
  secretKeysOf,
  TICKET_KEY_SECRET,
  TLS_SECRET,
} from '../policy/secret-types.ts'
import { MAX_AUTHORITY_BYTES, MAX_LIST_BYTES, readAuthorities, readRevocationLists } from '../tls/authorities.ts'
import { type CertificateFacts, MAX_CHAIN_BYTES, MAX_KEY_BYTES, readCertificatePair } from '../tls/certificate.ts'
import type { SecretSummary, Validity } from './resource-set.ts'

export interface SecretReading {
  /** By key. Of a certificate: what a handshake needs, without anything else that stands in the Secret. */
  readonly contents: ReadonlyMap<string, Uint8Array>
  readonly facts: SecretFacts
  /** Of a Secret with keys that sign tokens: from when each of them does depends on when it was added. */
  readonly signingKeys?: SigningKeys
  /** Of a client of a provider: what the thread needs that calls the provider, and no worker. */
  readonly oidcClient?: OidcClient
}

export interface SecretFacts {
  readonly certificate?: CertificateFacts
  /** Subjects of a bundle of authorities. */
  readonly authorities?: readonly string[]
  /** Issuers of revocation lists. */
  readonly issuers?: readonly string[]
  /** Milliseconds since the epoch: the time in which it can be used. */
  readonly notBefore: number
  readonly notAfter: number
}

/** What the compiler and statuses know of it. @param now milliseconds since the epoch */
export function secretSummary(
  reading: SecretReading | undefined,
  fault: string | undefined,
  now: number,
): SecretSummary {
  return {
    ...reading?.facts,
    ...(reading === undefined ? {} : { validity: validityAt(now, reading.facts) }),
    ...(fault === undefined ? {} : { fault }),
  }
}

const DAY = 86_400_000
/** Issuers renew weeks before the end: what is left then has been forgotten, or cannot be renewed. */
const SOON: Milliseconds = 14 * DAY

export function validityAt(
  now: number,
  { notBefore, notAfter }: Pick<SecretFacts, 'notBefore' | 'notAfter'>,
): Validity {
  if (now < notBefore) return 'NotYetValid'
  if (now > notAfter) return 'Expired'
  return notAfter - now < SOON ? 'ExpiresSoon' : 'Valid'
}

/** A clause: what is wrong and what to do. */
export interface SecretFault {
  readonly fault: string
}

/** A response of a responder has some 500 bytes, with its certificate some 2,000. */
const MAX_OCSP_BYTES = 16_384
const MIN_TICKET_KEY_BYTES = 32
const MAX_TICKET_KEY_BYTES = 4_096

/** @returns undefined when it is of none of these types */
export function readSecret({ type, data }: Pick<Secret, 'type' | 'data'>): SecretReading | SecretFault | undefined {
  const missing = secretKeysOf(type)?.required.find((key) => !Object.hasOwn(data, key))
  if (missing !== undefined) return { fault: `it has no key ${missing}; add it` }
  switch (type) {
    case TLS_SECRET.type:
      return readCertificate(data)
    case CA_SECRET.type:
      return readAuthority(data)
    case CRL_SECRET.type:
      return readLists(data)
    case TICKET_KEY_SECRET.type:
      return readTicketKey(data)
    case JWT_KEY_SECRET.type:
      return readTokenKeys(data)
    case JWKS_SECRET.type:
      return readTokenKeySet(data)
    case HTPASSWD_SECRET.type:
      return readPasswords(data)
    case API_KEYS_SECRET.type:
      return readKeysOfConsumers(data)
    case REDIS_SECRET.type:
      return readRedisCredentials(data)
    case SIGNING_KEYS_SECRET.type:
      return readSigners(data)
    case OAUTH_CLIENTS_SECRET.type:
      return readClients(data)
    case OIDC_CLIENT_SECRET.type:
      return readProviderClient(data)
    default:
      return undefined
  }
}

type Data = Secret['data']

function readCertificate(data: Data): SecretReading | SecretFault {
  const { certificate, key, ocsp } = TLS_SECRET
  const read = readCertificatePair(textOf(data, certificate, MAX_CHAIN_BYTES), textOf(data, key, MAX_KEY_BYTES))
  if ('fault' in read) return read
  const contents = new Map([
    [certificate as string, shared(read.chain)],
    [key, shared(read.key)],
  ])
  const staple = Object.hasOwn(data, ocsp) ? Buffer.from(data[ocsp]!, 'base64') : undefined
  if (staple !== undefined && staple.length > 0 && staple.length <= MAX_OCSP_BYTES) contents.set(ocsp, shared(staple))
  const { notBefore, notAfter } = read.facts
  return { contents, facts: { certificate: read.facts, notBefore, notAfter } }
}

function readAuthority(data: Data): SecretReading | SecretFault {
  const read = readAuthorities(textOf(data, CA_SECRET.key, MAX_AUTHORITY_BYTES))
  if ('fault' in read) return { fault: `${read.fault}; store the certificates of the authorities in PEM` }
  const { pem, subjects, notAfter } = read
  return {
    contents: new Map([[CA_SECRET.key, shared(pem)]]),
    facts: { authorities: subjects, notBefore: ALWAYS, notAfter },
  }
}

function readLists(data: Data): SecretReading | SecretFault {
  const read = readRevocationLists(textOf(data, CRL_SECRET.key, MAX_LIST_BYTES))
  if ('fault' in read) return { fault: `${read.fault}; store a list of each authority in PEM` }
  const { pem, issuers, nextUpdate } = read
  return {
    contents: new Map([[CRL_SECRET.key, shared(pem)]]),
    facts: { issuers, notBefore: ALWAYS, notAfter: nextUpdate },
  }
}

function readTicketKey(data: Data): SecretReading | SecretFault {
  const bytes = Buffer.from(data[TICKET_KEY_SECRET.key]!.slice(0, 2 * MAX_TICKET_KEY_BYTES), 'base64')
  if (bytes.length < MIN_TICKET_KEY_BYTES || bytes.length > MAX_TICKET_KEY_BYTES)
    return {
      fault: `its key has to have ${MIN_TICKET_KEY_BYTES} to ${MAX_TICKET_KEY_BYTES} random bytes; make a new one`,
    }
  return {
    contents: new Map([[TICKET_KEY_SECRET.key, shared(bytes)]]),
    facts: FOR_EVER,
  }
}

/** Public keys, a shared one, or both, for different rules. */
function readTokenKeys(data: Data): SecretReading | SecretFault {
  const { publicKey, secret } = JWT_KEY_SECRET
  const contents = new Map<string, Uint8Array>()
  if (Object.hasOwn(data, publicKey)) {
    const text = textOf(data, publicKey, MAX_KEY_TEXT)
    const fault = keysFault(readPublicKeys(text), publicKey)
    if (fault !== undefined) return fault
    contents.set(publicKey, shared(text))
  }
  if (Object.hasOwn(data, secret)) {
    const bytes = Buffer.from(data[secret]!.slice(0, 2 * MAX_SECRET_BYTES), 'base64')
    const fault = keysFault(readSharedSecret(bytes), secret)
    if (fault !== undefined) return fault
    contents.set(secret, shared(bytes))
  }
  if (contents.size === 0) return { fault: `it has neither a key ${publicKey} nor a key ${secret}; add one` }
  return { contents, facts: FOR_EVER }
}

function readTokenKeySet(data: Data): SecretReading | SecretFault {
  const text = textOf(data, JWKS_SECRET.key, MAX_KEY_TEXT)
  const fault = keysFault(readKeySet(Buffer.from(text, 'latin1').toString('utf8')), JWKS_SECRET.key)
  return fault ?? { contents: new Map([[JWKS_SECRET.key, shared(text)]]), facts: FOR_EVER }
}

function readPasswords(data: Data): SecretReading | SecretFault {
  const users = parseUsers(Buffer.from(data[HTPASSWD_SECRET.key]!, 'base64').toString('utf8'))
  if ('fault' in users) return { fault: `${HTPASSWD_SECRET.key} cannot be used: ${users.fault}` }
  return {
    contents: new Map([[HTPASSWD_SECRET.key, shared(Buffer.from(writeUsers(users)))]]),
    facts: FOR_EVER,
  }
}

/** Delivered as one content: the names of its keys are consumers, which no policy names. */
function readKeysOfConsumers(data: Data): SecretReading | SecretFault {
  const keys = parseApiKeys(textsOf(data))
  if ('fault' in keys) return keys
  return { contents: new Map([[API_KEYS_SECRET.all, shared(Buffer.from(writeApiKeys(keys)))]]), facts: FOR_EVER }
}

const MAX_REDIS_BYTES = 1_024

function readRedisCredentials(data: Data): SecretReading | SecretFault {
  const { username, password, sentinelUsername, sentinelPassword } = REDIS_SECRET
  const contents = new Map<string, Uint8Array>()
  for (const key of [username, password, sentinelUsername, sentinelPassword]) {
    if (!Object.hasOwn(data, key)) continue
    const bytes = Buffer.from(data[key]!.slice(0, 2 * MAX_REDIS_BYTES), 'base64')
    if (bytes.length > MAX_REDIS_BYTES) return { fault: `${key} has more than ${MAX_REDIS_BYTES} bytes` }
    if (key === password && bytes.length === 0) return { fault: `${key} is empty; store the password` }
    contents.set(key, shared(bytes))
  }
  return { contents, facts: FOR_EVER }
}

function readSigners(data: Data): SecretReading | SecretFault {
  const keys = parseSigningKeys(textsOf(data))
  return 'fault' in keys ? keys : signersReading(keys)
}

export function signersReading(keys: SigningKeys): SecretReading {
  const content = shared(Buffer.from(writeSigningKeys(keys)))
  return { contents: new Map([[SIGNING_KEYS_SECRET.all, content]]), facts: FOR_EVER, signingKeys: keys }
}

function readClients(data: Data): SecretReading | SecretFault {
  const clients = parseOAuthClients(textsOf(data))
  if ('fault' in clients) return clients
  const content = shared(Buffer.from(writeOAuthClients(clients)))
  return { contents: new Map([[OAUTH_CLIENTS_SECRET.all, content]]), facts: FOR_EVER }
}

/** Workers get neither secret. */
function readProviderClient(data: Data): SecretReading | SecretFault {
  const read = readOidcClient((key) =>
    Object.hasOwn(data, key) ? Buffer.from(data[key]!, 'base64').toString('latin1') : undefined,
  )
  if ('fault' in read) return read
  const content = shared(Buffer.from(writePublicClient(read)))
  return { contents: new Map([[OIDC_CLIENT_SECRET.all, content]]), facts: FOR_EVER, oidcClient: read }
}

function* textsOf(data: Data): Generator<readonly [string, string]> {
  for (const [key, text] of Object.entries(data)) yield [key, Buffer.from(text, 'base64').toString('utf8')]
}

function keysFault(reading: KeysReading, key: string): SecretFault | undefined {
  return 'fault' in reading ? { fault: `${key} cannot be used: ${reading.fault}` } : undefined
}

const ALWAYS = Number.NEGATIVE_INFINITY
const FOR_EVER = { notBefore: ALWAYS, notAfter: Number.POSITIVE_INFINITY } as const

/** One byte a character, and one more than may be there where there is more. */
function textOf(data: Data, key: string, most: number): string {
  const encoded = data[key]!
  // Line breaks may stand in Base64.
  if (encoded.length > 2 * most) return ' '.repeat(most + 1)
  return Buffer.from(encoded, 'base64').toString('latin1')
}

/** In memory that exists once for all threads. */
function shared(content: string | Uint8Array): Uint8Array {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}
