/**
 * The bearer tokens of the admin API, from the file that `admin.tokenFile` names. One token per line, every one is
 * accepted, so a token is rotated by adding the new one and removing the old one later. The file is read again whenever
 * it may have changed; a file that cannot be used accepts nobody.
 */
import { createHash } from 'node:crypto'
import { identify, readText, tryStat } from './read-text.ts'

const MAX_BYTES = 16_384
const MAX_TOKENS = 16
/** Characters. A shorter one can be guessed through the API itself. */
const MIN_TOKEN = 8
const MAX_LENGTH = 512

/** Permissions of users who may neither learn nor replace the token: write for the group, everything for others. */
const FOREIGN_MODE = 0o027n

/** Tokens are kept as digests (SHA-256): a copy of the heap shows none, and all are compared at one length. */
export type Tokens =
  | { readonly ok: true; readonly digests: readonly Buffer[] }
  | {
      readonly ok: false
      /** Why no token is accepted, with the remedy; never with content of the file. */
      readonly fault: string
    }

/** For messages, and how long a token has to be for it. */
export interface TokenPurpose {
  readonly field: string
  readonly without: string
  readonly minLength: number
}

const ADMIN: TokenPurpose = {
  field: 'admin.tokenFile',
  without: 'no change through the admin API is accepted',
  minLength: MIN_TOKEN,
}

export class TokenFile {
  readonly #path: string
  readonly #what: TokenPurpose
  #signature: string | undefined
  #tokens: Tokens | undefined
  #reading: Promise<Tokens> | undefined

  /** @param path links are followed, because a mounted Secret is one */
  constructor(path: string, what: TokenPurpose = ADMIN) {
    this.#path = path
    this.#what = what
  }

  /** As the file is now. */
  async read(): Promise<Tokens> {
    const stats = tryStat(this.#path)
    const signature = stats === undefined ? undefined : identify(stats).signature
    if (this.#tokens !== undefined && signature !== undefined && signature === this.#signature) return this.#tokens
    // One read at a time, however many requests ask.
    this.#reading ??= this.#readFile().finally(() => {
      this.#reading = undefined
    })
    return await this.#reading
  }

  async #readFile(): Promise<Tokens> {
    this.#signature = undefined
    const read = await readText(this.#path, MAX_BYTES)
    const stats = tryStat(this.#path)
    if (!read.ok || stats === undefined) {
      const what =
        read.ok || read.gone ? 'does not exist' : read.regular ? `cannot be used: ${read.message}` : `is ${read.kind}`
      this.#tokens = { ok: false, fault: this.#fault(what) }
    } else if (process.platform !== 'win32' && (stats.mode & FOREIGN_MODE) !== 0n) {
      const mode = (stats.mode & 0o777n).toString(8).padStart(4, '0')
      const what = `has mode ${mode}, so other users may read or replace it; run chmod 600 (a mounted Secret: defaultMode 0440)`
      this.#tokens = { ok: false, fault: this.#fault(what) }
    } else {
      const parsed = parseTokens(read.text, this.#what.minLength)
      this.#tokens =
        typeof parsed === 'string' ? { ok: false, fault: this.#fault(parsed) } : { ok: true, digests: parsed }
    }
    // A second write within the resolution of timestamps may leave the same signature.
    if (read.ok && !read.racy && stats !== undefined && identify(stats).signature === read.signature)
      this.#signature = read.signature
    return this.#tokens
  }

  #fault(what: string): string {
    return `${this.#what.field} ${this.#path} ${what}. Until it is corrected ${this.#what.without}`
  }
}

/** Whether it can stand behind `Bearer` (RFC 6750 section 2.1). */
export function isBearerToken(text: string): boolean {
  return /^[A-Za-z0-9._~+/-]+=*$/.test(text)
}

/** @returns digests, or the error without any content */
function parseTokens(text: string, minLength: number): readonly Buffer[] | string {
  const digests: Buffer[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const token = line.trim()
    if (token === '' || token.startsWith('#')) continue
    const where = `line ${index + 1}`
    if (!isBearerToken(token))
      return `is not usable: ${where} is not a token (letters, digits, - . _ ~ + / and = at the end); generate one with: openssl rand -base64 32`
    if (token.length < minLength || token.length > MAX_LENGTH)
      return `is not usable: the token in ${where} has ${token.length} characters, allowed are ${minLength} to ${MAX_LENGTH}; generate one with: openssl rand -base64 32`
    digests.push(digestOf(token))
  }
  if (digests.length === 0) return 'contains no token; generate one with: openssl rand -base64 32'
  if (digests.length > MAX_TOKENS) return `contains more than ${MAX_TOKENS} tokens`
  return digests
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
