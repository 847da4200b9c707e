/** What a person is told about a cluster that cannot be read as it should be. */
import { apiVersionOf, resourceNameOf } from '../../api/kinds.ts'
import type { SourceProblem } from '../source.ts'
import type { ApiError } from './api-error.ts'
import type { Informer } from './informer.ts'

/** A hiccup that is over with the next attempt is nobody's business. */
const HICCUP = 2

/** To have to list anew after an absence is ordinary; never to come further is not. */
const EXPIRED = 4

interface Found {
  readonly feed: Informer
  readonly error: ApiError
  /** More than this one say the same. */
  shared: boolean
}

/**
 * @param server as a person would look for it
 * @returns each once, in an order that does not depend on chance
 */
export function clusterProblems(feeds: Iterable<Informer>, server: string): SourceProblem[] {
  const found = new Map<string, Found>()
  let away: { readonly error: ApiError; serving: boolean } | undefined
  for (const feed of feeds) {
    const { trouble, state } = feed
    if (trouble === undefined) continue
    const { error, failures } = trouble
    const patience = error.expired ? EXPIRED : state === 'synced' && !isAnswer(error) ? HICCUP : 1
    if (failures < patience) continue
    if (isAway(error)) {
      away ??= { error, serving: true }
      if (state !== 'synced') away.serving = false
      continue
    }
    const cause = causeOf(feed, error)
    const other = found.get(cause)
    if (other === undefined) found.set(cause, { feed, error, shared: false })
    else other.shared = true
  }
  const problems = [...found.values()].map((one) => problemOf(one, server))
  if (away !== undefined) problems.push(awayProblem(away.error, server, away.serving))
  return problems.sort((a, b) => (a.message < b.message ? -1 : a.message > b.message ? 1 : 0))
}

/** What will not be different the next time unless somebody does something. */
function isAnswer({ status, reason }: ApiError): boolean {
  return status === 403 || status === 404 || status === 401 || reason === 'NoCredentials'
}

/** Hundreds of watches may fail for one reason. */
function causeOf({ scope, trouble }: Informer, { status, reason }: ApiError): string {
  if (status === 403) return `${status} ${trouble?.verb} ${scope.kind} ${scope.namespace}`
  return status === 404 ? `${status} ${scope.kind}` : `${status} ${reason}`
}

function isAway({ reason }: ApiError): boolean {
  return reason === 'Unreachable' || reason === 'TimedOut'
}

function awayProblem(error: ApiError, server: string, serving: boolean): SourceProblem {
  const meanwhile = serving ? 'what was read keeps serving' : 'not everything was read yet'
  const message = `The API server at ${server} cannot be reached: ${error.message}; ${meanwhile}, and it is tried again.`
  return { severity: 'error', reason: 'ClusterUnavailable', message }
}

function problemOf({ feed, error, shared }: Found, server: string): SourceProblem {
  const { kind, namespace } = feed.scope
  const resource = resourceNameOf(feed.resource)
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`
  if (error.status === 403) {
    const verb = feed.trouble?.verb ?? 'list'
    const scope = namespace === undefined ? 'a ClusterRole' : `a ClusterRole, or a Role in namespace ${namespace},`
    const message = `Not allowed to ${verb} ${resource}${where}: ${scope} must grant get, list and watch on it. The rest is served. (${error.message})`
    return { severity: 'error', reason: 'Forbidden', message, kind }
  }
  if (error.status === 404) {
    const cure =
      feed.resource.group === 'headgate.dev' ? 'apply the CRDs that come with this version' : 'is it disabled?'
    const message = `The API server does not serve ${resource} in version ${apiVersionOf(feed.resource)}: ${cure}. It is looked for until it is there.`
    return { severity: 'error', reason: 'KindMissing', message }
  }
  return {
    severity: 'error',
    reason: 'ClusterUnavailable',
    message: refusal(error, server, `${resource}${where}${shared ? ' and others' : ''}`),
  }
}

function refusal(error: ApiError, server: string, what: string): string {
  switch (error.reason) {
    case 'NoCredentials':
      return `There are no credentials for the API server at ${server}: ${error.message}.`
    case 'BadAnswer':
      return `What the API server at ${server} says about ${what} is not usable: ${error.message}; it is asked again.`
    default:
      if (error.status === 401)
        return `The API server at ${server} does not accept our credentials (${error.message}); they are read again.`
      return `The API server at ${server} cannot tell about ${what}: ${error.message} (${error.status} ${error.reason}); it is asked again.`
  }
}
