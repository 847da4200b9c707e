/**
 * `access`: who may come at all, by the client's address behind trusted proxies. It stands before everything that costs
 * something, and says nothing about who somebody is.
 */
import { REASONS } from '../../lib/reason.ts'
import { CidrSet } from '../../pattern/cidr.ts'
import { type PolicyDefinition, planOnce } from '../definition.ts'
import type { Filter, RequestDecision } from '../filter.ts'
import { problemResponse } from '../problem.ts'

/** As it stands in a document. */
interface AccessValue {
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
}

interface AccessPlan {
  /** Empty: all that are not denied. */
  readonly allow: readonly string[]
  readonly deny: readonly string[]
}

export const access: PolicyDefinition<AccessValue, AccessPlan> = {
  key: 'access',
  phase: 'access',
  plan: planOnce(({ allow = [], deny = [] }) => (allow.length + deny.length === 0 ? undefined : { allow, deny })),
  create: accessFilter,
}

const MAX_LISTED = 4

function accessFilter({ allow, deny }: AccessPlan): Filter {
  const denied = new CidrSet(deny)
  const allowed = allow.length === 0 ? null : new CidrSet(allow)
  const parts = [
    ...(deny.length === 0 ? [] : [`refuses ${listed(deny)}`]),
    ...(allow.length === 0 ? [] : [`lets pass ${listed(allow)}${deny.length === 0 ? ' alone' : ' of the others'}`]),
  ]
  /** @returns why it is refused */
  const judge = (clientAddress: string): string | undefined =>
    denied.has(clientAddress)
      ? 'the address is in access.deny'
      : allowed === null || allowed.has(clientAddress)
        ? undefined
        : 'the address is not in access.allow'
  return {
    name: 'access',
    onRequest(x): RequestDecision {
      const detail = judge(x.clientAddress)
      if (detail === undefined) return undefined
      return { type: 'respond', response: { ...problemResponse('AddressDenied', x), detail } }
    },
    explain({ clientAddress }) {
      const refused = judge(clientAddress)
      const effect = parts.join(' and ')
      if (refused === undefined) return { filter: 'access', effect }
      return { filter: 'access', effect: `${effect}: ${refused}`, status: REASONS.AddressDenied.status }
    },
  }
}

function listed(ranges: readonly string[]): string {
  const more = ranges.length > MAX_LISTED ? ` and ${ranges.length - MAX_LISTED} more` : ''
  return `${ranges.slice(0, MAX_LISTED).join(', ')}${more}`
}
