/** What a schema cannot say of a rule that issues tokens. */
import { formatDuration, parseDuration } from '../lib/quantity.ts'
import type { TokenIssuer } from '../policy/token-issuer/plan.ts'
import type { FieldProblem } from './object.ts'
import type { Route } from './route.ts'

type Problem = readonly [field: string, message: string]

const DAY = 86_400_000

/** Milliseconds. What has been issued cannot be taken back by whoever verifies it, so it lives shortly. */
const ACCESS_TOKEN_TTL = { min: 1_000, max: DAY }
const REFRESH_TOKEN_TTL = { min: 60_000, max: 366 * DAY }

/** Whoever asks for a token has none yet. */
const NOT_OF_ISSUERS = ['auth', 'authorization'] as const

/** @param route valid by its schema */
export function tokenIssuerProblems({ spec }: Route): FieldProblem[] {
  return spec.rules.flatMap(({ tokenIssuer, policies }, i) => {
    if (tokenIssuer === undefined) return []
    const own = NOT_OF_ISSUERS.flatMap((key): Problem[] => {
      const value: unknown = (policies as Readonly<Record<string, unknown>> | undefined)?.[key]
      const message = 'does not go with tokenIssuer, to which clients prove who they are by themselves; leave it out'
      return value === undefined ? [] : [[`policies.${key}`, message]]
    })
    return [...issuerProblems(tokenIssuer), ...own].map(([field, message]) => ({
      path: ['spec', 'rules', i, ...field.split('.')],
      reason: 'Invalid' as const,
      message,
    }))
  })
}

function* issuerProblems({ issuer, accessTokenTTL, refreshTokenTTL }: TokenIssuer): Generator<Problem> {
  const url = URL.parse(issuer)
  // RFC 8414 §2; with another spelling of one URL two parties would not agree on the issuer.
  if (url === null || url.search !== '' || url.hash !== '' || url.username !== '' || /[?#]/.test(issuer))
    yield ['tokenIssuer.issuer', 'is a URL without user, query and fragment']
  else if (url.href !== issuer && url.href !== `${issuer}/`)
    yield ['tokenIssuer.issuer', `is a URL in normal form; write ${url.href}`]
  yield* lifeProblems('accessTokenTTL', accessTokenTTL, ACCESS_TOKEN_TTL)
  yield* lifeProblems('refreshTokenTTL', refreshTokenTTL, REFRESH_TOKEN_TTL)
}

function* lifeProblems(field: string, text: string, { min, max }: typeof ACCESS_TOKEN_TTL): Generator<Problem> {
  const life = parseDuration(text)
  if (life < min || life > max)
    yield [`tokenIssuer.${field}`, `is between ${formatDuration(min)} and ${formatDuration(max)}`]
}
