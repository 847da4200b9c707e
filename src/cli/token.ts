/** `headgate token`: what goes into the Secrets of a token issuer and of API keys. */
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { writeClientSecret } from '../auth/client-secret.ts'
import { GRANT_TYPES, parseOAuthClients } from '../auth/oauth-clients.ts'
import { parseSigningKeys } from '../auth/signing-keys.ts'
import { OAUTH_CLIENTS_SECRET, SIGNING_KEYS_SECRET } from '../policy/secret-types.ts'
import type { CommandIo } from './io.ts'
import type { SecretName, TokenClientCommand, TokenCommand, TokenKeyCommand, TokenOutput } from './token-flags.ts'

export interface TokenIo extends CommandIo {
  /** The whole of standard input. */
  in(): string
}

/** Of a secret that somebody brings along: less can be guessed, and its hash is not a slow one. */
const MIN_SECRET = 20
const SECRET_BYTES = 32

/** @param now milliseconds since the epoch @returns the exit code */
export function makeTokenSecrets(command: TokenCommand, io: TokenIo, now: number): number {
  if (command.what === 'key') return makeKey(command, io, now)
  return command.what === 'client' ? makeClient(command, io) : hashSecret(command.random, io)
}

const random = (): string => randomBytes(SECRET_BYTES).toString('base64url')

function hashSecret(ofRandom: boolean, io: TokenIo): number {
  const secret = ofRandom ? random() : io.in().replace(/\r?\n$/, '')
  if (secret.length < MIN_SECRET || /\s/.test(secret)) {
    io.err(
      `The secret on standard input has fewer than ${MIN_SECRET} characters or white space in it, so somebody can guess it.\nMake a random one: headgate token hash --random\n`,
    )
    return 1
  }
  if (ofRandom) io.err(`The secret, which is shown this once: ${secret}\n`)
  io.out(`${writeClientSecret(secret)}\n`)
  return 0
}

const PAIRS: Readonly<Record<TokenKeyCommand['algorithm'], () => KeyObject>> = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  EdDSA: () => generateKeyPairSync('ed25519').privateKey,
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey,
}

function makeKey({ algorithm, startsIn, output, secret }: TokenKeyCommand, io: CommandIo, now: number): number {
  const from = new Date(Math.ceil((now + startsIn) / 1_000) * 1_000)
  const name = `${from
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '')}.pem`
  const pem = PAIRS[algorithm]().export({ type: 'pkcs8', format: 'pem' }) as string
  const keys = parseSigningKeys([[name, pem]])
  if ('fault' in keys) throw new TypeError(keys.fault)
  io.out(manifest(SIGNING_KEYS_SECRET.type, secret, output, name, pem))
  io.err(`The key ${keys[0]!.id} signs from ${from.toISOString()} on; before, only where no other key is there.\n`)
  return 0
}

function makeClient(command: TokenClientCommand, io: CommandIo): number {
  const { client, audiences, scopes, refresh, introspect, output, secret } = command
  const value = random()
  const text = JSON.stringify({
    client_secret_hashes: [writeClientSecret(value)],
    grant_types: [GRANT_TYPES.clientCredentials, ...(refresh ? [GRANT_TYPES.refreshToken] : [])],
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
    audience: audiences,
    ...(introspect ? { introspect } : {}),
  })
  const read = parseOAuthClients([[client, text]])
  if ('fault' in read) {
    io.err(`The client cannot be made: ${read.fault}\n`)
    return 1
  }
  io.out(manifest(OAUTH_CLIENTS_SECRET.type, secret, output, client, text))
  io.err(`The secret of client ${client}, which is shown this once: ${value}\n`)
  return 0
}

/** @param text without a tab, or a line that begins with a space */
function manifest(type: string, secret: SecretName, output: TokenOutput, key: string, text: string): string {
  const lines = text.trimEnd().split('\n')
  const entry = `  ${JSON.stringify(key)}: |\n${lines.map((line) => `    ${line}\n`).join('')}`
  if (output === 'entry') return entry
  const { name, namespace } = secret
  const metadata = namespace === undefined ? `{ name: ${name} }` : `{ name: ${name}, namespace: ${namespace} }`
  return `apiVersion: v1\nkind: Secret\ntype: ${type}\nmetadata: ${metadata}\nstringData:\n${entry}`
}
