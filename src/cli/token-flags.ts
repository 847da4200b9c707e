/** Arguments of `headgate token`. */
import { duration, oneOf, type ParsedInput, UsageError } from './flag-values.ts'

export interface TokenKeyCommand {
  readonly name: 'token'
  readonly what: 'key'
  readonly algorithm: 'ES256' | 'EdDSA' | 'RS256'
  /** Milliseconds from now until it signs. */
  readonly startsIn: number
  readonly output: TokenOutput
  readonly secret: SecretName
}

export interface TokenClientCommand {
  readonly name: 'token'
  readonly what: 'client'
  readonly client: string
  readonly audiences: readonly string[]
  readonly scopes: readonly string[]
  readonly refresh: boolean
  readonly introspect: boolean
  readonly output: TokenOutput
  readonly secret: SecretName
}

export interface TokenHashCommand {
  readonly name: 'token'
  readonly what: 'hash'
  /** Of a random secret instead of one from standard input. */
  readonly random: boolean
}

export type TokenCommand = TokenKeyCommand | TokenClientCommand | TokenHashCommand

/** `entry`: a line of `stringData`, for a Secret that is there. */
export type TokenOutput = 'secret' | 'entry'

export interface SecretName {
  readonly name: string
  readonly namespace?: string
}

export const TOKEN_FLAGS = {
  algorithm: { type: 'string' },
  'starts-in': { type: 'string' },
  audience: { type: 'string' },
  scope: { type: 'string' },
  refresh: { type: 'boolean' },
  introspect: { type: 'boolean' },
  random: { type: 'boolean' },
  secret: { type: 'string' },
  namespace: { type: 'string' },
} as const

const WHAT = ['key', 'client', 'hash'] as const

/** Flags besides these are refused: one that has no effect would look as if it had. */
const OWN: Readonly<Record<(typeof WHAT)[number], readonly string[]>> = {
  key: ['algorithm', 'starts-in', 'secret', 'namespace', 'output'],
  client: ['audience', 'scope', 'refresh', 'introspect', 'secret', 'namespace', 'output'],
  hash: ['random'],
}

/** What a key of a Secret may be called. */
const CLIENT_ID = /^[-._a-zA-Z0-9]{1,253}$/

const QUARTER_OF_AN_HOUR = 900_000

/** @throws {UsageError} */
export function parseToken(input: ParsedInput): TokenCommand {
  const { values, rest } = input
  const [what, client, ...more] = rest
  if (!isOneOf(what)) throw new UsageError(`Name what to make: headgate token ${WHAT.join(', or headgate token ')}`)
  const foreign = Object.keys(values).find((flag) => !OWN[what].includes(flag))
  if (foreign !== undefined) throw new UsageError(`headgate token ${what} has no flag --${foreign}.`)
  const extra = what === 'client' ? more[0] : client
  if (extra !== undefined) throw new UsageError(`headgate token ${what} takes no "${extra}"; remove it.`)
  if (what === 'hash') return { name: 'token', what, random: values.random === 'true' }
  const output = oneOf(input, 'output', ['secret', 'entry'], 'secret')
  if (what === 'key') {
    const algorithm = oneOf(input, 'algorithm', ['ES256', 'EdDSA', 'RS256'], 'ES256')
    const startsIn = duration(input, 'starts-in', QUARTER_OF_AN_HOUR)
    return { name: 'token', what, algorithm, startsIn, output, secret: secretOf(input, 'issuer-keys') }
  }
  if (client === undefined || !CLIENT_ID.test(client))
    throw new UsageError('Name the client, with letters, digits, -, _ and dots: headgate token client billing')
  const audiences = wordsOf(values.audience, /[, ]+/)
  if (audiences.length === 0) throw new UsageError('--audience says what the tokens are for: --audience orders,billing')
  return {
    ...{ name: 'token', what, client, audiences, output },
    scopes: wordsOf(values.scope, / +/),
    refresh: values.refresh === 'true',
    introspect: values.introspect === 'true',
    secret: secretOf(input, 'issuer-clients'),
  }
}

function isOneOf(what: string | undefined): what is (typeof WHAT)[number] {
  return (WHAT as readonly (string | undefined)[]).includes(what)
}

function wordsOf(text: string | undefined, separator: RegExp): readonly string[] {
  return (text ?? '').split(separator).filter((word) => word !== '')
}

function secretOf({ values: { secret, namespace } }: ParsedInput, none: string): SecretName {
  return { name: secret ?? none, ...(namespace === undefined ? {} : { namespace }) }
}
