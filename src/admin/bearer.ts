/** Checks the bearer token (RFC 6750) that every change through the admin API needs. */
import { createHash, timingSafeEqual } from 'node:crypto'

/** What is accepted now; read for each change, since the file is rotated while the process runs. */
export interface AdminTokens {
  read(): Promise<
    { readonly ok: true; readonly digests: readonly Buffer[] } | { readonly ok: false; readonly fault: string }
  >
}

export type Verdict =
  | { readonly accepted: true }
  | {
      readonly accepted: false
      readonly status: 400 | 401 | 403 | 503
      readonly reason: 'TokenNotConfigured' | 'TokenUnusable' | 'TokenMissing' | 'TokenWrong' | 'SeveralCredentials'
      readonly title: string
      readonly detail: string
    }

const ACCEPTED: Verdict = { accepted: true }

/** @param rawHeaders names and values in turn, as received: a repeated field must not be reduced to its first */
export async function authorize(tokens: AdminTokens | undefined, rawHeaders: readonly string[]): Promise<Verdict> {
  if (tokens === undefined) {
    const detail = 'Set admin.tokenFile in the settings, and start Headgate again'
    return refusal(403, 'TokenNotConfigured', 'Changes are switched off', detail)
  }
  const credentials: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (rawHeaders[i]!.toLowerCase() === 'authorization') credentials.push(rawHeaders[i + 1]!)
  if (credentials.length > 1)
    return refusal(400, 'SeveralCredentials', 'Several credentials', 'Send one Authorization field')
  const known = await tokens.read()
  if (!known.ok) {
    const detail = 'The token file of the gateway cannot be used; /api/v1/problems says why'
    return refusal(503, 'TokenUnusable', 'No token can be checked', detail)
  }
  const token = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(credentials[0] ?? '')?.[1]
  if (token === undefined)
    return refusal(401, 'TokenMissing', 'A change needs a token', 'Send Authorization: Bearer TOKEN')
  const digest = createHash('sha256').update(token).digest()
  let matches = 0
  // Every one is compared: the time does not tell which one was close.
  for (const one of known.digests) matches += timingSafeEqual(one, digest) ? 1 : 0
  if (matches > 0) return ACCEPTED
  return refusal(401, 'TokenWrong', 'The token is not accepted', 'Use a token of the file that admin.tokenFile names')
}

function refusal(
  status: Extract<Verdict, { accepted: false }>['status'],
  reason: Extract<Verdict, { accepted: false }>['reason'],
  title: string,
  detail: string,
): Verdict {
  return { accepted: false, status, reason, title, detail }
}
