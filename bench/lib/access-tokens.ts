/** Keys, tokens and API keys of the rows of access. */
import { generateKeyPairSync, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

export const ISSUER = 'https://id.bench.example/'
export const AUDIENCE = 'bench'
export const API_KEY = 'the-key-of-a-client-of-the-bench-0123456789abcdef'

/** More than the 4,400 that a worker keeps (16 MiB): sent in a circle, each is unknown again when its turn comes. */
export const FRESH_TOKENS = 16_000
const QUICK_TOKENS = 5_000
const HOUR_SECONDS = 3_600

export interface Tokens {
  readonly publicKey: string
  readonly token: string
  /** File with a field value, `Bearer …`, on each line. */
  readonly fresh: string
}

const signAsync = promisify(sign)

/** RS256 with 2,048 bits, claims as an OpenID provider states them; some 700 bytes each. */
export async function makeTokens(scratch: string, quick: boolean): Promise<Tokens> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const iat = Math.floor(Date.now() / 1_000)
  const make = async (i: number): Promise<string> => {
    const claims = {
      ...{ iss: ISSUER, aud: AUDIENCE, sub: `user-${i}`, iat, exp: iat + HOUR_SECONDS, jti: `token-${i}` },
      ...{ scope: 'openid email orders:read orders:write', email: `user-${i}@example.com`, tier: 'gold' },
    }
    const text = `${part({ alg: 'RS256', typ: 'JWT', kid: 'bench' })}.${part(claims)}`
    return `${text}.${(await signAsync('sha256', Buffer.from(text), privateKey)).toString('base64url')}`
  }
  const tokens: string[] = []
  const count = quick ? QUICK_TOKENS : FRESH_TOKENS
  while (tokens.length < count)
    tokens.push(...(await Promise.all(Array.from({ length: 16 }, (_, i) => make(tokens.length + i)))))
  const fresh = join(scratch, 'fresh-tokens')
  writeFileSync(fresh, tokens.map((token) => `Bearer ${token}\n`).join(''))
  return { publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(), token: tokens[0]!, fresh }
}
